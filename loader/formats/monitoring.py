"""Reading the rows of a report in the project's own format, `monitoring`."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time

import numpy as np

from domain.columns import Bits, Column
from domain.quantities import DECIMALS, INTEGER_DIGITS, MONTH_NAMES, QUANTITIES, QUANTITY_NAMES
from domain.time.local_time import DUPLICATE_TIME, OTHER_ZONE_TIME
from loader.formats.delimited.day_marks import Marks
from loader.formats.delimited.plain_rows import PlainColumn, PlainLayout, PlainRowReader
from loader.formats.delimited.quick_times import Cut, ParsedTexts, QuickTimes
from loader.formats.timestamps.notation import ISO_EXAMPLE, YEAR_RANGE, parse_iso_instant
from loader.rows.errors import RowError
from loader.rows.file_reader import check_row_length
from loader.rows.header import Header
from loader.rows.reader import (
    FIRST_YEAR,
    LAST_YEAR,
    ParseContext,
    RepeatedTime,
    midnight,
    seconds_since_1970,
)

MONITORING_HEADER = ("Date", *(column.header for column in QUANTITIES))

_DAY = rf"[0-9]{{1,2}} (?:{'|'.join(MONTH_NAMES)}) [0-9]{{4}}"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_NUMBER = rf"-?[0-9]{{1,{INTEGER_DIGITS}}}(?:\.[0-9]{{1,{DECIMALS}}})?"
_ZEROS = "0" * DECIMALS
_DATE = re.compile(f"({_DAY}) ({_TIME})")
_DAY_NAME, _CLOCK_TIME = re.compile(_DAY), re.compile(_TIME)
_QUANTITY = re.compile(f"(?:{_NUMBER})?")

_DATE_EXPECTED = f"a date like 1 Aug 2019 00:15:00 or {ISO_EXAMPLE}, {YEAR_RANGE}"
_FIELDS_EXPECTED = f"{len(MONITORING_HEADER)} fields, separated by commas"
_QUANTITY_EXPECTED = (
    f"a decimal like -8.382, at most {INTEGER_DIGITS} digits before the point and {DECIMALS} "
    "after it, or nothing"
)

_COLUMNS = [PlainColumn(name, [at]) for at, name in enumerate(QUANTITY_NAMES, 1)]

Fields = tuple[str, str, str]
"""The day, the time and the quantities of a row as text."""


@dataclass(slots=True)
class _Day:
    """A day of the report, and its offset, None if it changes."""

    date: date
    offset: int | None


class MonitoringRows(PlainRowReader[Fields]):
    """Reads rows like `1 Aug 2019 00:15:00,1.299,...`; the date may also be ISO with its offset."""

    def __init__(self, context: ParseContext, header: Header) -> None:
        super().__init__(context, context.zone, np.uint8)
        self._has_reasons = header.has_reasons
        self._days: dict[str, _Day | None] = {}
        times = QuickTimes(
            0, None, Cut(b" ", at_last=True), ParsedTexts(self._day_start), _CLOCK_TIMES
        )
        self._plain = PlainLayout(
            header, ".", times, _COLUMNS, QUANTITY_NAMES, most_decimals=DECIMALS
        )

    def _marks(self, quantities: Mapping[str, Column], flags: Bits) -> Marks:
        """Return marks that are all the same: rows of one time are compared later."""
        del quantities
        return np.ones(len(flags), np.uint8)

    def _read_line(self, number: int, raw: bytes) -> None:
        check_row_length(self._context.path, number, raw)
        fields = self._split(number, raw)
        if isinstance(fields, RowError):
            self._reject_invalid([fields], raw, None)
        elif fields is not None and (row := self._parse_fields(number, raw, fields)):
            self._add_row(number, row)

    def _add_row(self, line: int, row: Fields) -> None:
        """Add a row with its offset, or buffer it if clocks change on its day."""
        name, clock_time, quantities = row
        day = self._day(name)
        if day is None:
            self._reject_invalid(*self._date_error(line, row, _DATE_EXPECTED), None)
            return
        if not self._continues_buffer(day):
            self.flush()
        if day.offset is None:
            self._buffer(line, _local(day, clock_time), row)
            return
        start = seconds_since_1970(_local(day, clock_time)) - day.offset
        local, offset, earlier = self._starts.add(start, 1)
        if earlier:
            self._add_repeat(line, row, _local(day, clock_time), offset)
        else:
            self._ready.add_line(local, offset, self._format_quantities(quantities))

    def _continues_buffer(self, day: _Day) -> bool:
        return day.offset is None and self._dst_days.continues(day.date)

    def _add_local(self, line: int, local: datetime, offset: int | str, row: Fields) -> None:
        """Add a row by its local time and offset, or reject it with what was expected instead."""
        if offset == DUPLICATE_TIME:
            self._add_repeat(line, row, local, None)
        elif isinstance(offset, str):
            self._reject(*self._date_error(line, row, offset))
        else:
            quantities = self._format_quantities(row[2])
            self._ready.add_line(local.isoformat(" "), offset, quantities)

    def _add_repeat(self, line: int, row: Fields, local: datetime, offset: int | None) -> None:
        """Add a row whose time an earlier one has, too."""
        if self._is_of_other_zone(local):
            self._reject(*self._date_error(line, row, OTHER_ZONE_TIME))
            return
        quantities = ",".join(map(_format_quantity, row[2].split(",")))
        (error,), raw = self._date_error(line, row, DUPLICATE_TIME)
        self._reject_repeat(RepeatedTime(local.isoformat(" "), offset, quantities, error, raw))

    def _format_quantities(self, quantities: str) -> str:
        """Return quantities as a RowBatch has them, and count the missing ones."""
        fields = quantities.split(",")
        self.missing += fields.count("")
        return ",".join(map(_format_quantity, fields))

    def _day(self, name: str) -> _Day | None:
        """Return a day by its name, such as `1 Aug 2019`; None if it is no valid day."""
        try:
            return self._days[name]
        except KeyError:
            pass
        number, month, year = name.split(" ")
        self._days[name] = None
        if FIRST_YEAR <= int(year) <= LAST_YEAR:
            try:
                local_date = date(int(year), MONTH_NAMES.index(month) + 1, int(number))
            except ValueError:
                return None
            self._days[name] = _Day(local_date, self._resolver.offset_all_day(local_date))
        return self._days[name]

    def _day_start(self, text: str) -> int | None:
        """Return when a day starts, in seconds since 1970; None if clocks change on it."""
        day = self._day(text) if _DAY_NAME.fullmatch(text) else None
        if day is None or day.offset is None:
            return None
        return seconds_since_1970(midnight(day.date)) - day.offset

    def _runs(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the instants of the readings in runs, see `Differences`."""
        yield from self._starts.runs()
        for local, offset in self._dst_days.assigned:
            yield seconds_since_1970(local) - offset, (0,)

    def _date_error(self, line: int, row: Fields, expected: str) -> tuple[list[RowError], bytes]:
        name, clock_time, quantities = row
        error = RowError(line, MONITORING_HEADER[0], f"{name} {clock_time}", expected)
        return [error], f"{name} {clock_time},{quantities}".encode()

    def _split(self, number: int, raw: bytes) -> list[str] | RowError | None:
        """Return the fields of a row, or its error; None for an empty line."""
        text = raw.decode("utf-8", "replace").rstrip("\r")
        if not text.strip():
            return None
        if b"\0" in raw or "\ufffd" in text:
            return RowError(number, "row", text, "UTF-8 without NUL bytes")
        fields = text.split(",")
        if '"' in text or "\r" in text:
            try:
                fields = next(csv.reader([text], strict=True))
            except csv.Error:
                return RowError(number, "row", text, "fields whose quotes are closed")
        fields = [field.strip() for field in fields]
        if not len(MONITORING_HEADER) <= len(fields) <= len(MONITORING_HEADER) + self._has_reasons:
            return RowError(number, "row", f"{len(fields)} fields", _FIELDS_EXPECTED)
        return fields

    def _parse_fields(self, number: int, raw: bytes, fields: list[str]) -> Fields | None:
        """Return a row from its fields; None if it was rejected, or added by its own offset."""
        match = _DATE.fullmatch(fields[0])
        instant = None if match else parse_iso_instant(fields[0])
        quantities = fields[1 : len(MONITORING_HEADER)]
        errors = [
            RowError(number, column, value, _QUANTITY_EXPECTED)
            for column, value in zip(MONITORING_HEADER[1:], quantities, strict=True)
            if not _QUANTITY.fullmatch(value)
        ]
        if match:
            row = match[1], match[2], ",".join(quantities)
            day = self._day(match[1])
            local = None if day is None else _local(day, match[2])
        elif instant:
            timestamp = instant.astimezone(self._context.zone)
            local = timestamp.replace(tzinfo=None)
            row = _day_name(local), local.strftime("%H:%M:%S"), ",".join(quantities)
        else:
            local = None
            errors.insert(0, RowError(number, MONITORING_HEADER[0], fields[0], _DATE_EXPECTED))
        if errors:
            self._reject_invalid(errors, raw, local)
            return None
        if instant and self._is_dst_day(row[0]):
            self._add_on_dst_day(number, timestamp, row)
            return None
        return row

    def _is_dst_day(self, name: str) -> bool:
        day = self._day(name)
        return day is not None and day.offset is None

    def _add_on_dst_day(self, number: int, timestamp: datetime, row: Fields) -> None:
        """Add a row that has its own offset, on a day on which clocks change."""
        self.flush()
        local, utc_offset = timestamp.replace(tzinfo=None), timestamp.utcoffset()
        assert utc_offset is not None
        offset = int(utc_offset.total_seconds())
        if (local, offset) in self._dst_days.assigned:
            self._add_local(number, local, DUPLICATE_TIME, row)
        else:
            self._dst_days.assigned.add((local, offset))
            self._add_local(number, local, offset, row)


def _local(day: _Day, clock_time: str) -> datetime:
    return datetime.combine(day.date, time.fromisoformat(clock_time))


def _seconds(clock_time: str) -> int | None:
    """Return the seconds since midnight of a time of day, None if it is none."""
    if not _CLOCK_TIME.fullmatch(clock_time):
        return None
    hours, minutes, seconds = clock_time.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)


_CLOCK_TIMES = ParsedTexts(_seconds)


def _day_name(local: datetime) -> str:
    """Return the name of a day, as reports have it."""
    return f"{local.day} {MONTH_NAMES[local.month - 1]} {local.year}"


def _format_quantity(quantity: str) -> str:
    """Return a quantity with all decimals, in its one canonical notation."""
    if not quantity:
        return ""
    whole, _, decimals = quantity.removeprefix("-").partition(".")
    text = f"{whole.lstrip('0') or '0'}.{(decimals + _ZEROS)[:DECIMALS]}"
    return f"-{text}" if quantity[0] == "-" and text.strip("0.") else text
