"""Reading NEM12, in which Australian meter data is exchanged: a day of a channel in a line."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from loader.rows.errors import ReportError
from loader.rows.file_reader import check_row_length
from loader.rows.sorted_rows import NumberedRows, SortedRows, split_rows
from loader.rows.spool import Spool
from loader.sources.tables import (
    NEM12_METER,
    NEM12_QUALITY,
    NEM12_START,
    QUANTITY_COLUMNS,
    in_chunks,
    number_of,
    without_exponent,
)

_QUANTITIES = {
    "E": "energy",
    "B": "exported_energy",
    "Q": "reactive_energy",
    "K": "exported_reactive_energy",
}
"""What channels measure, by the first letter of their suffix."""
_FACTORS = {
    "WH": Decimal("0.001"),
    "KWH": Decimal(1),
    "MWH": Decimal(1000),
    "VARH": Decimal("0.001"),
    "KVARH": Decimal(1),
    "MVARH": Decimal(1000),
}
_MINUTES = (5, 15, 30, 60)
_DAY_MINUTES = 1440
_OFFSET = "+10:00"
"""The time of all NEM12 files: that of eastern Australia without daylight saving time."""

_ACTUAL, _VARIABLE, _NULL = "A", "V", "N"
_WORST_FIRST = "NEFSA"
_QUALITY = re.compile(r"[AEFNSV]([0-9]{0,2})")
_NMI = re.compile(r"[A-Za-z0-9_-]{1,11}")
_SUFFIX = re.compile(r"[A-Z][A-Z0-9]")
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class _Channel:
    """A record 200: what the records below it are of."""

    nmi: str
    suffix: str
    unit: str
    minutes: int


@dataclass(frozen=True, slots=True)
class _DayRecord:
    """A day of a channel."""

    line: int
    channel: _Channel
    values: list[str]
    qualities: list[str]
    updated: str
    """When the record was made, as YYYYMMDDhhmmss."""


def nem12_rows(
    path: str, rows: Iterable[NumberedRows], unread: list[str]
) -> Iterator[NumberedRows]:
    """Yield a table with a row for each meter and time, sorted by these, in which channels meet.

    Channels of a quantity are added up; on a day that lacks one of them, the quantity is missing.
    Those of other quantities are named in `unread`. Raises ReportError if a record is not as it
    must be.
    """
    spool = Spool(path)
    try:
        reading = _RecordReading(path, SortedRows(spool))
        for content, lines in rows:
            for raw, line in zip(split_rows(content), lines, strict=True):
                reading.read(raw, line)
        reading.finish()
        reading.require_any()
        unread += [f"channel {suffix}" for suffix in sorted(reading.others)]
        quantities = [name for name in QUANTITY_COLUMNS if name in reading.quantities]
        columns = [QUANTITY_COLUMNS[name] for name in quantities]
        heading = ",".join([NEM12_METER, NEM12_START, *columns, NEM12_QUALITY])
        yield from in_chunks(_joined_rows(path, reading, quantities), heading)
    finally:
        spool.close()


class _RecordReading:
    """Takes the records in the order of the file."""

    def __init__(self, path: str, days: SortedRows) -> None:
        self.quantities: set[str] = set()
        self.days = days
        """The records of days, by meter and day."""
        self.suffixes: defaultdict[str, set[str]] = defaultdict(set)
        """The channels of each meter that have days."""
        self.others: set[str] = set()
        """The suffixes of channels that are passed over."""
        self._path = path
        self._channel: _Channel | None = None
        self._is_passed_over = False
        """Whether the channel measures something else."""
        self._key = ""
        self._record: list[str] = []
        self._size = 0
        self._line = 0

    def read(self, raw: bytes, line: int) -> None:
        """Take a record; those of a day are kept until the next one."""
        text = raw.decode("utf-8", "replace").strip()
        if not text.strip(","):
            return
        check_row_length(self._path, line, raw)
        text = text.replace('"', "")
        if _SEPARATOR in text:
            raise self._error(line, "row", text[:20], "text")
        kind = text.split(",", 1)[0].strip()
        if kind == "300":
            self._begin_day(text, line)
        elif kind == "400":
            self._add_qualities(text, line)
        elif kind == "200":
            self.finish()
            self._begin_channel(text.split(","), line)
        elif kind in ("100", "900"):
            self.finish()
            self._channel = None
        elif kind != "500":
            raise self._error(line, "record", kind, "100, 200, 300, 400, 500 or 900")

    def finish(self) -> None:
        """Keep the record of the last day."""
        if self._record:
            row = _SEPARATOR.join(self._record).encode()
            self.days.add([self._key], [row], [self._line])
            self._record = []

    def require_any(self) -> None:
        """Raise ReportError if no channel is one that is read."""
        if not self.quantities:
            found = f", there is {', '.join(sorted(self.others)[:5])}" if self.others else ""
            raise ReportError(
                f"{self._path}: expected records 200 of channels whose suffixes begin with"
                f" E, B, Q or K{found}"
            )

    def _begin_channel(self, fields: list[str], line: int) -> None:
        if len(fields) < 9:
            raise self._error(line, "200", f"{len(fields)} fields", "at least 9")
        nmi, suffix, unit, minutes = (fields[place].strip() for place in (1, 4, 7, 8))
        suffix, unit = suffix.upper(), unit.upper()
        if not _NMI.fullmatch(nmi):
            raise self._error(line, "NMI", nmi, "the name of a meter, such as 6123456789")
        if not _SUFFIX.fullmatch(suffix):
            raise self._error(line, "NMISuffix", suffix, "a letter and a digit, such as E1")
        quantity = _QUANTITIES.get(suffix[0])
        self._is_passed_over = quantity is None
        if quantity is None:
            self.others.add(suffix)
            self._channel = _Channel(nmi, suffix, unit, 0)
            return
        if unit not in _FACTORS or ("VAR" in unit) != ("reactive" in quantity):
            units = "VArh, kVArh or MVArh" if "reactive" in quantity else "Wh, kWh or MWh"
            raise self._error(line, "UOM", unit, f"{units}, since the suffix is {suffix}")
        if not minutes.isdecimal() or int(minutes) not in _MINUTES:
            raise self._error(line, "IntervalLength", minutes, "5, 15, 30 or 60 minutes")
        self._channel = _Channel(nmi, suffix, unit, int(minutes))
        self.quantities.add(quantity)

    def _begin_day(self, text: str, line: int) -> None:
        self.finish()
        channel = self._channel
        if channel is None:
            raise self._error(line, "record", "300", "a record 200 above it")
        if self._is_passed_over:
            return
        day = (*text.split(",", 2), "")[1].strip()
        if _day(day) is None:
            raise self._error(line, "IntervalDate", day, "a date like 20230301")
        self.suffixes[channel.nmi].add(channel.suffix)
        self._key = f"{channel.nmi}{_SEPARATOR}{day}"
        self._record = [channel.suffix, channel.unit, str(channel.minutes), text]
        self._size = len(text)
        self._line = line

    def _add_qualities(self, text: str, line: int) -> None:
        if self._is_passed_over:
            return
        self._size += len(text)
        if not self._record:
            raise self._error(line, "record", "400", "a record 300 above it")
        check_row_length(self._path, line, bytes(self._size))
        self._record.append(text)

    def _error(self, line: int, column: str, value: str, expected: str) -> ReportError:
        return _error(self._path, line, column, value, expected)


def _joined_rows(
    path: str, reading: _RecordReading, quantities: list[str]
) -> Iterator[tuple[int, str]]:
    """Yield the rows of each meter and day."""
    for key, chunks in reading.days.take():
        nmi, day = key.split(_SEPARATOR)
        records: dict[str, _DayRecord] = {}
        for content, lines in chunks:
            for raw, line in zip(split_rows(content), lines, strict=True):
                record = _parsed(path, nmi, raw.decode(), line)
                suffix = record.channel.suffix
                known = records.get(suffix)
                records[suffix] = record if known is None else _latest(path, known, record)
        # A sum that lacks a channel would be a wrong number.
        partial = {_QUANTITIES[suffix[0]] for suffix in reading.suffixes[nmi] - records.keys()}
        whole = {name for name in quantities if name not in partial}
        yield from _rows_of_day(path, nmi, day, [*records.values()], quantities, whole)


def _rows_of_day(
    path: str,
    nmi: str,
    day: str,
    records: list[_DayRecord],
    quantities: list[str],
    whole: set[str],
) -> Iterator[tuple[int, str]]:
    """Yield the rows of a day; quantities that are not whole are missing."""
    first = records[0]
    minutes = first.channel.minutes
    columns: dict[str, list[list[str]]] = {name: [] for name in quantities}
    for record in records:
        if record.channel.minutes != minutes:
            raise _error(
                *(path, record.line, "IntervalLength", str(record.channel.minutes)),
                f"{minutes} as the channel {first.channel.suffix} of {day} has",
            )
        columns[_QUANTITIES[record.channel.suffix[0]]].append(_in_kilo(record))
    is_actual = all(quality == _ACTUAL for record in records for quality in record.qualities)
    for place, clock in enumerate(_clocks(minutes)):
        values = [
            _total([each[place] for each in columns[name]]) if name in whole else ""
            for name in quantities
        ]
        quality = _ACTUAL
        if not is_actual:
            found = {record.qualities[place] for record in records}
            quality = next(letter for letter in _WORST_FIRST if letter in found)
        start = f"{day[:4]}-{day[4:6]}-{day[6:]}{clock}"
        yield first.line, ",".join([nmi, start, *values, quality])


def _parsed(path: str, nmi: str, text: str, line: int) -> _DayRecord:
    """Return the record of a day with the qualities of its intervals."""
    suffix, unit, minutes, record, *ranges = text.split(_SEPARATOR)
    channel = _Channel(nmi, suffix, unit, int(minutes))
    count = _DAY_MINUTES // channel.minutes
    fields = [field.strip() for field in record.split(",")]
    values = fields[2 : 2 + count]
    quality = fields[2 + count] if len(fields) > 2 + count else ""
    if not _QUALITY.fullmatch(quality):
        raise _error(
            *(path, line, "QualityMethod", quality),
            f"a letter such as A behind {count} values of {minutes} minutes each",
        )
    qualities = [quality[0]] * count
    if quality[0] == _VARIABLE:
        qualities = _qualities(path, line, count, ranges)
    updated = fields[5 + count] if len(fields) > 5 + count else ""
    return _DayRecord(line, channel, values, qualities, updated)


def _qualities(path: str, line: int, count: int, ranges: list[str]) -> list[str]:
    """Return the quality of each interval, as the records 400 below a record 300 say it."""
    qualities = [""] * count
    for each in ranges:
        fields = [field.strip() for field in each.split(",")]
        first, last, quality = (*fields[1:4], "", "", "")[:3]
        is_valid = (
            first.isdecimal()
            and last.isdecimal()
            and 1 <= int(first) <= int(last) <= count
            and _QUALITY.fullmatch(quality)
            and quality[0] != _VARIABLE
        )
        if not is_valid:
            expected = f"the first and the last of {count} intervals, and their quality"
            raise _error(path, line, "400", each[:60], expected)
        for place in range(int(first) - 1, int(last)):
            qualities[place] = quality[0]
    if "" in qualities:
        missing = qualities.index("") + 1
        raise _error(path, line, "400", "nothing", f"the quality of interval {missing}")
    return qualities


def _latest(path: str, one: _DayRecord, other: _DayRecord) -> _DayRecord:
    """Return the one of two records of a day that was made later."""
    if one.values == other.values and one.qualities == other.qualities:
        return one
    has_times = one.updated.isdecimal() and other.updated.isdecimal()
    if not has_times or one.updated == other.updated:
        raise _error(
            *(path, other.line, "UpdateDateTime", other.updated),
            f"a later one than in line {one.line}, which has other values of the same day",
        )
    return max(one, other, key=lambda record: record.updated)


def _in_kilo(record: _DayRecord) -> list[str]:
    """Return the values in kWh or kVArh, empty where there is no data."""
    factor = _FACTORS[record.channel.unit]
    values = record.values
    if factor != 1:
        values = [_multiplied(value, factor) for value in values]
    if _NULL in record.qualities:
        pairs = zip(values, record.qualities, strict=True)
        values = ["" if quality == _NULL else value for value, quality in pairs]
    return values


def _multiplied(text: str, factor: Decimal) -> str:
    number = number_of(text)
    return text if number is None else without_exponent(number * factor)


def _total(texts: list[str]) -> str:
    """Return the sum of numbers; nothing if one is missing, and what is no number as it is."""
    if len(texts) == 1:
        return texts[0]
    total = Decimal(0)
    if not texts or not all(texts):
        return ""
    for text in texts:
        number = number_of(text)
        if number is None:
            return text
        total += number
    return without_exponent(total)


@lru_cache(maxsize=8)
def _clocks(minutes: int) -> tuple[str, ...]:
    """Return the starts of the intervals of a day, as they stand behind the date."""
    return tuple(
        f"T{start // 60:02}:{start % 60:02}:00{_OFFSET}"
        for start in range(0, _DAY_MINUTES, minutes)
    )


@lru_cache(maxsize=1024)
def _day(text: str) -> datetime | None:
    """Return a date; None if a text is none."""
    try:
        return datetime.strptime(text, "%Y%m%d") if len(text) == 8 else None  # noqa: DTZ007 - a day
    except ValueError:
        return None


def _error(path: str, line: int, column: str, value: str, expected: str) -> ReportError:
    shown = value.encode("unicode_escape").decode()[:60] or "nothing"
    return ReportError(f"{path}:{line}: {column}: {shown}: expected {expected}")
