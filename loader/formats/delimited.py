"""Reading the rows of a report in a configured format."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from domain.local_time import DUPLICATE_TIME
from domain.quantities import QUANTITY_NAMES
from loader.formats.decimals import DecimalColumn
from loader.formats.timestamps import InvalidTimestamp, make_timestamp_parser
from loader.rows.errors import RowError
from loader.rows.file_reader import check_row_length
from loader.rows.header import Header
from loader.rows.reader import ParseContext, RowReader, midnight, seconds_since_1970
from settings import FormatSettings

_MAX_IDENTIFIER_LENGTH = 64


@dataclass(frozen=True, slots=True)
class _Row:
    """A row: its raw text, its timestamp's text, and its quantities as a RowBatch has them."""

    raw: bytes
    time: str
    quantities: str
    missing: int


class DelimitedRows(RowReader[_Row]):
    """Reads rows of delimited fields whose columns the settings of the format describe."""

    def __init__(self, context: ParseContext, header: Header, settings: FormatSettings) -> None:
        zone = settings.time.timezone or context.zone
        super().__init__(context, zone)
        self._header = header
        self._settings = settings
        self._timestamps = make_timestamp_parser(settings.time, header.names, zone)
        self._columns = [
            DecimalColumn(
                column,
                QUANTITY_NAMES.index(name),
                header.names.index(column.header),
                settings.decimal,
            )
            for name, column in settings.columns.named().items()
        ]
        self._time_field = header.names.index(settings.time.column)
        if settings.identifier is not None:
            self._identifier_field = header.names.index(settings.identifier)
        self._identifier_line = 0
        self._shift = timedelta(seconds=settings.interval or 0) * settings.time.marks_end
        self._offsets: dict[date, int | None] = {}
        self._seen: dict[date, bytearray] = {}

    def read(self, chunk: bytes, line: int) -> None:
        """Read whole lines, the first of which has this number."""
        for number, raw in enumerate(chunk.removesuffix(b"\n").split(b"\n"), line):
            check_row_length(self._context.path, number, raw)
            fields = self._split(number, raw)
            if fields is None:
                continue
            if isinstance(fields, RowError):
                self._reject_invalid([fields], raw, None)
            else:
                self._read_fields(number, raw, fields)

    def _split(self, number: int, raw: bytes) -> list[str] | RowError | None:
        """Return the fields of a row, or its error; None for an empty line."""
        header = self._header
        text = raw.decode(header.encoding, "replace").rstrip("\r")
        if not text.strip():
            return None
        if b"\0" in raw or "\ufffd" in text:
            return RowError(number, "row", text, f"{header.encoding} without NUL bytes")
        try:
            (fields,) = csv.reader([text], delimiter=header.delimiter, strict=True)
        except csv.Error:
            return RowError(number, "row", text, "fields whose quotes are closed")
        count = len(header.names)
        if not count <= len(fields) <= count + header.has_reasons:
            expected = f"{count} fields, separated by {header.delimiter!a}"
            return RowError(number, "row", f"{len(fields)} fields", expected)
        return [field.strip() for field in fields]

    def _read_fields(self, number: int, raw: bytes, fields: list[str]) -> None:
        timestamp = self._timestamps.parse(fields)
        errors = []
        if isinstance(timestamp, InvalidTimestamp):
            errors.append(RowError(number, timestamp.column, timestamp.value, timestamp.expected))
        quantities, missing = self._parse_quantities(number, fields, errors)
        identifier = self._parse_identifier(number, fields, errors)
        if isinstance(timestamp, InvalidTimestamp):
            self._reject_invalid(errors, raw, None)
            return
        if errors:
            self._reject_invalid(errors, raw, timestamp if timestamp.tzinfo is None else None)
            return
        if self.identifier is None and identifier:
            self.identifier, self._identifier_line = identifier, number
        row = _Row(raw, fields[self._time_field], quantities, missing)
        if timestamp.tzinfo is not None:
            self._add_instant(number, timestamp, row)
            return
        offset = self._offset(timestamp.date())
        if offset is None:
            if not self._dst_days.continues(timestamp.date()):
                self.flush()
            self._buffer(number, timestamp, row)
            return
        self.flush()
        self._add_local(number, timestamp, offset, row)

    def _parse_quantities(
        self, number: int, fields: list[str], errors: list[RowError]
    ) -> tuple[str, int]:
        """Return the quantities as a RowBatch has them, and how many of them are missing."""
        quantities = [""] * len(QUANTITY_NAMES)
        missing = 0
        for column in self._columns:
            text = fields[column.field]
            quantity = column.parse(text)
            if quantity is None:
                errors.append(RowError(number, column.header, text, column.expected))
            else:
                quantities[column.position] = quantity
                missing += not quantity
        return ",".join(quantities), missing

    def _parse_identifier(
        self, number: int, fields: list[str], errors: list[RowError]
    ) -> str | None:
        """Return the meter's name in the row, which must be the same in all rows."""
        column = self._settings.identifier
        if column is None:
            return None
        identifier = fields[self._identifier_field]
        expected = ""
        if not 1 <= len(identifier) <= _MAX_IDENTIFIER_LENGTH:
            expected = f"the name of the meter, at most {_MAX_IDENTIFIER_LENGTH} characters"
        elif identifier != (self.identifier or identifier):
            expected = (
                f"{self.identifier} as in line {self._identifier_line}: one meter in a report"
            )
        if expected:
            errors.append(RowError(number, column, identifier, expected))
        return identifier

    def _offset(self, day: date) -> int | None:
        """Return the offset of a local day; None if it changes on that day."""
        if day not in self._offsets:
            self._offsets[day] = self._resolver.offset_all_day(day)
        return self._offsets[day]

    def _add_local(self, line: int, local: datetime, offset: int | str, row: _Row) -> None:
        """Add a row by its local time and offset, or reject it with what was expected instead."""
        if isinstance(offset, str):
            self._reject([RowError(line, self._settings.time.column, row.time, offset)], row.raw)
        else:
            instant = local.replace(tzinfo=UTC) - timedelta(seconds=offset)
            self._add_instant(line, instant, row)

    def _add_instant(self, line: int, instant: datetime, row: _Row) -> None:
        """Add a row by the instant of its timestamp, which marks a start or an end."""
        start = instant - self._shift
        day = start.date()
        seen = self._seen.setdefault(day, bytearray())
        index = self._times_of_day[start.strftime("%H:%M:%S")]
        if index >= len(seen):
            seen.extend(bytes(index + 1 - len(seen)))
        if seen[index]:
            self._reject(
                [RowError(line, self._settings.time.column, row.time, DUPLICATE_TIME)], row.raw
            )
            return
        seen[index] = 1
        local = start.astimezone(self._context.zone)
        offset = local.utcoffset()
        assert offset is not None
        date_text = local.strftime("%Y-%m-%d %H:%M:%S")
        self._dates.append(date_text)
        number = self.readings + len(self._dates)
        self._lines.append(f"{number},{date_text},{int(offset.total_seconds())},{row.quantities}\n")
        self.missing += row.missing

    def _runs(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the instants of the readings in runs, see `usual_interval`."""
        for day, seen in self._seen.items():
            yield seconds_since_1970(midnight(day)), self._times_of_day.seconds(bytes(seen))
