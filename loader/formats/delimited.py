"""The rows of a report in a format that the settings describe."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from domain.local_time import DUPLICATE_TIME
from domain.quantities import QUANTITY_NAMES
from loader.formats.decimals import DecimalColumn
from loader.formats.timestamps import InvalidTimestamp, timestamp_parser
from loader.rows.errors import RowError
from loader.rows.file_reader import check_row_length
from loader.rows.header import Header
from loader.rows.reader import ParseContext, RowReader, midnight, seconds_since_1970
from settings import FormatSettings

_LONGEST_IDENTIFIER = 64


@dataclass(frozen=True, slots=True)
class _Row:
    """A row, its time as it stands there, and its quantities as the storage takes them."""

    text: bytes
    time: str
    quantities: str
    missing: int


class DelimitedRows(RowReader[_Row]):
    """RowReader of fields, each below the heading that the format gives a meaning."""

    def __init__(self, around: ParseContext, heading: Header, layout: FormatSettings) -> None:
        zone = layout.time.timezone or around.zone
        super().__init__(around, zone)
        self._heading = heading
        self._layout = layout
        self._moments = timestamp_parser(layout.time, heading.names, zone)
        self._quantities = [
            DecimalColumn(
                column,
                QUANTITY_NAMES.index(name),
                heading.names.index(column.header),
                layout.decimal,
            )
            for name, column in layout.columns.named().items()
        ]
        self._time_place = heading.names.index(layout.time.column)
        if layout.identifier is not None:
            self._identifier_place = heading.names.index(layout.identifier)
        self._identified_in = 0
        self._back = timedelta(seconds=layout.interval or 0) * layout.time.marks_end
        self._offsets: dict[date, int | None] = {}
        self._seen: dict[date, bytearray] = {}

    def take(self, part: bytes, line: int) -> None:
        """Reads whole lines, the first of which has this number."""
        for number, raw in enumerate(part.removesuffix(b"\n").split(b"\n"), line):
            check_row_length(self._around.path, number, raw)
            fields = self._fields(number, raw)
            if fields is None:
                continue
            if isinstance(fields, RowError):
                self._leave_out([fields], raw, None)
            else:
                self._take_fields(number, raw, fields)

    def _fields(self, number: int, raw: bytes) -> list[str] | RowError | None:
        """The fields of a row, or what is wrong in it; None for an empty line."""
        heading = self._heading
        text = raw.decode(heading.encoding, "replace").rstrip("\r")
        if not text.strip():
            return None
        if b"\0" in raw or "\ufffd" in text:
            return RowError(number, "row", text, f"{heading.encoding} without NUL bytes")
        try:
            (fields,) = csv.reader([text], delimiter=heading.delimiter, strict=True)
        except csv.Error:
            return RowError(number, "row", text, "fields whose quotes are closed")
        wanted = len(heading.names)
        if not wanted <= len(fields) <= wanted + heading.has_reasons:
            expected = f"{wanted} fields, separated by {heading.delimiter!a}"
            return RowError(number, "row", f"{len(fields)} fields", expected)
        return [field.strip() for field in fields]

    def _take_fields(self, number: int, raw: bytes, fields: list[str]) -> None:
        moment = self._moments.read(fields)
        faults = []
        if isinstance(moment, InvalidTimestamp):
            faults.append(RowError(number, moment.column, moment.value, moment.expected))
        quantities, missing = self._read_quantities(number, fields, faults)
        identifier = self._read_identifier(number, fields, faults)
        if isinstance(moment, InvalidTimestamp):
            self._leave_out(faults, raw, None)
            return
        if faults:
            self._leave_out(faults, raw, moment if moment.tzinfo is None else None)
            return
        if self.identifier is None and identifier:
            self.identifier, self._identified_in = identifier, number
        row = _Row(raw, fields[self._time_place], quantities, missing)
        if moment.tzinfo is not None:
            self._take_instant(number, moment, row)
            return
        offset = self._offset(moment.date())
        if offset is None:
            if not self._changing.continues(moment.date()):
                self.settle()
            self._wait(number, moment, row)
            return
        self.settle()
        self._take_dated(number, moment, offset, row)

    def _read_quantities(
        self, number: int, fields: list[str], faults: list[RowError]
    ) -> tuple[str, int]:
        """The quantities as the storage takes them, and how many of them are missing."""
        texts = [""] * len(QUANTITY_NAMES)
        missing = 0
        for quantity in self._quantities:
            text = fields[quantity.place]
            stored = quantity.stored(text)
            if stored is None:
                faults.append(RowError(number, quantity.header, text, quantity.expected))
            else:
                texts[quantity.position] = stored
                missing += not stored
        return ",".join(texts), missing

    def _read_identifier(
        self, number: int, fields: list[str], faults: list[RowError]
    ) -> str | None:
        """What the row calls the meter, which must be the same in all rows."""
        header = self._layout.identifier
        if header is None:
            return None
        identifier = fields[self._identifier_place]
        expected = ""
        if not 1 <= len(identifier) <= _LONGEST_IDENTIFIER:
            expected = f"the name of the meter, at most {_LONGEST_IDENTIFIER} characters"
        elif identifier != (self.identifier or identifier):
            expected = f"{self.identifier} as in line {self._identified_in}: one meter in a report"
        if expected:
            faults.append(RowError(number, header, identifier, expected))
        return identifier

    def _offset(self, day: date) -> int | None:
        """The offset of a local day; None where clocks change."""
        if day not in self._offsets:
            self._offsets[day] = self._clock.offset_all_day(day)
        return self._offsets[day]

    def _take_dated(self, line: int, local: datetime, offset: int | str, row: _Row) -> None:
        """Takes a row with the offset of its time, or what was expected instead."""
        if isinstance(offset, str):
            self._reject([RowError(line, self._layout.time.column, row.time, offset)], row.text)
        else:
            moment = local.replace(tzinfo=UTC) - timedelta(seconds=offset)
            self._take_instant(line, moment, row)

    def _take_instant(self, line: int, moment: datetime, row: _Row) -> None:
        """Takes a row whose time is an instant: its interval begins there, or before."""
        begin = moment - self._back
        day = begin.date()
        seen = self._seen.setdefault(day, bytearray())
        place = self._places[begin.strftime("%H:%M:%S")]
        if place >= len(seen):
            seen.extend(bytes(place + 1 - len(seen)))
        if seen[place]:
            self._reject(
                [RowError(line, self._layout.time.column, row.time, DUPLICATE_TIME)], row.text
            )
            return
        seen[place] = 1
        local = begin.astimezone(self._around.zone)
        ahead = local.utcoffset()
        assert ahead is not None
        date_text = local.strftime("%Y-%m-%d %H:%M:%S")
        self._dates.append(date_text)
        number = self.readings + len(self._dates)
        self._lines.append(f"{number},{date_text},{int(ahead.total_seconds())},{row.quantities}\n")
        self.missing += row.missing

    def _runs(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The instants of the readings, as `usual_interval` takes them."""
        for day, seen in self._seen.items():
            yield seconds_since_1970(midnight(day)), self._places.seconds(bytes(seen))
