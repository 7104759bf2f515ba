"""The starts of a report's readings, placed in the local time of the meter."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from heapq import heappop, heappush

import numpy as np
from numpy.typing import DTypeLike, NDArray

from domain.columns import Integers, Truths
from domain.time.local_time import LocalTimeResolver
from domain.time.time_zone import DAY_SECONDS
from loader.formats.delimited.day_marks import DayMarks, Marks
from loader.rows.spool import Spool

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Full hours come first, for a day takes as much memory as the highest index in it.
_USUAL_SECONDS = sorted(
    range(0, DAY_SECONDS, 300),
    key=lambda second: ([second % step != 0 for step in (3600, 900)], second),
)
_USUAL_INDEXES = np.full(DAY_SECONDS, -1, np.int32)
_USUAL_INDEXES[_USUAL_SECONDS] = np.arange(len(_USUAL_SECONDS))

_MAX_DAYS = 4096
"""Days whose offset is remembered."""


class ZoneOffsets:
    """The offsets of instants in a zone."""

    def __init__(self, zone: tzinfo) -> None:
        self._resolver = LocalTimeResolver(zone)
        self._days: dict[int, int | None] = {}
        """The offset of days of UTC by their numbers, None if it changes on them."""

    def at(self, instant: int) -> int:
        """Return the offset at an instant."""
        offset = self._day(instant // DAY_SECONDS)
        return self._resolver.offset_at(instant) if offset is None else offset

    def at_all(self, instants: Integers) -> Integers:
        """Return the offset at each instant."""
        days = instants // DAY_SECONDS
        heads = np.concatenate(([0], np.flatnonzero(days[1:] != days[:-1]) + 1))
        found = [self._day(day) for day in days[heads].tolist()]
        lengths = np.diff(heads, append=len(instants))
        offsets = np.repeat(np.array([offset or 0 for offset in found], np.int64), lengths)
        if None in found:
            are_known = np.repeat([offset is not None for offset in found], lengths)
            offsets[~are_known] = [self.at(each) for each in instants[~are_known].tolist()]
        return offsets

    def _day(self, number: int) -> int | None:
        try:
            return self._days[number]
        except KeyError:
            if len(self._days) >= _MAX_DAYS:
                self._days.clear()
            self._days[number] = found = self._resolver.offset_all_utc_day(number)
            return found


class _TimeOfDayIndex:
    """An index for every second of a day: the usual ones, then others as they occur."""

    def __init__(self) -> None:
        self._indexes = _USUAL_INDEXES
        self._seconds = _USUAL_SECONDS

    def of(self, seconds: Integers) -> NDArray[np.int32]:
        """Return the indexes of seconds since midnight."""
        found = self._indexes[seconds]
        if (found >= 0).all():
            return found
        if self._indexes is _USUAL_INDEXES:
            self._indexes, self._seconds = self._indexes.copy(), [*self._seconds]
        new = [*dict.fromkeys(seconds[found < 0].tolist())]
        self._indexes[new] = np.arange(len(self._seconds), len(self._seconds) + len(new))
        self._seconds += new
        return self._indexes[seconds]

    def of_one(self, second: int) -> int:
        """Return the index of one second since midnight."""
        index = int(self._indexes[second])
        return index if index >= 0 else int(self.of(np.array([second]))[0])

    def seconds(self, seen: NDArray[np.bool_]) -> tuple[int, ...]:
        """Return the seconds of the day, ascending, of the indexes that were seen."""
        if len(seen) <= len(_USUAL_SECONDS):
            return _usual_seconds(seen.tobytes())
        return tuple(sorted(self._seconds[index] for index in np.flatnonzero(seen).tolist()))


class PlacedStarts:
    """Where readings start, each with a mark that tells it from others of its time.

    A local day has those of one offset, since clocks show some times of others twice.
    """

    def __init__(self, zone: tzinfo, marks: DTypeLike, spool: Spool) -> None:
        """Take the type of the marks, and a temporary file for them if there are many."""
        self._indexes = _TimeOfDayIndex()
        self._offsets = ZoneOffsets(zone)
        self._days = DayMarks(marks, spool)
        """The mark of each reading, at the index of its local time of day."""

    def add(self, start: int, mark: int) -> tuple[str, int, int]:
        """Return the local time of a start and its offset, and the mark of an earlier one or 0."""
        offset = self._offsets.at(start)
        number, second = divmod(start + offset, DAY_SECONDS)
        index = self._indexes.of_one(second)
        marks = self._days.of((number, offset), index)
        if not (earlier := int(marks[index])):
            marks[index] = mark
        local = _EPOCH + timedelta(seconds=start + offset)
        return local.isoformat(" ")[:19], offset, earlier

    def add_all(self, starts: Integers, marks: Marks) -> tuple[Integers, Truths]:
        """Return the offset of each start, and whether no earlier one is of its time.

        Does the same as `add` of each.
        """
        offsets = self._offsets.at_all(starts)
        local = starts + offsets
        days = local // DAY_SECONDS
        seconds = local - days * DAY_SECONDS
        indexes = self._indexes.of(seconds)
        are_same_day = (days[1:] == days[:-1]) & (offsets[1:] == offsets[:-1])
        begins = np.concatenate(([0], np.flatnonzero(~are_same_day) + 1))
        highest = np.maximum.reduceat(indexes, begins).tolist()
        rises = (seconds[1:] > seconds[:-1]) | ~are_same_day
        falls = (seconds[1:] < seconds[:-1]) | ~are_same_day
        are_distinct = bool(rises.all() or falls.all())
        are_new = np.ones(len(starts), bool)
        keys = zip(days[begins].tolist(), offsets[begins].tolist(), strict=True)
        ends = [*begins[1:].tolist(), len(starts)]
        for key, begin, end, index in zip(keys, begins.tolist(), ends, highest, strict=True):
            seen, at = self._days.of(key, index), indexes[begin:end]
            if are_distinct and not seen[at].any():
                seen[at] = marks[begin:end]
                continue
            for place, each in enumerate(at.tolist(), begin):
                if seen[each]:
                    are_new[place] = False
                else:
                    seen[each] = marks[place]
        return offsets, are_new

    def runs(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the instants of the starts in runs, in order of time, see `Differences`."""
        waiting: list[tuple[int, int, tuple[int, ...]]] = []
        for number, offset in self._days.ordered():
            midnight = number * DAY_SECONDS
            # What is behind clocks that change counts from another midnight.
            while waiting and waiting[0][0] < midnight - DAY_SECONDS:
                yield heappop(waiting)[1:]
            seconds = self._indexes.seconds(self._days.seen((number, offset)))
            heappush(waiting, (midnight - offset + seconds[0], midnight - offset, seconds))
        while waiting:
            yield heappop(waiting)[1:]


@lru_cache(maxsize=1024)
def _usual_seconds(seen: bytes) -> tuple[int, ...]:
    return tuple(sorted(second for second, was in zip(_USUAL_SECONDS, seen, strict=False) if was))
