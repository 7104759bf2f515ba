"""Parsing one time: as a pattern says, as ISO 8601, or as a count since 1970."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from loader.rows.reader import FIRST_YEAR, LAST_YEAR, midnight
from settings import EPOCH, EPOCH_MS, ISO, TimePattern, month_number

YEAR_RANGE = f"from {FIRST_YEAR} to {LAST_YEAR}"
ISO_EXAMPLE = "2019-08-01T00:15:00+02:00"

EXAMPLE = datetime(2019, 8, 1, 0, 15)  # noqa: DTZ001 - only to be formatted

_CENTURY = 100
_FIRST_SHORT_YEAR = 69
"""Two digits of a year from this one on are of the 20th century, as POSIX says."""
_NOON = 12
_MIDNIGHT_HOUR = 24
_SIXTY = 60
_END_OF_DAY = re.compile(r"[T ]24(?=:?00(?::?00)?(?:[+Z-]|$))")
_COUNT = re.compile(r"([0-9]{1,16})(?:[.,]0+)?")
_UNITS = {EPOCH: 1, EPOCH_MS: 1000}
_LEAST = {EPOCH: 0, EPOCH_MS: 10**11}
"""The least count: fewer milliseconds than those of 1973 are seconds of today."""


class ParsedTime(NamedTuple):
    """What a text of a pattern says."""

    day: date | None
    seconds: int
    """Since midnight, up to that of the next day."""
    offset: int | None
    """In seconds ahead of UTC, if it says that."""

    def at(self, day: date) -> datetime:
        """Return the time on a day: an instant in UTC if it has its offset, else local time."""
        local = midnight(day) + timedelta(seconds=self.seconds)
        if self.offset is None:
            return local
        return local.replace(tzinfo=UTC) - timedelta(seconds=self.offset)


class PatternReader:
    """Parses texts of a pattern; that of one of its halves if an expression is given."""

    def __init__(self, pattern: TimePattern, expression: str | None = None) -> None:
        self._expression = re.compile(
            pattern.expression() if expression is None else expression, re.IGNORECASE | re.DOTALL
        )
        self.example = pattern.example(EXAMPLE)

    def parse(self, text: str) -> ParsedTime | None:
        """Return what a text says, None if it is no text of the pattern."""
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        match = self._expression.fullmatch(text)
        if match is None:
            return None
        groups = match.groupdict()
        day = _day(groups)
        seconds = _seconds(groups)
        if seconds is None or (day is None and not groups.keys().isdisjoint("yY")):
            return None
        return ParsedTime(day, seconds, _offset(groups.get("z")))


def _day(groups: Mapping[str, str]) -> date | None:
    """Return the day that a text has, None if it has none that is valid."""
    if "y" not in groups and "Y" not in groups:
        return None
    year = int(groups["Y"]) if "Y" in groups else int(groups["y"]) + 20 * _CENTURY
    if "y" in groups and year % _CENTURY >= _FIRST_SHORT_YEAR:
        year -= _CENTURY
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        if "j" in groups:
            found = date(year, 1, 1) + timedelta(days=int(groups["j"]) - 1)
            return found if found.year == year else None
        name = groups.get("b") or groups.get("B")
        month = month_number(name) if name else int(groups["m"])
        return date(year, month, int(groups["d"]))
    except ValueError:
        return None


def _seconds(groups: Mapping[str, str]) -> int | None:
    """Return the seconds since midnight, 0 for a day alone, None if there is no such time."""
    hour, minute, second = (int(groups.get(name) or 0) for name in "HMS")
    if "I" in groups:
        hour = int(groups["I"])
        if not 1 <= hour <= _NOON:
            return None
        hour = hour % _NOON + _NOON * (groups["p"][0] in "pP")
    seconds = (hour * _SIXTY + minute) * _SIXTY + second
    is_valid = minute < _SIXTY and second < _SIXTY and seconds <= _MIDNIGHT_HOUR * _SIXTY**2
    return seconds if is_valid else None


def _offset(text: str | None) -> int | None:
    if text is None:
        return None
    if text[0] not in "+-":
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    seconds = (int(digits[:2]) * _SIXTY + int(digits[2:])) * _SIXTY
    return -seconds if text[0] == "-" else seconds


def parse_iso_instant(text: str) -> datetime | None:
    """Return the instant of a timestamp with its offset; None if it isn't one."""
    try:
        timestamp = datetime.fromisoformat(text)
        instant = timestamp.astimezone(UTC)
    except (ValueError, OverflowError):
        begin, count = _END_OF_DAY.subn(lambda match: match[0].replace("24", "00"), text)
        found = parse_iso_instant(begin) if count else None
        return found and found + timedelta(days=1)
    is_valid = (
        timestamp.tzinfo is not None
        and not timestamp.microsecond
        and FIRST_YEAR <= instant.year <= LAST_YEAR
    )
    return instant if is_valid else None


def parse_epoch(text: str, pattern: str) -> datetime | None:
    """Return the instant of a count since 1970; None if it isn't one of whole seconds."""
    count, units = _COUNT.fullmatch(text), _UNITS[pattern]
    if count is None or int(count[1]) % units or int(count[1]) < _LEAST[pattern]:
        return None
    try:
        instant = datetime.fromtimestamp(int(count[1]) // units, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return instant if FIRST_YEAR <= instant.year <= LAST_YEAR else None


class TimeNotation(NamedTuple):
    """How a time is parsed, and what is expected, for messages."""

    parse: Callable[[str], datetime | None]
    """Returns an instant in UTC, or a naive local time."""
    expected: str


def notation_of(pattern: str) -> TimeNotation:
    """Return the notation of a pattern of settings that has a date."""
    if pattern == ISO:
        return TimeNotation(
            parse_iso_instant, f"a time with its offset like {ISO_EXAMPLE}, {YEAR_RANGE}"
        )
    if pattern in _UNITS:
        units = _UNITS[pattern]
        example = int(EXAMPLE.replace(tzinfo=UTC).timestamp()) * units
        what = "seconds" if units == 1 else "milliseconds"
        return TimeNotation(
            lambda text: parse_epoch(text, pattern),
            f"{what} since 1970 like {example}, whole seconds, {YEAR_RANGE}",
        )
    reader = PatternReader(TimePattern(pattern))

    def parse(text: str) -> datetime | None:
        parsed = reader.parse(text)
        return None if parsed is None or parsed.day is None else parsed.at(parsed.day)

    return TimeNotation(parse, f"a date like {reader.example}, {YEAR_RANGE}")
