"""Reading the rows of a report in the project's own format, `monitoring`."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time

from domain.quantities import DECIMALS, INTEGER_DIGITS, MONTH_NAMES, QUANTITIES
from domain.time.local_time import DUPLICATE_TIME, OTHER_ZONE_TIME
from loader.formats.timestamps.notation import ISO_EXAMPLE, YEAR_RANGE, parse_iso_instant
from loader.rows.errors import RowError
from loader.rows.file_reader import check_row_length
from loader.rows.header import Header
from loader.rows.reader import (
    FIRST_YEAR,
    LAST_YEAR,
    ParseContext,
    RepeatedTime,
    RowReader,
    midnight,
    seconds_since_1970,
)

MONITORING_HEADER = ("Date", *(column.header for column in QUANTITIES))

_DAY = rf"[0-9]{{1,2}} (?:{'|'.join(MONTH_NAMES)}) [0-9]{{4}}"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_NUMBER = rf"-?[0-9]{{1,{INTEGER_DIGITS}}}(?:\.[0-9]{{1,{DECIMALS}}})?"
# Nearly all rows look like this: nothing is missing, and three decimals each.
_USUAL_DECIMALS = 3
_USUAL_NUMBER = (
    rf"(?!-0\.0+[,\r\n])-?(?:0|[1-9][0-9]{{0,{INTEGER_DIGITS - 1}}})\.[0-9]{{{_USUAL_DECIMALS}}}"
)
_USUAL = ",".join([_USUAL_NUMBER] * len(QUANTITIES))
_ANY = ",".join([f"(?:{_NUMBER})?"] * len(QUANTITIES))
_ROW = re.compile(rf"^({_DAY}) ({_TIME}),(?:({_USUAL})|({_ANY}))\r?\n", re.MULTILINE)
_ZEROS = "0" * DECIMALS
_USUAL_ZEROS = "0" * (DECIMALS - _USUAL_DECIMALS)
_USUAL_END = f"{_USUAL_ZEROS},"
_DATE = re.compile(f"({_DAY}) ({_TIME})")
_QUANTITY = re.compile(f"(?:{_NUMBER})?")

_DATE_EXPECTED = f"a date like 1 Aug 2019 00:15:00 or {ISO_EXAMPLE}, {YEAR_RANGE}"
_FIELDS_EXPECTED = f"{len(MONITORING_HEADER)} fields, separated by commas"
_QUANTITY_EXPECTED = (
    f"a decimal like -8.382, at most {INTEGER_DIGITS} digits before the point and {DECIMALS} "
    "after it, or nothing"
)

Fields = tuple[str, str, str, str]
"""The day, the time and the quantities of a row as text: the usual ones, or else others."""


@dataclass(slots=True)
class _Day:
    """A day of the report: its offset, None if it changes, and the times of day seen so far."""

    date: date
    offset: int | None
    seen: bytearray = field(default_factory=bytearray)


class MonitoringRows(RowReader[Fields]):
    """Reads rows like `1 Aug 2019 00:15:00,1.299,...`; the date may also be ISO with its offset."""

    def __init__(self, context: ParseContext, header: Header) -> None:
        super().__init__(context, context.zone)
        self._has_reasons = header.has_reasons
        self._days: dict[str, _Day | None] = {}
        self._days_by_date: dict[date, _Day] = {}

    def read(self, chunk: bytes, line: int) -> None:
        """Read whole lines, the first of which has this number."""
        self._add_rows(self._rows(chunk, line))

    def _rows(self, chunk: bytes, line: int) -> Iterable[tuple[int, Fields]]:
        """Return the rows of a chunk that are valid by themselves."""
        if chunk.isascii():
            # One expression for the whole chunk; unless all rows match, they are parsed singly.
            rows = _ROW.findall(chunk.decode("ascii"))
            if len(rows) == chunk.count(b"\n"):
                return enumerate(rows, line)
        return self._parse_rows(chunk, line)

    def _add_rows(self, rows: Iterable[tuple[int, Fields]]) -> None:
        """Add rows with their offsets; buffer those of days on which clocks change."""
        lines, dates = self._lines, self._dates
        last_name = None
        day: _Day | None = None
        times_of_day = self._times_of_day
        for row in rows:
            _, (name, clock_time, usual, other) = row
            if name != last_name:
                last_name = name
                day = self._day(name)
                if day is not None:
                    if not self._continues_buffer(day):
                        self.flush()
                    date_text, offset, seen = day.date.isoformat(), day.offset, day.seen
            if day is None:
                self._reject_invalid(*self._date_error(row, _DATE_EXPECTED), None)
                continue
            if offset is None:
                self._buffer(row[0], _local(day, clock_time), row[1])
                continue
            index = times_of_day[clock_time]
            if index >= len(seen):
                seen.extend(bytes(index + 1 - len(seen)))
            if seen[index]:
                self._add_repeat(row, _local(day, clock_time), offset)
                continue
            seen[index] = 1
            quantities = (
                usual.replace(",", _USUAL_END) + _USUAL_ZEROS
                if usual
                else self._format_quantities(other)
            )
            local = f"{date_text} {clock_time}"
            dates.append(local)
            lines.append(f"{self.readings + len(dates)},{local},{offset},{quantities}\n")

    def _continues_buffer(self, day: _Day) -> bool:
        return day.offset is None and self._dst_days.continues(day.date)

    def _add_local(self, line: int, local: datetime, offset: int | str, row: Fields) -> None:
        """Add a row by its local time and offset, or reject it with what was expected instead."""
        if offset == DUPLICATE_TIME:
            self._add_repeat((line, row), local, None)
        elif isinstance(offset, str):
            self._reject(*self._date_error((line, row), offset))
        else:
            _, _, usual, other = row
            self._append(local, offset, usual or other)

    def _add_repeat(self, row: tuple[int, Fields], local: datetime, offset: int | None) -> None:
        """Add a row whose time an earlier one has, too."""
        if self._is_of_other_zone(local):
            self._reject(*self._date_error(row, OTHER_ZONE_TIME))
            return
        _, (_, _, usual, other) = row
        quantities = ",".join(map(_format_quantity, (usual or other).split(",")))
        (error,), raw = self._date_error(row, DUPLICATE_TIME)
        self._reject_repeat(RepeatedTime(local.isoformat(" "), offset, quantities, error, raw))

    def _append(self, local: datetime, offset: int, quantities: str) -> None:
        text = local.isoformat(" ")
        self._dates.append(text)
        number = self.readings + len(self._dates)
        self._lines.append(f"{number},{text},{offset},{self._format_quantities(quantities)}\n")

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
            day = _Day(local_date, self._resolver.offset_all_day(local_date))
            # `1 Aug` and `01 Aug` are one day.
            self._days[name] = self._days_by_date.setdefault(local_date, day)
        return self._days[name]

    def _runs(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the instants of the readings in runs, see `Differences`."""
        for day in self._days_by_date.values():
            if day.offset is not None:
                start = seconds_since_1970(midnight(day.date)) - day.offset
                yield start, self._times_of_day.seconds(bytes(day.seen))
        for local, offset in self._dst_days.assigned:
            yield seconds_since_1970(local) - offset, (0,)

    def _date_error(self, row: tuple[int, Fields], expected: str) -> tuple[list[RowError], bytes]:
        number, (name, clock_time, usual, other) = row
        error = RowError(number, MONITORING_HEADER[0], f"{name} {clock_time}", expected)
        return [error], f"{name} {clock_time},{usual or other}".encode()

    def _parse_rows(self, chunk: bytes, line: int) -> Iterator[tuple[int, Fields]]:
        """Yield the valid rows of a chunk, parsed one by one."""
        for number, raw in enumerate(chunk.removesuffix(b"\n").split(b"\n"), line):
            check_row_length(self._context.path, number, raw)
            fields = self._split(number, raw)
            if fields is None:
                continue
            if isinstance(fields, RowError):
                self._reject_invalid([fields], raw, None)
            elif row := self._parse_fields(number, raw, fields):
                yield number, row

    def _split(self, number: int, raw: bytes) -> list[str] | RowError | None:
        """Return the fields of a row, or its error; None for an empty line."""
        text = raw.decode("utf-8", "replace").rstrip("\r")
        if not text.strip():
            return None
        if b"\0" in raw or "\ufffd" in text:
            return RowError(number, "row", text, "UTF-8 without NUL bytes")
        try:
            fields = [field.strip() for field in next(csv.reader([text], strict=True))]
        except csv.Error:
            return RowError(number, "row", text, "fields whose quotes are closed")
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
            row = match[1], match[2], "", ",".join(quantities)
            day = self._day(match[1])
            local = None if day is None else _local(day, match[2])
        elif instant:
            timestamp = instant.astimezone(self._context.zone)
            local = timestamp.replace(tzinfo=None)
            row = _day_name(local), local.strftime("%H:%M:%S"), "", ",".join(quantities)
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
