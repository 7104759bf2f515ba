"""The layout of records: which columns, and how their values are written."""

from dataclasses import dataclass
from enum import Enum
from typing import Self

from domain.quantities import ALL_QUANTITIES, QUANTITY_NAMES, RECORD_KEYS
from domain.readings_query import QueryError

FLAGS_COLUMN = "flags"
KNOWN_COLUMNS = ("id", "date", *QUANTITY_NAMES, FLAGS_COLUMN)
"""The columns that a client of the contract can choose."""

_TITLES = {"id": "Id", "date": "Date", FLAGS_COLUMN: "Flags"} | {
    column.name: column.header for column in ALL_QUANTITIES
}


class Encoding(Enum):
    """How a sequence of records is written."""

    JSON_OBJECTS = "objects"
    """JSON objects with commas between them."""
    NDJSON = "lines"
    """JSON objects, one a line."""
    CSV_REPORT = "rows"
    """CSV rows as in a report."""
    CSV_FIELDS = "fields"
    """CSV rows without a header; local time is `2019-10-27 02:00:00`."""
    CSV_TYPED = "cells"
    """CSV rows for programs: `date` is seconds since 1970-01-01 00:00:00 UTC."""


class TimeStyle(Enum):
    """How the start of an interval is written."""

    LOCAL = "local"
    """As the meter shows it: `2019-10-27 02:00:00`, in a CSV report `27 Oct 2019 02:00:00`."""
    UTC = "utc"
    """`2019-10-27T00:00:00Z`"""
    OFFSET = "offset"
    """Local time with its UTC offset: `2019-10-27T02:00:00+02:00`."""


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """The columns of a record, in their order, and how they are written."""

    columns: tuple[str, ...] = RECORD_KEYS
    encoding: Encoding = Encoding.JSON_OBJECTS
    time: TimeStyle = TimeStyle.LOCAL
    numbers: bool = False
    """Whether JSON has ids and quantities as numbers rather than as texts."""
    date_name: str = "date"
    """What JSON calls the start of the interval."""

    @classmethod
    def of(
        cls, columns: tuple[str, ...], encoding: Encoding, time: TimeStyle, *, numbers: bool
    ) -> Self:
        """Return the canonical layout: those that write the same text are equal."""
        is_json = encoding in (Encoding.JSON_OBJECTS, Encoding.NDJSON)
        has_time = "date" in columns and encoding is not Encoding.CSV_TYPED
        return cls(columns, encoding, time if has_time else TimeStyle.LOCAL, numbers and is_json)

    @property
    def key(self) -> str:
        """A text that is equal for equal layouts only."""
        columns = ",".join(map(self.name, self.columns))
        return f"{self.encoding.value} {self.time.value} numbers={self.numbers:d} {columns}"

    @property
    def separator(self) -> str:
        """What separates two records, of one page or of two."""
        return "," if self.encoding is Encoding.JSON_OBJECTS else ""

    @property
    def end(self) -> str:
        """The end of each record."""
        if self.encoding is Encoding.JSON_OBJECTS:
            return ""
        is_text = self.encoding in (Encoding.CSV_REPORT, Encoding.CSV_FIELDS)
        return "\r\n" if is_text else "\n"

    @property
    def is_json(self) -> bool:
        """Whether records are JSON objects."""
        return self.encoding in (Encoding.JSON_OBJECTS, Encoding.NDJSON)

    def is_number(self, column: str) -> bool:
        """Return whether JSON has a column as a number."""
        return self.numbers and column not in ("date", FLAGS_COLUMN)

    @property
    def has_flags(self) -> bool:
        """Whether a record has the reading's flags."""
        return FLAGS_COLUMN in self.columns

    @property
    def needs_instants(self) -> bool:
        """Whether a record tells more than local time."""
        is_dated = "date" in self.columns
        return is_dated and (
            self.time is not TimeStyle.LOCAL or self.encoding is Encoding.CSV_TYPED
        )

    @property
    def heading(self) -> str:
        """The header of a report with these columns."""
        return ",".join(_TITLES[column] for column in self.columns) + self.end

    @property
    def missing(self) -> str:
        """The text of a missing value; a row with no other value is not empty."""
        if self.is_json:
            return "null"
        is_text = self.encoding in (Encoding.CSV_REPORT, Encoding.CSV_FIELDS)
        return '""' if is_text and len(self.columns) == 1 else ""

    def name(self, column: str) -> str:
        """Return what JSON calls a column."""
        return self.date_name if column == "date" else column

    def count_records(self, records: bytes) -> int:
        """Return the number of records in a text; one that was cut short does not count."""
        return records.count(b"}" if self.encoding is Encoding.JSON_OBJECTS else b"\n")


CONTRACT_LAYOUT = RecordLayout()
"""The contract's layout, that of stored pages."""

CONTRACT_NDJSON_LAYOUT = RecordLayout(encoding=Encoding.NDJSON)
"""The same records, one a line."""


def parse_columns(text: str) -> tuple[str, ...]:
    """Parse columns such as `date,energy`; raise QueryError."""
    names = tuple(name.strip(" ") for name in text.split(","))
    for index, name in enumerate(names):
        if name not in KNOWN_COLUMNS:
            shown = ascii(name if len(name) <= 40 else name[:37] + "...")
            raise QueryError("columns", f"expected any of {', '.join(KNOWN_COLUMNS)}, got {shown}")
        if name in names[:index]:
            raise QueryError(
                "columns",
                f"expected each of {', '.join(KNOWN_COLUMNS)} at most once, got {name!a} twice",
            )
    return names


MAX_LIMIT = 100_000
"""The greatest `limit` of readings."""


class ValueStyle(Enum):
    """How JSON has ids and quantities."""

    TEXT = "text"
    NUMBER = "number"


class SortOrder(Enum):
    """The order of readings, by id."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class QualityFilter(Enum):
    """Whether implausible readings are left out."""

    RAW = "raw"
    CLEAN = "clean"


class RangeEnd(Enum):
    """Whether the end of a range belongs to it."""

    INCLUSIVE = "inclusive"
    EXCLUSIVE = "exclusive"
