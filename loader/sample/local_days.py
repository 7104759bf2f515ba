"""Local days, and the times and loads within them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from domain.quantities import MONTH_NAMES

LocalTime = tuple[str, int]
"""A local time as reports have it, and the number of its interval in a day of 24 hours."""

_DAY = timedelta(days=1)


def local_days(
    first: date, zone: ZoneInfo, interval: int
) -> Iterator[tuple[date, list[LocalTime]]]:
    """Yield each local day from the first on, with the times of its readings."""
    day = first
    while True:
        yield day, local_times(day, zone, interval)
        day += _DAY


def local_times(day: date, zone: ZoneInfo, interval: int) -> list[LocalTime]:
    """Return the times of a local day's readings from midnight on; `interval` is in seconds."""
    start, end = _midnight(day, zone), _midnight(day + _DAY, zone)
    if end - start == _DAY:
        text = _format_date(day)
        return [(text + time_of_day, slot) for time_of_day, slot in _clock(interval)]
    times = []
    for instant in _instants(start, end, interval):
        local = instant.astimezone(zone)
        second = local.hour * 3600 + local.minute * 60 + local.second
        times.append((f"{_format_date(local)} {local:%H:%M:%S}", second // interval))
    return times


def iso_times(day: date, zone: ZoneInfo, interval: int) -> list[str]:
    """Return the same times in ISO 8601 with their UTC offset."""
    instants = _instants(_midnight(day, zone), _midnight(day + _DAY, zone), interval)
    return [instant.astimezone(zone).isoformat() for instant in instants]


def hours_in_day(day: date, zone: ZoneInfo) -> int:
    """Return the number of whole hours in a local day."""
    return (_midnight(day + _DAY, zone) - _midnight(day, zone)) // timedelta(hours=1)


def seasonal_factor(day: date, season: Sequence[float]) -> float:
    """Return the factor of the time of year, given those of each 1st of a month."""
    first, second = season[day.month - 1], season[day.month % 12]
    return first + (second - first) * (day.day - 1) / 31


@lru_cache
def daily_curve(hours: tuple[float, ...], interval: int) -> list[float]:
    """Return the kW at the start of each interval of a day, interpolated between full hours."""
    return [
        hours[hour] + (hours[(hour + 1) % 24] - hours[hour]) * second / 3600
        for hour in range(24)
        for second in range(0, 3600, interval)
    ]


@lru_cache
def _clock(interval: int) -> list[LocalTime]:
    return [
        (f" {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}", slot)
        for slot, second in enumerate(range(0, 86_400, interval))
    ]


def _instants(start: datetime, end: datetime, interval: int) -> Iterator[datetime]:
    while start < end:
        yield start
        start += timedelta(seconds=interval)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _format_date(day: date) -> str:
    return f"{day.day} {MONTH_NAMES[day.month - 1]} {day.year}"
