"""Readings by number, by pattern and by range, counted and read page by page."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from decimal import Decimal

from storage.common.deflate import DeflateBlock


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Readings that a clean answer leaves out, and their energy in kWh."""

    readings: int = 0
    energy: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class ReadingsResult:
    """How many readings were found, and their records as texts, page by page.

    Pages that were kept ready are compressed pieces; the others are so where that was asked for,
    and else plain bytes. They raise Inconsistent where they would hold more or fewer readings
    than `count`, and another StorageError where the database fails. Where there are more of them
    than was asked for, the next ones come after the id `following`; a clean answer has `left_out`.
    """

    count: int
    pages: AsyncGenerator[bytes | DeflateBlock]
    following: int | None = None
    left_out: LeftOut | None = None
