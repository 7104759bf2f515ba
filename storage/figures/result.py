"""Answers that are worked out from readings: named columns, and rows that come little by little."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Protocol

from domain.time_zone import TimeZone
from storage.backends.base import ReadEngine

Value = int | str | None
Row = Sequence[Value]
Metadata = Mapping[str, str | Mapping[str, str]]

CHUNK_ROWS = 2000
"""The most rows that are given at once."""


class FieldType(Enum):
    """What the values of a field are."""

    QUANTITY = "a decimal, as a whole number of hundred-thousandths"
    COUNT = "a whole number"
    INSTANT = "a moment, in seconds since 1970-01-01 00:00:00 UTC"
    TEXT = "a text"


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a table."""

    name: str
    kind: FieldType
    means: str


@dataclass(frozen=True, slots=True)
class ResultTable:
    """So many rows, and what is to be said besides.

    The rows raise a StorageError where the database fails.
    """

    fields: Sequence[Field]
    zone: TimeZone | None
    """Of local times; None where there is nothing to tell."""
    count: int
    rows: AsyncGenerator[Sequence[Row]]
    metadata: Metadata = field(default_factory=dict)


class FigureQuery(Protocol):
    """What is asked for that is worked out from readings."""

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""

    async def table(self, engine: ReadEngine) -> ResultTable:
        """The answer; raises QueryError where there can be none."""


def empty_table(fields: Sequence[Field]) -> ResultTable:
    """A table without rows."""
    return ResultTable(fields, None, 0, as_chunks(()))


async def as_chunks(rows: Iterable[Row]) -> AsyncGenerator[Sequence[Row]]:
    """Rows that are there already."""
    for some in chunks(rows):
        yield some


def chunks(rows: Iterable[Row]) -> Iterator[Sequence[Row]]:
    """Rows, not too many at a time."""
    left = iter(rows)
    while some := list(islice(left, CHUNK_ROWS)):
        yield some
