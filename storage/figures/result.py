"""Results of figures: typed fields, and rows in chunks."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, overload

from domain.columns import Column
from domain.time.time_zone import TimeZone
from storage.backends.base import ReadEngine
from storage.columns.aggregates import as_list
from storage.common.turns import in_pieces
from storage.figures.selection import Selection
from storage.meters import Meter

Value = int | str | None
Row = Sequence[Value]
Metadata = Mapping[str, str | Mapping[str, str]]


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
    unit: str | None = None
    """The unit of its values, 1 of a ratio; None of what is no quantity."""


class ColumnRows(Sequence[Row]):
    """Rows as the columns of all fields, which many are quicker made and written as."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0].values)

    def __iter__(self) -> Iterator[Row]:
        return zip(*map(as_list, self.columns), strict=True)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> "ColumnRows": ...
    def __getitem__(self, place: int | slice) -> "Row | ColumnRows":
        if isinstance(place, slice):
            return ColumnRows([column[place] for column in self.columns])
        (row,) = self[place : place + 1]
        return row


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

    async def select(self, engine: ReadEngine, meter: Meter) -> Selection | None:
        """Return a meter's readings of the period, None if it is empty; raise QueryError."""

    def scanned(self, selection: Selection) -> int:
        """Return how many readings of a selection are read, at most."""

    async def table(self, engine: ReadEngine, selection: Selection) -> ResultTable:
        """Return the result for a selection; raise QueryError if there can be none."""


def units_of(fields: Iterable[Field]) -> dict[str, str]:
    """Return the units of the fields that have one, by name."""
    return {field.name: field.unit for field in fields if field.unit is not None}


def empty_table(fields: Sequence[Field]) -> ResultTable:
    """Return a result without rows."""
    return ResultTable(fields, None, 0, as_chunks(()))


def as_chunks(rows: Iterable[Row]) -> AsyncGenerator[Sequence[Row]]:
    """Return rows in chunks, each made in the turn in which it can be written, too."""
    return in_pieces(rows)
