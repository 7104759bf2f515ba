"""The starts of plain rows, by texts of which each is parsed once."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from operator import methodcaller
from typing import NamedTuple

from domain.time.local_time import LocalTimeResolver
from loader.formats.timestamps.notation import PatternReader, parse_iso_instant
from loader.formats.timestamps.parser import DayParts, TimestampParser
from loader.rows.reader import FIRST_YEAR, LAST_YEAR, midnight, seconds_since_1970
from settings import INSTANT_PATTERNS, ISO, FormatSettings, TimePattern

_MAX_TEXTS = 4096
"""Texts that are remembered: days of eleven years, or clocks."""
_DATE_LENGTH = len("2019-08-01")
_SOME_DAY = "2019-08-01"
_DAY = timedelta(days=1)
_FIRST_DAY, _LAST_DAY = date(FIRST_YEAR, 1, 3), date(LAST_YEAR, 12, 29)
"""Days on which an instant is of these years whatever its offset is."""


class ParsedTexts(dict[str, int | None]):
    """What texts stand for, in seconds; None where that takes more than the text to tell."""

    def __init__(self, parse: Callable[[str], int | None]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, text: str) -> int | None:
        if len(self) >= _MAX_TEXTS:
            self.clear()
        self[text] = found = self._parse(text)
        return found


class QuickTimes(NamedTuple):
    """Where a row has the texts of its day and of its clock, and what these stand for.

    The start of the row is the sum of both, in seconds since 1970.
    """

    day_field: int
    clock_field: int | None
    """None if the texts stand in one field."""
    cut: Callable[[str], tuple[str, str, str]]
    """Parts the text of one field into the day, what is between, and the clock."""
    days: ParsedTexts
    clocks: ParsedTexts


def _cut_iso(text: str) -> tuple[str, str, str]:
    return text[:_DATE_LENGTH], "", text[_DATE_LENGTH:]


def make_quick_times(
    settings: FormatSettings, parser: TimestampParser, resolver: LocalTimeResolver, shift: int
) -> QuickTimes | None:
    """Return how starts of rows are told quickly, None if each has to be parsed on its own.

    A time is so many seconds after the start. Days on which clocks change are left out.
    """
    time = settings.time
    if time.tolerance or settings.lengths or time.end is not None:
        return None
    if isinstance(parser, DayParts):
        return _of_parts(parser)
    fields = parser.columns.fields
    if time.pattern == ISO and len(fields) == 1:
        days, clocks = ParsedTexts(_iso_days(shift)), ParsedTexts(_iso_clock)
        return QuickTimes(fields[0], None, _cut_iso, days, clocks)
    if time.pattern in INSTANT_PATTERNS:
        return None
    return _of_pattern(TimePattern(time.pattern), fields, resolver, shift)


def _of_pattern(
    pattern: TimePattern, fields: Sequence[int], resolver: LocalTimeResolver, shift: int
) -> QuickTimes | None:
    """Return the starts that a pattern tells whose date and clock can be parted."""
    halves = pattern.halves()
    if halves is None:
        return None
    date, between, clock = halves
    days = ParsedTexts(_pattern_days(PatternReader(pattern, date), pattern, resolver, shift))
    clocks = ParsedTexts(_pattern_clock(PatternReader(pattern, clock)))
    if len(fields) > 1:
        is_parted = len(fields) == 2 and between == " "
        return QuickTimes(fields[0], fields[1], _cut_iso, days, clocks) if is_parted else None
    is_last = between not in _sample(clock)
    if not is_last and between in _sample(date):
        return None
    cut = methodcaller("rpartition" if is_last else "partition", between)
    return QuickTimes(fields[0], None, cut, days, clocks)


def _sample(expression: str) -> str:
    """Return an expression with what its parts may contain, to look for a separator."""
    return expression.replace(r"\s", " ").replace(".*?", " ")


def _of_parts(parser: DayParts) -> QuickTimes | None:
    """Return the starts of numbered parts of days."""
    if parser.number_field is None or len(parser.columns.fields) > 1:
        return None
    days, clocks = ParsedTexts(parser.usual_day), ParsedTexts(parser.usual_part)
    return QuickTimes(parser.columns.fields[0], parser.number_field, _cut_iso, days, clocks)


def _iso_days(shift: int) -> Callable[[str], int | None]:
    def parse(text: str) -> int | None:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            return None
        if len(text) != _DATE_LENGTH or not _FIRST_DAY <= day <= _LAST_DAY:
            return None
        return seconds_since_1970(midnight(day)) - shift

    return parse


def _iso_clock(text: str) -> int | None:
    instant = parse_iso_instant(_SOME_DAY + text)
    if instant is None:
        return None
    return int(instant.timestamp()) - seconds_since_1970(midnight(date.fromisoformat(_SOME_DAY)))


def _pattern_days(
    reader: PatternReader, pattern: TimePattern, resolver: LocalTimeResolver, shift: int
) -> Callable[[str], int | None]:
    def parse(text: str) -> int | None:
        parsed = reader.parse(text)
        if parsed is None or parsed.day is None:
            return None
        day = parsed.day
        if pattern.has_offset:
            offset = 0 if _FIRST_DAY <= day <= _LAST_DAY else None
        else:
            offset = resolver.offset_all_day(day)
            if shift and resolver.offset_all_day(day - _DAY) is None:
                offset = None
        return None if offset is None else seconds_since_1970(midnight(day)) - offset - shift

    return parse


def _pattern_clock(reader: PatternReader) -> Callable[[str], int | None]:
    def parse(text: str) -> int | None:
        parsed = reader.parse(text)
        return None if parsed is None else parsed.seconds - (parsed.offset or 0)

    return parse
