"""Buckets: the intervals, other than a reading's own, that readings are put together for.

Days and longer ones follow local time, so that a day has 23, 24 or 25 hours where clocks change.
Hours and quarters are all of one length, so that a repeated hour is two; they begin where local
time shows whole ones, and where clocks change by a part of an hour, one is cut short.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from domain.time_zone import DAY_SECONDS, OffsetPeriod, TimeZone

MAX_BUCKETS = 1_000_000
"""Buckets that an answer may have."""

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MONDAY = 3
"""The day of the week, counted from Monday, of 1970-01-01."""


def _month(day: int) -> int:
    at = date.fromordinal(day + _EPOCH_DAY)
    return at.year * 12 + at.month


@dataclass(frozen=True, slots=True)
class BucketSize:
    """A length of buckets."""

    name: str
    size: int
    """Seconds in local time, or of the parts that it is put together from."""
    shortest: int
    """Seconds that one takes at least, but for those at clock changes and at the ends."""
    number: Callable[[int], int] | None = None
    """Numbers the buckets by the days that they hold; None where all are of one length."""


BUCKET_SIZES = {
    interval.name: interval
    for interval in (
        BucketSize("15m", 900, 900),
        BucketSize("hour", 3600, 3600),
        BucketSize("day", DAY_SECONDS, DAY_SECONDS, lambda day: day),
        BucketSize("week", DAY_SECONDS, 7 * DAY_SECONDS, lambda day: (day + _MONDAY) // 7),
        BucketSize("month", DAY_SECONDS, 28 * DAY_SECONDS, _month),
        BucketSize(
            "year",
            DAY_SECONDS,
            365 * DAY_SECONDS,
            lambda day: date.fromordinal(day + _EPOCH_DAY).year,
        ),
    )
}


class Buckets:
    """The buckets between two instants, the first and the last one clipped; `end` is later."""

    def __init__(self, interval: BucketSize, zone: TimeZone, start: int, end: int) -> None:
        inner = _starts(interval, zone.stretches(start, end))
        self._edges = array("q", (start, *(at for at in inner if start < at < end), end))

    def __len__(self) -> int:
        return len(self._edges) - 1

    def __getitem__(self, place: int) -> tuple[int, int]:
        return self._edges[place], self._edges[place + 1]

    def place(self, instant: int) -> int:
        """Which bucket an instant belongs to."""
        return bisect_right(self._edges, instant) - 1


def _starts(interval: BucketSize, stretches: Iterator[OffsetPeriod]) -> Iterator[int]:
    if interval.number is None:
        return _uniform(interval.size, stretches)
    return _numbered(interval.number, stretches)


def _uniform(size: int, stretches: Iterator[OffsetPeriod]) -> Iterator[int]:
    before = None
    for stretch in stretches:
        for instant in stretch.aligned(size):
            if instant != before:
                yield instant
            before = instant


def _numbered(number: Callable[[int], int], stretches: Iterator[OffsetPeriod]) -> Iterator[int]:
    """Where a number is reached for the first time: midnight, or the end of a leap over it."""
    reached: int | None = None
    for stretch in stretches:
        for instant in (stretch.start, *stretch.aligned(DAY_SECONDS)):
            if instant == stretch.end:
                break
            here = number((instant + stretch.offset) // DAY_SECONDS)
            if reached is None or here > reached:
                yield instant
                reached = here
