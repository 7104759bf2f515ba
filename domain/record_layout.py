"""In what shape readings are asked for: which columns, and how their values are written."""

from dataclasses import dataclass
from enum import Enum
from typing import Self

from domain.quantities import QUANTITIES, QUANTITY_NAMES, RECORD_KEYS
from domain.readings_query import QueryError

FLAGS_COLUMN = "flags"
KNOWN_COLUMNS = ("id", "date", *QUANTITY_NAMES, FLAGS_COLUMN)
"""What can be asked for of a reading."""

_TITLES = {"id": "Id", "date": "Date", FLAGS_COLUMN: "Flags"} | {
    column.name: column.header for column in QUANTITIES
}


class Encoding(Enum):
    """How records are written one after the other."""

    OBJECTS = "objects"
    """JSON objects with commas between them."""
    LINES = "lines"
    """JSON objects, each in a line."""
    ROWS = "rows"
    """Rows of a CSV report."""
    CELLS = "cells"
    """Rows of CSV for programs: `date` is seconds since 1970-01-01 00:00:00 UTC."""


class TimeStyle(Enum):
    """How the start of an interval is written."""

    LOCAL = "local"
    """As the meter shows it: `2019-10-27 02:00:00`, in rows `27 Oct 2019 02:00:00`."""
    UTC = "utc"
    """`2019-10-27T00:00:00Z`"""
    OFFSET = "offset"
    """Local time with how far it is ahead of UTC: `2019-10-27T02:00:00+02:00`."""


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """The columns of a record, in their order, and how they are written."""

    columns: tuple[str, ...] = RECORD_KEYS
    form: Encoding = Encoding.OBJECTS
    time: TimeStyle = TimeStyle.LOCAL
    numbers: bool = False
    """Whether JSON has ids and quantities as numbers rather than as texts."""

    @classmethod
    def of(
        cls, columns: tuple[str, ...], form: Encoding, time: TimeStyle, *, numbers: bool
    ) -> Self:
        """A shape in the one way to say what it is: equal texts come from equal shapes."""
        is_json = form in (Encoding.OBJECTS, Encoding.LINES)
        has_time = "date" in columns and form is not Encoding.CELLS
        return cls(columns, form, time if has_time else TimeStyle.LOCAL, numbers and is_json)

    @property
    def key(self) -> str:
        """A text that is the same for equal shapes only."""
        columns = ",".join(self.columns)
        return f"{self.form.value} {self.time.value} numbers={self.numbers:d} {columns}"

    @property
    def separator(self) -> str:
        """What stands between two records, of a page as of two pages."""
        return "," if self.form is Encoding.OBJECTS else ""

    @property
    def end(self) -> str:
        """What each record ends with."""
        return {Encoding.OBJECTS: "", Encoding.ROWS: "\r\n"}.get(self.form, "\n")

    @property
    def is_json(self) -> bool:
        """Whether records are JSON objects."""
        return self.form in (Encoding.OBJECTS, Encoding.LINES)

    def is_number(self, column: str) -> bool:
        """Whether JSON has a column as a number."""
        return self.numbers and column not in ("date", FLAGS_COLUMN)

    @property
    def has_flags(self) -> bool:
        """Whether the flags of readings are asked for."""
        return FLAGS_COLUMN in self.columns

    @property
    def needs_instants(self) -> bool:
        """Whether more than local time is asked for."""
        is_dated = "date" in self.columns
        return is_dated and (self.time is not TimeStyle.LOCAL or self.form is Encoding.CELLS)

    @property
    def heading(self) -> str:
        """The columns as a report calls them."""
        return ",".join(_TITLES[column] for column in self.columns) + self.end

    @property
    def missing(self) -> str:
        """What stands for a missing value; a row isn't empty where that is all it has."""
        if self.is_json:
            return "null"
        return '""' if self.form is Encoding.ROWS and len(self.columns) == 1 else ""

    def counted(self, records: bytes) -> int:
        """How many records there are in a text of whole ones."""
        return records.count(b"}" if self.form is Encoding.OBJECTS else b"\n")


CONTRACT_LAYOUT = RecordLayout()
"""The contract's shape, that of the pages which are kept ready."""

CONTRACT_NDJSON_LAYOUT = RecordLayout(form=Encoding.LINES)
"""The same records, each in a line."""


def parse_columns(text: str) -> tuple[str, ...]:
    """The columns in a text such as `date,energy`; raises QueryError."""
    names = tuple(name.strip(" ") for name in text.split(","))
    for place, name in enumerate(names):
        if name not in KNOWN_COLUMNS:
            shown = ascii(name if len(name) <= 40 else name[:37] + "...")
            raise QueryError("columns", f"expected any of {', '.join(KNOWN_COLUMNS)}, got {shown}")
        if name in names[:place]:
            raise QueryError(
                "columns",
                f"expected each of {', '.join(KNOWN_COLUMNS)} at most once, got {name!a} twice",
            )
    return names


MAX_LIMIT = 100_000
"""Readings that can be asked for with `limit`."""


class ValueStyle(Enum):
    """How JSON has ids and quantities."""

    TEXT = "text"
    NUMBER = "number"


class SortOrder(Enum):
    """How readings follow each other by id."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class QualityFilter(Enum):
    """Which readings are believed."""

    RAW = "raw"
    CLEAN = "clean"


class RangeEnd(Enum):
    """Whether a range's end belongs to it."""

    INCLUSIVE = "inclusive"
    EXCLUSIVE = "exclusive"
