"""A CSV report: read in slices, each row checked and dated.

What is right goes on as the lines that the storage takes, see `storage.incoming`; what is
wrong becomes a Fault. Memory does not grow with the report.
"""

import csv
import gzip
import hashlib
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import IO
from zoneinfo import ZoneInfo

from storage.incoming import Block
from storage.localtime import SHOWN_BEFORE, LocalClock
from storage.reading import COLUMNS, DECIMALS, INTEGER_DIGITS

HEADER = ("Date", *(column.header for column in COLUMNS))
REASON = "Rejected because"
"""The heading of the column that a file of rejected rows has more than a report."""

STANDARD_INPUT = "-"

_SLICE = 2**20
_LONGEST_ROW = 2**16
_FIRST_YEAR, _LAST_YEAR = 1970, 2199

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = rf"[0-9]{{1,2}} (?:{'|'.join(_MONTHS)}) [0-9]{{4}}"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_NUMBER = rf"-?[0-9]{{1,{INTEGER_DIGITS}}}(?:\.[0-9]{{1,{DECIMALS}}})?"
# Nearly all rows look like this: nothing is missing, and three decimals each.
_USUAL_DECIMALS = 3
_USUAL_NUMBER = (
    rf"(?!-0\.0+[,\r\n])-?(?:0|[1-9][0-9]{{0,{INTEGER_DIGITS - 1}}})\.[0-9]{{{_USUAL_DECIMALS}}}"
)
_USUAL = ",".join([_USUAL_NUMBER] * len(COLUMNS))
_ANY = ",".join([f"(?:{_NUMBER})?"] * len(COLUMNS))
_ROW = re.compile(rf"^({_DAY}) ({_TIME}),(?:({_USUAL})|({_ANY}))\r?\n", re.MULTILINE)
_ZEROS = "0" * DECIMALS
_USUAL_ZEROS = "0" * (DECIMALS - _USUAL_DECIMALS)
_USUAL_END = f"{_USUAL_ZEROS},"
_DATE = re.compile(f"({_DAY}) ({_TIME})")
_QUANTITY = re.compile(f"(?:{_NUMBER})?")

_DATE_EXPECTED = f"a date like 1 Aug 2019 00:15:00, from {_FIRST_YEAR} to {_LAST_YEAR}"
_FIELDS_EXPECTED = f"{len(HEADER)} fields, separated by commas"
_QUANTITY_EXPECTED = (
    f"a decimal like -8.382, at most {INTEGER_DIGITS} digits before the point and {DECIMALS} "
    "after it, or nothing"
)


class ReportError(Exception):
    """A report can't be used; the text is one line that names it."""


class FaultyRowsError(ReportError):
    """Rows of a report are wrong, as was told of each."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong in a line, counted from 1."""

    line: int
    column: str
    value: str
    expected: str

    def __str__(self) -> str:
        value = self.value if len(self.value) <= 60 else f"{self.value[:57]}..."
        shown = value.encode("unicode_escape").decode() or "nothing"
        return f"{self.line}: {self.column}: {shown}: expected {self.expected}"


Row = tuple[int, tuple[str, str, str, str]]
"""A line's number, and its day, time and quantities as they stand in it: the usual or others."""


@dataclass(slots=True)
class _Day:
    """A day of the report: its offset, None where clocks change, and the times seen so far."""

    date: date
    offset: int | None
    seen: bytearray = field(default_factory=bytearray)
    seen_on_change: set[tuple[datetime, int]] = field(default_factory=set)


class _Places(dict[str, int]):
    """A place for every time of day that occurs, in the order of occurrence."""

    def __missing__(self, key: str) -> int:
        self[key] = place = len(self)
        return place


class Report:
    """A report on its way in: `blocks` reads it once, and the counts are right after that.

    `on_faults` is told what is wrong in a row and the row's own text. Once a row was wrong,
    further blocks are only checked, unless bad rows are to be skipped.
    """

    def __init__(
        self,
        path: str,
        zone: ZoneInfo,
        *,
        skip_bad_rows: bool,
        on_faults: Callable[[list[Fault], bytes], None],
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.path = path
        self.name = "standard input" if path == STANDARD_INPUT else _shown(Path(path).name)
        self.readings = 0
        self.missing = 0
        self.rejected = 0
        self.span: tuple[str, str] | None = None
        self._skip_bad_rows = skip_bad_rows
        self._on_faults = on_faults
        self._on_progress = on_progress
        self._clock = LocalClock(zone)
        self._days: dict[str, _Day | None] = {}
        self._known: dict[date, _Day] = {}
        self._places = _Places()
        self._pending: list[Row] = []
        self._dated: list[str] = []
        self._dates: list[str] = []
        self._has_reasons = False
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The digest of what was read, uncompressed, in hex."""
        return self._digest.hexdigest()

    def blocks(self) -> Iterator[Block]:
        """The checked rows.

        Raises ReportError where the file can't be read or isn't a report, and FaultyRowsError
        at its end where rows were wrong and none are to be skipped.
        """
        line = 1
        for part in self._slices():
            count = part.count(b"\n")
            body = part
            if line == 1:
                heading, _, body = part.partition(b"\n")
                self._read_heading(heading)
            rows = self._rows(body, line + count - body.count(b"\n"))
            self._date(rows)
            yield from self._block()
            line += count
        self._date_pending()
        yield from self._block()
        if line == 1:
            raise ReportError(f"{self.path}: expected a report, the file is empty")
        if self.rejected and not self._skip_bad_rows:
            raise FaultyRowsError(f"{self.path}: {self.rejected} rows are wrong")
        if not self.readings:
            raise ReportError(f"{self.path}: expected at least one reading below the heading")

    def _block(self) -> Iterator[Block]:
        """The rows that were dated since the last block."""
        rows, dates, self._dated, self._dates = self._dated, self._dates, [], []
        if not rows:
            return
        first, last = min(dates), max(dates)
        earliest, latest = self.span or (first, last)
        self.span = min(first, earliest), max(last, latest)
        self.readings += len(rows)
        if self._skip_bad_rows or not self.rejected:
            yield Block("".join(rows).encode(), len(rows), first, last)

    def _slices(self) -> Iterator[bytes]:
        """The file in parts of whole lines, each line with its end."""
        rest = b""
        lines = size = 0
        try:
            with _opened(self.path) as raw, _unpacked(raw, self.path) as file:
                while part := file.read(_SLICE):
                    self._digest.update(part)
                    whole, end, rest = (rest + part).rpartition(b"\n")
                    lines += whole.count(b"\n") + len(end)
                    if end:
                        yield whole + end
                    self._check_length(lines + 1, rest)
                    size += len(part)
                    self._on_progress(raw.tell() if raw.seekable() else size)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ReportError(f"{self.path}: cannot be read: {reason}") from error
        if rest:
            yield rest + b"\n"

    def _check_length(self, line: int, raw: bytes) -> None:
        if len(raw) > _LONGEST_ROW:
            raise ReportError(
                f"{self.path}:{line}: row: over {_LONGEST_ROW} bytes: expected {_FIELDS_EXPECTED}"
            )

    def _read_heading(self, heading: bytes) -> None:
        self._check_length(1, heading)
        text = heading.decode("utf-8-sig", "replace").rstrip("\r")
        try:
            names = tuple(name.strip() for name in next(csv.reader([text]), []))
        except csv.Error:
            names = ()
        self._has_reasons = names == (*HEADER, REASON)
        if names != HEADER and not self._has_reasons:
            raise ReportError(f"{self.path}:1: heading: {text[:80]!a}: expected {','.join(HEADER)}")

    def _rows(self, part: bytes, line: int) -> Iterable[Row]:
        """The rows of a part that are right in themselves."""
        if part.isascii():
            # One expression over the whole part: what it doesn't match is looked at row by row.
            rows = _ROW.findall(part.decode("ascii"))
            if len(rows) == part.count(b"\n"):
                return enumerate(rows, line)
        return self._examined(part, line)

    def _examined(self, part: bytes, line: int) -> Iterator[Row]:
        for number, raw in enumerate(part.removesuffix(b"\n").split(b"\n"), line):
            self._check_length(number, raw)
            row = _examined(number, raw, has_reasons=self._has_reasons)
            if isinstance(row, list):
                self._reject(row, raw)
            elif row is not None:
                yield number, row

    def _date(self, rows: Iterable[Row]) -> None:
        """Dates rows for the storage; those of days on which clocks change wait for their end."""
        dated, dates = self._dated, self._dates
        today = None
        day: _Day | None = None
        places = self._places
        for row in rows:
            _, (name, clock_time, usual, other) = row
            if name != today:
                today = name
                day = self._day(name)
                if day is not None:
                    if not self._continues_pending(day):
                        self._date_pending()
                    date_text, offset, seen = day.date.isoformat(), day.offset, day.seen
            if day is None:
                self._reject_date(row, _DATE_EXPECTED)
                continue
            if offset is None:
                self._pending.append(row)
                continue
            place = places[clock_time]
            if place >= len(seen):
                seen.extend(bytes(place + 1 - len(seen)))
            if seen[place]:
                self._reject_date(row, SHOWN_BEFORE)
                continue
            seen[place] = 1
            quantities = (
                usual.replace(",", _USUAL_END) + _USUAL_ZEROS if usual else self._all(other)
            )
            local = f"{date_text} {clock_time}"
            dates.append(local)
            dated.append(f"{self.readings + len(dates)},{local},{offset},{quantities}\n")

    def _continues_pending(self, day: _Day) -> bool:
        """Whether clocks change on this day too: the repeated hour may go past midnight."""
        if not self._pending or day.offset is not None:
            return False
        before = self._day(self._pending[-1][1][0])
        return before is not None and abs(day.date - before.date) <= timedelta(days=1)

    def _date_pending(self) -> None:
        """Dates the rows of days on which clocks change, which count in their order."""
        rows, self._pending = self._pending, []
        days = [day for row in rows if (day := self._day(row[1][0])) is not None]
        times = [
            datetime.combine(day.date, time.fromisoformat(row[1][1]))
            for row, day in zip(rows, days, strict=True)
        ]
        offsets = self._clock.offsets(times)
        for row, day, local, offset in zip(rows, days, times, offsets, strict=True):
            _, (_, _, usual, other) = row
            if isinstance(offset, str):
                self._reject_date(row, offset)
            elif (local, offset) in day.seen_on_change:
                self._reject_date(row, SHOWN_BEFORE)
            else:
                day.seen_on_change.add((local, offset))
                self._dates.append(local.isoformat(" "))
                number = self.readings + len(self._dates)
                quantities = self._all(usual or other)
                self._dated.append(f"{number},{self._dates[-1]},{offset},{quantities}\n")

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
        if _FIRST_YEAR <= int(year) <= _LAST_YEAR:
            try:
                day = date(int(year), _MONTHS.index(month) + 1, int(number))
            except ValueError:
                return None
            # `1 Aug` and `01 Aug` are one day.
            known = self._known.setdefault(day, _Day(day, self._clock.offset_all_day(day)))
            self._days[name] = known
        return self._days[name]

    def _reject_date(self, row: Row, expected: str) -> None:
        number, (name, clock_time, usual, other) = row
        fault = Fault(number, HEADER[0], f"{name} {clock_time}", expected)
        self._reject([fault], f"{name} {clock_time},{usual or other}".encode())

    def _reject(self, faults: list[Fault], raw: bytes) -> None:
        self.rejected += 1
        self._on_faults(faults, raw)


def _examined(
    number: int, raw: bytes, *, has_reasons: bool
) -> tuple[str, str, str, str] | list[Fault] | None:
    """The day, time and quantities of a row, or what is wrong in it; None for an empty line."""
    text = raw.decode("utf-8", "replace").rstrip("\r")
    if not text.strip():
        return None
    if b"\0" in raw or "\ufffd" in text:
        return [Fault(number, "row", text, "UTF-8 without NUL bytes")]
    try:
        fields = [field.strip() for field in next(csv.reader([text], strict=True))]
    except csv.Error:
        return [Fault(number, "row", text, "fields whose quotes are closed")]
    if not len(HEADER) <= len(fields) <= len(HEADER) + has_reasons:
        return [Fault(number, "row", f"{len(fields)} fields", _FIELDS_EXPECTED)]
    faults = []
    moment = _DATE.fullmatch(fields[0])
    if moment is None:
        faults.append(Fault(number, HEADER[0], fields[0], _DATE_EXPECTED))
    quantities = fields[1 : len(HEADER)]
    faults += [
        Fault(number, heading, value, _QUANTITY_EXPECTED)
        for heading, value in zip(HEADER[1:], quantities, strict=True)
        if not _QUANTITY.fullmatch(value)
    ]
    if moment is None or faults:
        return faults
    return moment[1], moment[2], "", ",".join(quantities)


def _stored(quantity: str) -> str:
    """A quantity with all decimals, and in the one way to write it."""
    if not quantity:
        return ""
    whole, _, decimals = quantity.removeprefix("-").partition(".")
    text = f"{whole.lstrip('0') or '0'}.{(decimals + _ZEROS)[:DECIMALS]}"
    return f"-{text}" if quantity[0] == "-" and text.strip("0.") else text


def _shown(name: str) -> str:
    """The name of a file in characters that every database and terminal takes."""
    return os.fsencode(name).decode("utf-8", "replace")


def _opened(path: str) -> AbstractContextManager[IO[bytes]]:
    if path == STANDARD_INPUT:
        return nullcontext(sys.stdin.buffer)
    return Path(path).open("rb")


def _unpacked(
    raw: IO[bytes], path: str
) -> AbstractContextManager[IO[bytes]] | AbstractContextManager[gzip.GzipFile]:
    return gzip.open(raw) if path.endswith(".gz") else nullcontext(raw)
