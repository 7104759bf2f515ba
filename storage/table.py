"""Answers that are worked out from readings: named columns, and rows that come little by little."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from math import isqrt
from typing import Protocol

from storage.engine import Engine
from storage.reading import DECIMALS, SCALE
from storage.zone import Zone

Value = int | str | None
Row = Sequence[Value]
Remarks = Mapping[str, str | Mapping[str, str]]

ROWS = 2000
"""The most rows that are given at once."""


class Kind(Enum):
    """What the values of a field are."""

    QUANTITY = "a decimal, as a whole number of hundred-thousandths"
    COUNT = "a whole number"
    INSTANT = "a moment, in seconds since 1970-01-01 00:00:00 UTC"
    TEXT = "a text"


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a table."""

    name: str
    kind: Kind
    means: str


@dataclass(frozen=True, slots=True)
class Table:
    """So many rows, and what is to be said besides.

    The rows raise a StorageError where the database fails.
    """

    fields: Sequence[Field]
    zone: Zone | None
    """Of local times; None where there is nothing to tell."""
    count: int
    rows: AsyncGenerator[Sequence[Row]]
    remarks: Remarks = field(default_factory=dict)


class Question(Protocol):
    """What is asked for that is worked out from readings."""

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""

    async def table(self, engine: Engine) -> Table:
        """The answer; raises QueryError where there can be none."""


def nothing(fields: Sequence[Field]) -> Table:
    """A table without rows."""
    return Table(fields, None, 0, given(()))


async def given(rows: Iterable[Row]) -> AsyncGenerator[Sequence[Row]]:
    """Rows that are there already."""
    for some in chunks(rows):
        yield some


def chunks(rows: Iterable[Row]) -> Iterator[Sequence[Row]]:
    """Rows, not too many at a time."""
    left = iter(rows)
    while some := list(islice(left, ROWS)):
        yield some


def scaled(value: int | bytes | None) -> int | None:
    """A quantity from either database, in hundred-thousandths."""
    if isinstance(value, bytes):
        return int(value.replace(b".", b""))
    return value


def divided(numerator: int, denominator: int) -> int:
    """A quotient, a half rounded away from zero."""
    quotient = (2 * abs(numerator) + denominator) // (2 * denominator)
    return quotient if numerator >= 0 else -quotient


def power_factor(active: int | None, reactive: int | None) -> int | None:
    """Active energy over apparent energy; None where a sum is missing or both are zero."""
    if active is None or reactive is None or not (active or reactive):
        return None
    square = active * active
    # Twice the quotient, cut off, tells on which side of a half it lies.
    twice = isqrt(4 * SCALE * SCALE * square // (square + reactive * reactive))
    factor = (twice + 1) // 2
    return factor if active >= 0 else -factor


def quantity(value: int) -> str:
    """A quantity as text, with all its decimals."""
    text = str(value)
    if len(text) > DECIMALS + 1:  # a sign at most stands before as many digits as there must be
        return f"{text[:-DECIMALS]}.{text[-DECIMALS:]}"
    whole, fraction = divmod(abs(value), SCALE)
    return f"{'-' if value < 0 else ''}{whole}.{fraction:05}"
