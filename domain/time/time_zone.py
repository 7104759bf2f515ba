"""Time zones as periods of constant offset; instants are seconds since 1970, UTC."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from domain.columns import Integers

HOUR_SECONDS = 3600
DAY_SECONDS = 86400

_PERIOD_SECONDS = 500 * DAY_SECONDS
"""The most seconds of an offset period: what is found in one go takes a bounded time."""

_FIRST = int(datetime(MINYEAR, 1, 2, tzinfo=UTC).timestamp())
_LAST = int(datetime(MAXYEAR, 12, 30, tzinfo=UTC).timestamp())
"""The instants between which any zone has local times."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times without a zone are reckoned from it


@dataclass(frozen=True, slots=True)
class OffsetPeriod:
    """Instants from `start` up to `end`, while local time is `offset` seconds ahead of UTC."""

    start: int
    end: int
    offset: int

    def aligned(self, size: int) -> range:
        """Return the instants, `end` included, at which local time is a multiple of a size."""
        first = self.start + -(self.start + self.offset) % size
        return range(first, self.end + 1, size)


class UnknownZoneError(ValueError):
    """There is no zone of that name."""


class TimeZone:
    """A time zone of the IANA database."""

    def __init__(self, info: ZoneInfo) -> None:
        self.info = info
        self.name = info.key

    def at(self, instant: int) -> datetime:
        """Return the local time, with its offset, of an instant."""
        return datetime.fromtimestamp(instant, self.info)

    def offset(self, instant: int) -> int:
        """Return how many seconds local time is ahead of UTC."""
        offset = self.at(instant).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())

    def offsets(self, instants: Integers) -> Integers:
        """Return how many seconds local time is ahead of UTC at some instants."""
        if not len(instants):
            return instants
        first, last = int(instants.min()), int(instants.max())
        periods = [*self.offset_periods(first, last + 1)]
        starts = [period.start for period in periods]
        offsets: Integers = np.array([period.offset for period in periods])
        return offsets.take(np.searchsorted(starts, instants, side="right") - 1)

    def offset_periods(self, start: int, end: int) -> Iterator[OffsetPeriod]:
        """Yield periods of constant offset between two instants, in order.

        A long one is several, each but the last of the same number of seconds.
        """
        begun, offset = start, self.offset(start)
        for at, later in self._changes(start, end):
            while at - begun >= _PERIOD_SECONDS:
                yield OffsetPeriod(begun, begun + _PERIOD_SECONDS, offset)
                begun += _PERIOD_SECONDS
            if later != offset:
                if begun < at:
                    yield OffsetPeriod(begun, at, offset)
                begun, offset = at, later
        if begun < end:
            yield OffsetPeriod(begun, end, offset)

    def _changes(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield when the offset changes between two instants, and to what.

        Also the ends of years: what is searched in one go takes a bounded time.
        """
        offset = self.offset(start)
        first, last = (datetime.fromtimestamp(at, UTC).year for at in (start, end))
        for year in range(first, last + 1):
            year_end, changes = _changes_of(self.info, year)
            for at, later in changes:
                if start < at < end:
                    offset = later
                    yield at, offset
            yield min(year_end, end), offset

    def first(self, local: datetime) -> int:
        """Return the first instant at which clocks show a local time, or have skipped it.

        A time with a UTC offset is an instant already.
        """
        if local.tzinfo is not None:
            return int(local.timestamp())
        seconds = _seconds(local)
        before, after = (
            seconds - int(offset.total_seconds())
            for fold in (0, 1)
            if (offset := local.replace(tzinfo=self.info, fold=fold).utcoffset()) is not None
        )
        return before if before <= after else self._transition(after, before)

    def after(self, local: datetime) -> int:
        """Return the first instant after clocks have shown a local time for the last time.

        A time with a UTC offset is an instant already, and the next second is after it.
        """
        if local.tzinfo is not None:
            return int(local.timestamp()) + 1
        later = local.replace(tzinfo=self.info, fold=1).utcoffset()
        assert later is not None
        last = _seconds(local) - int(later.total_seconds())
        return max(self.first(local), last + 1)

    def _transition(self, before: int, after: int) -> int:
        """Return when the offset changes between two instants."""
        offset = self.offset(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self.offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after


async def load_time_zone(name: str) -> TimeZone:
    """Load the zone of a name; raise UnknownZoneError."""
    try:
        return TimeZone(await asyncio.to_thread(ZoneInfo, name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownZoneError(name) from None


@lru_cache(4096)
def _changes_of(info: ZoneInfo, year: int) -> tuple[int, Sequence[tuple[int, int]]]:
    """Return the end of a year, and when the offset changes in it, searched day by day, to what."""
    zone = TimeZone(info)
    at = max(_first_of(year), _FIRST)
    end = _LAST if year == MAXYEAR else _first_of(year + 1)
    found = []
    offset = zone.offset(at)
    while at < end:
        later = min(at + DAY_SECONDS, end)
        after = zone.offset(later)
        if after != offset:
            found.append((zone._transition(at, later), after))
        at, offset = later, after
    return end, found


def _first_of(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


def _seconds(local: datetime) -> int:
    return (local - _EPOCH) // timedelta(seconds=1)
