"""The rows of a report in the project's own format, `monitoring`."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time

from domain.local_time import DUPLICATE_TIME
from domain.quantities import DECIMALS, INTEGER_DIGITS, MONTH_NAMES, QUANTITIES
from loader.formats.timestamps import ISO_EXAMPLE, YEAR_RANGE, parse_iso_instant
from loader.rows.errors import RowError
from loader.rows.file_reader import check_row_length
from loader.rows.header import Header
from loader.rows.reader import (
    FIRST_YEAR,
    LAST_YEAR,
    ParseContext,
    RowReader,
    midnight,
    seconds_since_1970,
)

HEADER = ("Date", *(column.header for column in QUANTITIES))

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
_FIELDS_EXPECTED = f"{len(HEADER)} fields, separated by commas"
_QUANTITY_EXPECTED = (
    f"a decimal like -8.382, at most {INTEGER_DIGITS} digits before the point and {DECIMALS} "
    "after it, or nothing"
)

Fields = tuple[str, str, str, str]
"""The day, the time and the quantities of a row as they stand in it: the usual or others."""


@dataclass(slots=True)
class _Day:
    """A day of the report: its offset, None where clocks change, and the times seen so far."""

    date: date
    offset: int | None
    seen: bytearray = field(default_factory=bytearray)


class MonitoringRows(RowReader[Fields]):
    """Rows like `1 Aug 2019 00:15:00,1.299,...`; the date may also be one with its offset."""

    def __init__(self, around: ParseContext, heading: Header) -> None:
        super().__init__(around, around.zone)
        self._has_reasons = heading.has_reasons
        self._days: dict[str, _Day | None] = {}
        self._known: dict[date, _Day] = {}

    def take(self, part: bytes, line: int) -> None:
        """Reads whole lines, the first of which has this number."""
        self._date(self._rows(part, line))

    def _rows(self, part: bytes, line: int) -> Iterable[tuple[int, Fields]]:
        """The rows of a part that are right in themselves."""
        if part.isascii():
            # One expression over the whole part: what it doesn't match is looked at row by row.
            rows = _ROW.findall(part.decode("ascii"))
            if len(rows) == part.count(b"\n"):
                return enumerate(rows, line)
        return self._examined(part, line)

    def _date(self, rows: Iterable[tuple[int, Fields]]) -> None:
        """Dates rows for the storage; those of days on which clocks change wait for their end."""
        lines, dates = self._lines, self._dates
        today = None
        day: _Day | None = None
        places = self._places
        for row in rows:
            _, (name, clock_time, usual, other) = row
            if name != today:
                today = name
                day = self._day(name)
                if day is not None:
                    if not self._continues_waiting(day):
                        self.settle()
                    date_text, offset, seen = day.date.isoformat(), day.offset, day.seen
            if day is None:
                self._leave_out(*self._undated(row, _DATE_EXPECTED), None)
                continue
            if offset is None:
                self._wait(row[0], _local(day, clock_time), row[1])
                continue
            place = places[clock_time]
            if place >= len(seen):
                seen.extend(bytes(place + 1 - len(seen)))
            if seen[place]:
                self._reject(*self._undated(row, DUPLICATE_TIME))
                continue
            seen[place] = 1
            quantities = (
                usual.replace(",", _USUAL_END) + _USUAL_ZEROS if usual else self._all(other)
            )
            local = f"{date_text} {clock_time}"
            dates.append(local)
            lines.append(f"{self.readings + len(dates)},{local},{offset},{quantities}\n")

    def _continues_waiting(self, day: _Day) -> bool:
        return day.offset is None and self._changing.continues(day.date)

    def _take_dated(self, line: int, local: datetime, offset: int | str, row: Fields) -> None:
        """Takes a row that waited, with its offset, or what was expected instead."""
        if isinstance(offset, str):
            self._reject(*self._undated((line, row), offset))
        else:
            _, _, usual, other = row
            self._append(local, offset, usual or other)

    def _append(self, local: datetime, offset: int, quantities: str) -> None:
        text = local.isoformat(" ")
        self._dates.append(text)
        number = self.readings + len(self._dates)
        self._lines.append(f"{number},{text},{offset},{self._all(quantities)}\n")

    def _all(self, quantities: str) -> str:
        """Quantities as the storage takes them, the missing ones counted."""
        fields = quantities.split(",")
        self.missing += fields.count("")
        return ",".join(map(_stored, fields))

    def _day(self, name: str) -> _Day | None:
        """What is known of a day such as `1 Aug 2019`; None where there is no such day."""
        try:
            return self._days[name]
        except KeyError:
            pass
        number, month, year = name.split(" ")
        self._days[name] = None
        if FIRST_YEAR <= int(year) <= LAST_YEAR:
            try:
                day = date(int(year), MONTH_NAMES.index(month) + 1, int(number))
            except ValueError:
                return None
            # `1 Aug` and `01 Aug` are one day.
            known = self._known.setdefault(day, _Day(day, self._clock.offset_all_day(day)))
            self._days[name] = known
        return self._days[name]

    def _runs(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The instants of the readings, as `usual_interval` takes them."""
        for day in self._known.values():
            if day.offset is not None:
                begin = seconds_since_1970(midnight(day.date)) - day.offset
                yield begin, self._places.seconds(bytes(day.seen))
        for local, offset in self._changing.taken:
            yield seconds_since_1970(local) - offset, (0,)

    def _undated(self, row: tuple[int, Fields], expected: str) -> tuple[list[RowError], bytes]:
        number, (name, clock_time, usual, other) = row
        fault = RowError(number, HEADER[0], f"{name} {clock_time}", expected)
        return [fault], f"{name} {clock_time},{usual or other}".encode()

    def _examined(self, part: bytes, line: int) -> Iterator[tuple[int, Fields]]:
        """The rows of a part, each looked at by itself."""
        for number, raw in enumerate(part.removesuffix(b"\n").split(b"\n"), line):
            check_row_length(self._around.path, number, raw)
            fields = self._fields(number, raw)
            if fields is None:
                continue
            if isinstance(fields, RowError):
                self._leave_out([fields], raw, None)
            elif row := self._row(number, raw, fields):
                yield number, row

    def _fields(self, number: int, raw: bytes) -> list[str] | RowError | None:
        """The fields of a row, or what is wrong in it; None for an empty line."""
        text = raw.decode("utf-8", "replace").rstrip("\r")
        if not text.strip():
            return None
        if b"\0" in raw or "\ufffd" in text:
            return RowError(number, "row", text, "UTF-8 without NUL bytes")
        try:
            fields = [field.strip() for field in next(csv.reader([text], strict=True))]
        except csv.Error:
            return RowError(number, "row", text, "fields whose quotes are closed")
        if not len(HEADER) <= len(fields) <= len(HEADER) + self._has_reasons:
            return RowError(number, "row", f"{len(fields)} fields", _FIELDS_EXPECTED)
        return fields

    def _row(self, number: int, raw: bytes, fields: list[str]) -> Fields | None:
        """A row from its fields; None where it is wrong, or dated already by its own offset."""
        named = _DATE.fullmatch(fields[0])
        instant = None if named else parse_iso_instant(fields[0])
        quantities = fields[1 : len(HEADER)]
        faults = [
            RowError(number, heading, value, _QUANTITY_EXPECTED)
            for heading, value in zip(HEADER[1:], quantities, strict=True)
            if not _QUANTITY.fullmatch(value)
        ]
        if named:
            row = named[1], named[2], "", ",".join(quantities)
            day = self._day(named[1])
            local = None if day is None else _local(day, named[2])
        elif instant:
            moment = instant.astimezone(self._around.zone)
            local = moment.replace(tzinfo=None)
            row = _name(local), local.strftime("%H:%M:%S"), "", ",".join(quantities)
        else:
            local = None
            faults.insert(0, RowError(number, HEADER[0], fields[0], _DATE_EXPECTED))
        if faults:
            self._leave_out(faults, raw, local)
            return None
        if instant and self._is_changing(row[0]):
            self._take_at_once(number, moment, row)
            return None
        return row

    def _is_changing(self, name: str) -> bool:
        day = self._day(name)
        return day is not None and day.offset is None

    def _take_at_once(self, number: int, moment: datetime, row: Fields) -> None:
        """Takes a row that tells its own offset on a day on which clocks change."""
        self.settle()
        local, ahead = moment.replace(tzinfo=None), moment.utcoffset()
        assert ahead is not None
        offset = int(ahead.total_seconds())
        if (local, offset) in self._changing.taken:
            self._take_dated(number, local, DUPLICATE_TIME, row)
        else:
            self._changing.taken.add((local, offset))
            self._take_dated(number, local, offset, row)


def _local(day: _Day, clock_time: str) -> datetime:
    return datetime.combine(day.date, time.fromisoformat(clock_time))


def _name(local: datetime) -> str:
    """A day as reports have it."""
    return f"{local.day} {MONTH_NAMES[local.month - 1]} {local.year}"


def _stored(quantity: str) -> str:
    """A quantity with all decimals, and in the one way to write it."""
    if not quantity:
        return ""
    whole, _, decimals = quantity.removeprefix("-").partition(".")
    text = f"{whole.lstrip('0') or '0'}.{(decimals + _ZEROS)[:DECIMALS]}"
    return f"-{text}" if quantity[0] == "-" and text.strip("0.") else text
