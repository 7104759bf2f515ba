"""Parsing the timestamps of rows, in the notations that formats use."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from loader.rows.reader import FIRST_YEAR, LAST_YEAR, midnight
from settings import HOURLY_INTERVAL, ISO, TimeSettings

YEAR_RANGE = f"from {FIRST_YEAR} to {LAST_YEAR}"
ISO_EXAMPLE = "2019-08-01T00:15:00+02:00"

_MAX_DAYS = 1000
"""Days that are remembered: rows of a day are neighbours, and meters share their days."""

CLOCK_HOURS = 24
"""Hours that clocks show."""

_EXAMPLE = datetime(2019, 8, 1, 0, 15)  # noqa: DTZ001 - only to be formatted


@dataclass(frozen=True, slots=True)
class InvalidTimestamp:
    """A timestamp that can't be parsed: its column, its text, and what was expected."""

    column: str
    value: str
    expected: str


@dataclass(frozen=True, slots=True)
class HourOfDay:
    """An hour of a day on which clocks change, unless it is known to be counted."""

    day: datetime
    """The beginning of the day, local time."""
    hours: int
    """How many it has."""
    place: int
    """Which one it is, from 0."""
    text: str
    """Its number in the report."""


class TimestampParser(Protocol):
    """Parses the timestamp in the fields of a row."""

    def parse(self, fields: Sequence[str]) -> datetime | HourOfDay | InvalidTimestamp:
        """Return an instant in UTC, or a naive local time if only the order of rows tells more."""


def parse_iso_instant(text: str) -> datetime | None:
    """Return the instant of a timestamp with its offset; None if it isn't one."""
    try:
        timestamp = datetime.fromisoformat(text)
        instant = timestamp.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    is_valid = (
        timestamp.tzinfo is not None
        and not timestamp.microsecond
        and FIRST_YEAR <= instant.year <= LAST_YEAR
    )
    return instant if is_valid else None


class IsoTimestamps:
    """Timestamps with their offset."""

    def __init__(self, column: str, field: int) -> None:
        self._column = column
        self._field = field

    def parse(self, fields: Sequence[str]) -> datetime | InvalidTimestamp:
        """Return an instant in UTC."""
        text = fields[self._field]
        expected = f"a time with its offset like {ISO_EXAMPLE}, {YEAR_RANGE}"
        return parse_iso_instant(text) or InvalidTimestamp(self._column, text, expected)


class PatternTimestamps:
    """Local times in one column."""

    def __init__(self, column: str, field: int, pattern: str) -> None:
        self._column = column
        self._field = field
        self._pattern = pattern

    def parse(self, fields: Sequence[str]) -> datetime | InvalidTimestamp:
        """Return a local time."""
        text = fields[self._field]
        return _parse_local(text, self._pattern) or InvalidTimestamp(
            self._column, text, f"a date like {_EXAMPLE.strftime(self._pattern)}, {YEAR_RANGE}"
        )


class HourTimestamps:
    """Local days, each with the number of an hour: a day has 23 to 25 of them."""

    def __init__(self, time: TimeSettings, day_field: int, hour_field: int, zone: ZoneInfo) -> None:
        self._time = time
        self._day_field = day_field
        self._hour_field = hour_field
        self._zone = zone
        self._first = 1 if time.marks_end else 0
        self._day = lru_cache(maxsize=_MAX_DAYS)(self._parse_day)

    def parse(self, fields: Sequence[str]) -> datetime | HourOfDay | InvalidTimestamp:
        """Return an instant in UTC, or an hour that has to be seen among those of its day."""
        text, hour = fields[self._day_field], fields[self._hour_field]
        day = self._day(text)
        if day is None:
            expected = f"a date like {_EXAMPLE.strftime(self._time.pattern)}, {YEAR_RANGE}"
            return InvalidTimestamp(str(self._time.column), text, expected)
        start, hours, local, last = day
        first = self._first
        if not (
            hour.isascii() and hour.isdigit() and len(hour) <= 2 and first <= int(hour) <= last
        ):
            expected = f"an hour from {first} to {last}"
            if self._time.hours == "counted":
                expected += ", as many as that day has"
            return InvalidTimestamp(str(self._time.hour), hour, expected)
        if local is not None:
            return HourOfDay(local, hours, int(hour) - first, hour)
        return start + timedelta(hours=int(hour))

    def _parse_day(self, text: str) -> tuple[datetime, int, datetime | None, int] | None:
        """Return when a day begins, how many hours it has, its beginning in local time, and the
        greatest number of an hour.

        The local time only if clocks change on that day and its hours may be those of the clock.
        """
        parsed = _parse_local(text, self._time.pattern)
        if parsed is None:
            return None
        day = parsed.date()
        start, end = self._midnight(day), self._midnight(day + timedelta(days=1))
        changes = end - start != timedelta(days=1) and self._time.hours != "counted"
        hours = int((end - start).total_seconds()) // HOURLY_INTERVAL
        most = max(hours, CLOCK_HOURS) if changes else hours
        if self._time.hours == "clock":
            most = CLOCK_HOURS
        return start, hours, midnight(day) if changes else None, self._first + most - 1

    def _midnight(self, day: date) -> datetime:
        return midnight(day).replace(tzinfo=self._zone).astimezone(UTC)


def make_timestamp_parser(
    time: TimeSettings, names: Sequence[str], zone: ZoneInfo
) -> TimestampParser:
    """Return the parser for a report whose columns have these names."""
    field = time.column.position(names)
    if time.hour is not None:
        return HourTimestamps(time, field, time.hour.position(names), zone)
    if time.pattern == ISO:
        return IsoTimestamps(str(time.column), field)
    return PatternTimestamps(str(time.column), field, time.pattern)


def _parse_local(text: str, pattern: str) -> datetime | None:
    try:
        parsed = datetime.strptime(text, pattern)  # noqa: DTZ007 - local time, as in the report
    except ValueError:
        return None
    return parsed if FIRST_YEAR <= parsed.year <= LAST_YEAR else None
