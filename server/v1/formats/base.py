"""The interface of an output format of /v1, and what all of them write."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from domain.record_layout import Encoding, RecordLayout, TimeStyle
from domain.time_zone import TimeZone
from server.formats.base import TableOptions
from server.transport.content_coding import Chunk
from storage.figures.result import ResultTable
from storage.readings.reader import ReadingsResult

METER_COLUMN = "meter"
"""The first column of readings of several meters."""


TABLE_OPTIONS = TableOptions(TimeStyle.OFFSET, numbers=True)
"""How tables of figures are written: with exact numbers, and times with their UTC offset."""


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """How CSV is written."""

    name: str
    separator: str = ","
    decimal_comma: bool = False
    for_spreadsheets: bool = False
    """Whether it begins with a byte order mark, and times are local, without an offset."""


RFC_4180 = CsvDialect("rfc4180")
DIALECTS = {
    dialect.name: dialect
    for dialect in (
        RFC_4180,
        CsvDialect("excel", for_spreadsheets=True),
        CsvDialect("excel-es", ";", decimal_comma=True, for_spreadsheets=True),
    )
}
"""By what a client calls them."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is written beside the records."""

    meta: Mapping[str, Any]
    links: Mapping[str, str | None]
    is_single: bool = False
    """Whether it has one record, rather than a list."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a client wants records to be written."""

    dialect: CsvDialect = RFC_4180
    has_last_line: bool = False
    """Whether lines of JSON end with one of meta and links."""

    @property
    def key(self) -> str:
        """A text that is equal for equal options."""
        return f"{self.dialect.name} {self.has_last_line:d}"


@dataclass(frozen=True, slots=True)
class MeterReadings:
    """Readings of one meter, formatted with a layout."""

    result: ReadingsResult
    zone: TimeZone
    meter: str | None = None
    """The public id, where records name it."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings of one meter after the other."""

    count: int
    layout: RecordLayout
    meters: AsyncGenerator[MeterReadings]
    has_meter_column: bool = False

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns."""
        before = (METER_COLUMN,) if self.has_meter_column else ()
        return (*before, *map(self.layout.name, self.layout.columns))


class V1Format(Protocol):
    """An output format, which writes the body of a response while it is sent."""

    name: str
    """The value of the parameter `format`, and the extension of a file."""
    media_type: str
    encoding: Encoding
    """How the database writes the pages of readings."""
    is_file: bool
    """Whether browsers save it as a file."""
    max_records: int | None
    """The most records that it can hold."""

    def readings(
        self, readings: Readings, document: Envelope, options: WriteOptions
    ) -> AsyncGenerator[Chunk]:
        """Yield the body of readings."""

    def table(
        self, table: ResultTable, document: Envelope, options: WriteOptions
    ) -> AsyncGenerator[Chunk]:
        """Yield the body of a table."""


def exact_json(value: Any) -> str:
    """Return a value as JSON, decimals with all of their digits."""
    match value:
        case Decimal():
            return f"{value:f}"
        case Mapping():
            members = (f"{json.dumps(name)}:{exact_json(each)}" for name, each in value.items())
            return f"{{{','.join(members)}}}"
        case list() | tuple():
            return f"[{','.join(map(exact_json, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)
