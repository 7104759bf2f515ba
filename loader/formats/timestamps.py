"""The times of a report's rows, in the ways in which formats write them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from loader.rows.reader import FIRST_YEAR, LAST_YEAR, midnight
from settings import HOUR_SECONDS, ISO, TimeSettings

YEAR_RANGE = f"from {FIRST_YEAR} to {LAST_YEAR}"
ISO_EXAMPLE = "2019-08-01T00:15:00+02:00"

_SAMPLE = datetime(2019, 8, 1, 0, 15)  # noqa: DTZ001 - only to be written down


@dataclass(frozen=True, slots=True)
class InvalidTimestamp:
    """A time that can't be read: the heading of the field, what stands there, what should."""

    column: str
    value: str
    expected: str


class TimestampParser(Protocol):
    """Reads the time from the fields of a row."""

    def read(self, fields: Sequence[str]) -> datetime | InvalidTimestamp:
        """An instant in UTC, or a local time without zone where only the order of rows tells."""


def parse_iso_instant(text: str) -> datetime | None:
    """The instant of a time that carries its offset; None where it isn't one."""
    try:
        moment = datetime.fromisoformat(text)
        instant = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    is_right = (
        moment.tzinfo is not None
        and not moment.microsecond
        and FIRST_YEAR <= instant.year <= LAST_YEAR
    )
    return instant if is_right else None


class IsoTimestamps:
    """Times with their offset."""

    def __init__(self, column: str, place: int) -> None:
        self._column = column
        self._place = place

    def read(self, fields: Sequence[str]) -> datetime | InvalidTimestamp:
        """An instant in UTC."""
        text = fields[self._place]
        expected = f"a time with its offset like {ISO_EXAMPLE}, {YEAR_RANGE}"
        return parse_iso_instant(text) or InvalidTimestamp(self._column, text, expected)


class PatternTimestamps:
    """Local times in one column."""

    def __init__(self, column: str, place: int, pattern: str) -> None:
        self._column = column
        self._place = place
        self._pattern = pattern

    def read(self, fields: Sequence[str]) -> datetime | InvalidTimestamp:
        """A local time."""
        text = fields[self._place]
        return _parsed(text, self._pattern) or InvalidTimestamp(
            self._column, text, f"a date like {_SAMPLE.strftime(self._pattern)}, {YEAR_RANGE}"
        )


class HourTimestamps:
    """Local days, and the hours that have gone by in them: 23 to 25, or fewer by one."""

    def __init__(self, time: TimeSettings, day_place: int, hour_place: int, zone: ZoneInfo) -> None:
        self._time = time
        self._day_place = day_place
        self._hour_place = hour_place
        self._zone = zone
        self._days: dict[str, tuple[datetime, int] | None] = {}

    def read(self, fields: Sequence[str]) -> datetime | InvalidTimestamp:
        """An instant in UTC."""
        text, hour = fields[self._day_place], fields[self._hour_place]
        if text not in self._days:
            self._days[text] = self._day(text)
        day = self._days[text]
        if day is None:
            expected = f"a date like {_SAMPLE.strftime(self._time.pattern)}, {YEAR_RANGE}"
            return InvalidTimestamp(self._time.column, text, expected)
        begin, hours = day
        first = 1 if self._time.marks_end else 0
        last = first + hours - 1
        if not (
            hour.isascii() and hour.isdigit() and len(hour) <= 2 and first <= int(hour) <= last
        ):
            expected = f"an hour from {first} to {last}, as many as that day has"
            return InvalidTimestamp(self._time.hour or "", hour, expected)
        return begin + timedelta(hours=int(hour))

    def _day(self, text: str) -> tuple[datetime, int] | None:
        """When a day begins, and how many hours it has."""
        parsed = _parsed(text, self._time.pattern)
        if parsed is None:
            return None
        begin, end = (
            self._midnight(day) for day in (parsed.date(), parsed.date() + timedelta(days=1))
        )
        return begin, int((end - begin).total_seconds()) // HOUR_SECONDS

    def _midnight(self, day: date) -> datetime:
        return midnight(day).replace(tzinfo=self._zone).astimezone(UTC)


def timestamp_parser(time: TimeSettings, names: Sequence[str], zone: ZoneInfo) -> TimestampParser:
    """What reads the times of a report whose columns have these names."""
    place = names.index(time.column)
    if time.hour is not None:
        return HourTimestamps(time, place, names.index(time.hour), zone)
    if time.pattern == ISO:
        return IsoTimestamps(time.column, place)
    return PatternTimestamps(time.column, place, time.pattern)


def _parsed(text: str, pattern: str) -> datetime | None:
    try:
        parsed = datetime.strptime(text, pattern)  # noqa: DTZ007 - local time, as in the report
    except ValueError:
        return None
    return parsed if FIRST_YEAR <= parsed.year <= LAST_YEAR else None
