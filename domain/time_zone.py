"""A time zone as stretches of constant offset, in whole seconds since 1970-01-01 00:00:00 UTC."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY_SECONDS = 86400

LAST_INSTANT = datetime(9999, 12, 30, tzinfo=UTC)
"""Behind it, local time could leave the calendar."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times without a zone are reckoned from it


@dataclass(frozen=True, slots=True)
class OffsetPeriod:
    """Instants from `start` up to `end` at which local time is so many seconds ahead of UTC."""

    start: int
    end: int
    offset: int

    def aligned(self, size: int) -> range:
        """The instants, `end` among them, at which local time is a multiple of a size."""
        first = self.start + -(self.start + self.offset) % size
        return range(first, self.end + 1, size)


class UnknownZoneError(ValueError):
    """There is no zone of that name."""


class TimeZone:
    """A time zone."""

    def __init__(self, info: ZoneInfo) -> None:
        self.info = info
        self.name = info.key

    def at(self, instant: int) -> datetime:
        """The local time, with its offset, of an instant."""
        return datetime.fromtimestamp(instant, self.info)

    def offset(self, instant: int) -> int:
        """How many seconds local time is ahead of UTC."""
        offset = self.at(instant).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())

    def stretches(self, start: int, end: int) -> Iterator[OffsetPeriod]:
        """The stretches of constant offset between two instants, in order."""
        at, begun, offset = start, start, self.offset(start)
        while at < end:
            later = min(at + DAY_SECONDS, end)
            if self.offset(later) != offset:
                later = self._change(at, later)
                yield OffsetPeriod(begun, later, offset)
                begun, offset = later, self.offset(later)
            at = later
        if begun < end:
            yield OffsetPeriod(begun, end, offset)

    def first(self, local: datetime) -> int:
        """The first instant at which clocks show a local time, or have gone forward over it."""
        seconds = _seconds(local)
        before, after = (
            seconds - int(offset.total_seconds())
            for fold in (0, 1)
            if (offset := local.replace(tzinfo=self.info, fold=fold).utcoffset()) is not None
        )
        return before if before <= after else self._change(after, before)

    def after(self, local: datetime) -> int:
        """The first instant at which clocks have shown a local time for the last time."""
        later = local.replace(tzinfo=self.info, fold=1).utcoffset()
        assert later is not None
        last = _seconds(local) - int(later.total_seconds())
        return max(self.first(local), last + 1)

    def _change(self, before: int, after: int) -> int:
        """The first instant of an offset, between one of another offset and one that has it."""
        offset = self.offset(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self.offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after


async def load_time_zone(name: str) -> TimeZone:
    """The zone of a name; raises UnknownZoneError."""
    try:
        return TimeZone(await asyncio.to_thread(ZoneInfo, name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownZoneError(name) from None


def _seconds(local: datetime) -> int:
    return (local - _EPOCH) // timedelta(seconds=1)
