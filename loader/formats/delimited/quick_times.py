"""The starts of plain rows, by texts of which each is parsed once."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from domain.columns import Integers, Truths
from domain.time.local_time import LocalTimeResolver
from loader.cells.field_table import FieldTable
from loader.cells.known_texts import look_up
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


class Cut(NamedTuple):
    """Where the text of one field is cut into a day and a clock."""

    mark: bytes
    """What stands between the two; a day of ISO 8601 has a certain length if there is none."""
    at_last: bool = False
    """Whether the last mark is between them, not the first."""


class QuickTimes(NamedTuple):
    """Where a row has the texts of its day and of its clock, and what these stand for.

    The start of the row is the sum of both, in seconds since 1970.
    """

    day_field: int
    clock_field: int | None
    """None if the texts stand in one field."""
    cut: Cut
    days: ParsedTexts
    clocks: ParsedTexts

    def starts(self, table: FieldTable) -> tuple[Integers, Truths]:
        """Return the starts of rows, and which of them their texts tell."""
        day_starts, ends = table.starts[self.day_field], table.ends[self.day_field]
        if self.clock_field is not None:
            day_ends, clock_starts = ends, table.starts[self.clock_field]
            ends = table.ends[self.clock_field]
            are_told = table.is_plain
        elif self.cut.mark:
            day_ends, are_told = table.parted(
                day_starts, ends, self.cut.mark, at_last=self.cut.at_last
            )
            clock_starts = day_ends + len(self.cut.mark)
        else:
            day_ends = clock_starts = day_starts + _DATE_LENGTH
            are_told = clock_starts <= ends
        are_told = are_told & table.is_plain
        if not are_told.all():
            day_starts, day_ends = day_starts * are_told, day_ends * are_told
            clock_starts, ends = clock_starts * are_told, ends * are_told
        days, are_days = look_up(table, day_starts, day_ends, self.days.__getitem__)
        clocks, are_clocks = look_up(table, clock_starts, ends, self.clocks.__getitem__)
        return days + clocks, are_told & are_days & are_clocks


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
        return QuickTimes(fields[0], None, Cut(b""), days, clocks)
    if time.pattern in INSTANT_PATTERNS:
        return None
    return _of_pattern(TimePattern(time.pattern), fields, resolver, shift, settings.encoding)


def _of_pattern(
    pattern: TimePattern,
    fields: Sequence[int],
    resolver: LocalTimeResolver,
    shift: int,
    encoding: str,
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
        return QuickTimes(fields[0], fields[1], Cut(b""), days, clocks) if is_parted else None
    is_last = between not in _sample(clock)
    if not is_last and between in _sample(date):
        return None
    cut = Cut(between.encode(encoding), at_last=is_last)
    return QuickTimes(fields[0], None, cut, days, clocks)


def _sample(expression: str) -> str:
    """Return an expression with what its parts may contain, to look for a separator."""
    return expression.replace(r"\s", " ").replace(".*?", " ")


def _of_parts(parser: DayParts) -> QuickTimes | None:
    """Return the starts of numbered parts of days."""
    if parser.number_field is None or len(parser.columns.fields) > 1:
        return None
    days, clocks = ParsedTexts(parser.usual_day), ParsedTexts(parser.usual_part)
    return QuickTimes(parser.columns.fields[0], parser.number_field, Cut(b""), days, clocks)


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
