"""Results of figures: typed fields, and rows in chunks."""

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
"""The most rows of a chunk."""


class FieldType(Enum):
    """The type of a field's values."""

    QUANTITY = "a decimal, as an integer scaled by 10^5"
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
    """Fields, rows and metadata. The rows raise a StorageError if the database fails."""

    fields: Sequence[Field]
    zone: TimeZone | None
    """The zone of local times; None without rows."""
    count: int
    rows: AsyncGenerator[Sequence[Row]]
    metadata: Metadata = field(default_factory=dict)


class FigureQuery(Protocol):
    """A query for figures."""

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""

    async def table(self, engine: ReadEngine) -> ResultTable:
        """Return the result; raise QueryError if there can be none."""


def empty_table(fields: Sequence[Field]) -> ResultTable:
    """Return a result without rows."""
    return ResultTable(fields, None, 0, as_chunks(()))


async def as_chunks(rows: Iterable[Row]) -> AsyncGenerator[Sequence[Row]]:
    """Yield rows that are in memory, in chunks."""
    for chunk in chunks(rows):
        yield chunk


def chunks(rows: Iterable[Row]) -> Iterator[Sequence[Row]]:
    """Yield rows in chunks."""
    rest = iter(rows)
    while chunk := list(islice(rest, CHUNK_ROWS)):
        yield chunk
