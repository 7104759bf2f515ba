"""Time buckets that readings are aggregated by: quarters of an hour to years.

Days and longer ones follow local time, so that a day has 23, 24 or 25 hours when clocks change.
Hours and quarters all have one length, so that a repeated hour is two; they begin at whole ones of
local time, and when clocks change by a part of an hour, one is cut short.
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from domain.columns import Integers
from domain.readings_query import LAST_INSTANT
from domain.time.time_zone import DAY_SECONDS, OffsetPeriod, TimeZone

MAX_BUCKETS = 1_000_000
"""Buckets that a result may have."""

_MARGIN = 5 * DAY_SECONDS
"""Seconds by which no bucket is longer than its `min_seconds`."""

_LAST_INSTANT = int(LAST_INSTANT.timestamp())

_MONDAY = 3
"""The weekday, counted from Monday, of 1970-01-01."""


def _weeks(days: Integers) -> Integers:
    return (days + _MONDAY) // 7


def _months(days: Integers) -> Integers:
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _years(days: Integers) -> Integers:
    return days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64)


@dataclass(frozen=True, slots=True)
class BucketSize:
    """A size of buckets."""

    name: str
    size: int
    """Seconds in local time, or of the parts that a bucket is merged from."""
    min_seconds: int
    """Seconds that a bucket has at least, except at clock changes and at the ends."""
    number: Callable[[Integers], Integers] | None = None
    """Returns the buckets' numbers for days since 1970; None if all buckets have one length."""
    is_exact: bool = False
    """Whether readings whose interval does not divide it are refused."""


BUCKET_SIZES = {
    interval.name: interval
    for interval in (
        BucketSize("15m", 900, 900),
        BucketSize("30m", 1800, 1800),
        BucketSize("hour", 3600, 3600),
        BucketSize("day", DAY_SECONDS, DAY_SECONDS, lambda days: days),
        BucketSize("week", DAY_SECONDS, 7 * DAY_SECONDS, _weeks),
        BucketSize("month", DAY_SECONDS, 28 * DAY_SECONDS, _months),
        BucketSize("year", DAY_SECONDS, 365 * DAY_SECONDS, _years),
    )
}

_CALENDAR = {"P1D": "day", "P1W": "week", "P1M": "month", "P1Y": "year"}
_TIME = re.compile("PT(?:([0-9]{1,2})H)?(?:([0-9]{1,4})M)?")

RESOLUTIONS = ("PT15M", "PT30M", "PT1H", *_CALENDAR)
"""The usual sizes as ISO 8601 writes durations."""


def parse_resolution(text: str) -> BucketSize | None:
    """Return the size of an ISO 8601 duration; None unless it is known or divides a day."""
    if text in _CALENDAR:
        return BUCKET_SIZES[_CALENDAR[text]]
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes = (int(number or 0) for number in match.groups())
    seconds = hours * 3600 + minutes * 60
    if not seconds or DAY_SECONDS % seconds:
        return None
    return BucketSize(f"{seconds}s", seconds, seconds, is_exact=True)


class Buckets:
    """The buckets between two instants, the first and the last one clipped."""

    def __init__(self, edges: Iterable[int] = ()) -> None:
        """Make buckets between edges; `extend` adds further ones."""
        self._edges = array("q", edges)
        self.extend = self._edges.extend

    @classmethod
    def of(cls, edges: Iterable[Integers]) -> "Buckets":
        """Make buckets between edges in arrays."""
        buckets = cls()
        for some in edges:
            buckets._edges.frombytes(some.tobytes())
        return buckets

    def __len__(self) -> int:
        return len(self._edges) - 1

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self._edges[index], self._edges[index + 1]

    @property
    def edges(self) -> Integers:
        """The edges as an array, which are not to be extended any more."""
        return np.frombuffer(self._edges, np.int64)

    def first(self, count: int) -> "Buckets":
        """Return the first ones."""
        return Buckets(self._edges[: count + 1])

    def index(self, instant: int) -> int:
        """Return the index of the bucket that an instant belongs to."""
        return bisect_right(self._edges, instant) - 1


def bucket_edges(interval: BucketSize, zone: TimeZone, start: int, end: int) -> Iterator[int]:
    """Yield the edges of the buckets between two instants, which are the first and the last."""
    for edges in edge_arrays(interval, zone, start, end):
        yield from edges.tolist()


def edge_arrays(interval: BucketSize, zone: TimeZone, start: int, end: int) -> Iterator[Integers]:
    """Yield the same edges, those of some months at once."""
    yield np.array([start])
    for edges in _starts(interval, zone.offset_periods(start, end)):
        yield edges[(edges > start) & (edges < end)]
    yield np.array([end])


def edges_around(interval: BucketSize, zone: TimeZone, instant: int) -> tuple[int, int]:
    """Return the last edge of buckets at or before an instant, and the first one at or after it.

    The instant itself stands for an edge beyond the calendar.
    """
    reach = interval.min_seconds + _MARGIN
    start, end = instant - reach, min(instant + reach, _LAST_INSTANT)
    # The first one may only be where the search begins.
    edges = [
        at
        for some in _starts(interval, zone.offset_periods(start, end))
        for at in some.tolist()
        if at > start
    ]
    before, after = bisect_right(edges, instant), bisect_left(edges, instant)
    return edges[before - 1] if before else instant, (edges[after:] or [instant])[0]


def _starts(interval: BucketSize, periods: Iterator[OffsetPeriod]) -> Iterator[Integers]:
    if interval.number is None:
        return _uniform(interval.size, periods)
    return _numbered(interval.number, periods)


def _uniform(size: int, periods: Iterator[OffsetPeriod]) -> Iterator[Integers]:
    before = None
    for period in periods:
        aligned = period.aligned(size)
        if not aligned:
            continue
        # The end of a period is the start of the next one.
        yield _instants(aligned[1:] if aligned[0] == before else aligned)
        before = aligned[-1]


def _numbered(
    number: Callable[[Integers], Integers], periods: Iterator[OffsetPeriod]
) -> Iterator[Integers]:
    """Yield when a number is first reached: midnight, or the end of a leap over it."""
    reached = np.iinfo(np.int64).min
    for period in periods:
        instants = np.append(period.start, _instants(period.aligned(DAY_SECONDS)))
        instants = instants[instants < period.end]
        here = number((instants + period.offset) // DAY_SECONDS)
        before = np.maximum.accumulate(np.append(reached, here))
        yield instants[here > before[:-1]]
        reached = before[-1]


def _instants(instants: range) -> Integers:
    return np.arange(instants.start, instants.stop, instants.step)
