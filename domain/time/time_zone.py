"""Time zones as periods of constant offset; instants are seconds since 1970, UTC."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

HOUR_SECONDS = 3600
DAY_SECONDS = 86400

_PERIOD_SECONDS = 500 * DAY_SECONDS
"""The most seconds of an offset period: what is found in one go takes a bounded time."""

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

    def offset_periods(self, start: int, end: int) -> Iterator[OffsetPeriod]:
        """Yield periods of constant offset between two instants, in order.

        A long one is several, each but the last of the same number of seconds.
        """
        at, begun, offset = start, start, self.offset(start)
        while at < end:
            later = min(at + DAY_SECONDS, end)
            if self.offset(later) != offset:
                later = self._transition(at, later)
                yield OffsetPeriod(begun, later, offset)
                begun, offset = later, self.offset(later)
            elif later - begun >= _PERIOD_SECONDS:
                yield OffsetPeriod(begun, later, offset)
                begun = later
            at = later
        if begun < end:
            yield OffsetPeriod(begun, end, offset)

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


def _seconds(local: datetime) -> int:
    return (local - _EPOCH) // timedelta(seconds=1)
