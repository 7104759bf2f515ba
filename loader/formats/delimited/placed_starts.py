"""The starts of a report's readings, placed in the local time of the meter."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from domain.time.time_zone import DAY_SECONDS
from loader.formats.delimited.day_marks import DayMarks
from loader.rows.reader import TimeOfDayIndex
from loader.rows.spool import Spool

if TYPE_CHECKING:
    from array import array

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BLOCK_SECONDS = 6 * 3600
"""Seconds of which the offset is looked up once; no zone changes it twice in them."""

_MAX_OFFSETS = 4096
"""Blocks whose offset is remembered."""


class ZoneOffsets(dict[int, int | None]):
    """The offset of each block of seconds, None if it changes in it."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__()
        self._zone = zone
        self._edges: dict[int, int] = {}
        """The offset at the beginning of each block."""

    def __missing__(self, block: int) -> int | None:
        if len(self) >= _MAX_OFFSETS:
            self.clear()
            self._edges.clear()
        edges = self._edges
        for edge in (block, block + 1):
            if edge not in edges:
                edges[edge] = self.at(edge * _BLOCK_SECONDS)
        first, end = edges[block], edges[block + 1]
        self[block] = found = first if first == end else None
        return found

    def of(self, instant: int) -> int:
        """Return the offset at an instant, which is remembered for those beside it."""
        offset = self[instant // _BLOCK_SECONDS]
        return self.at(instant) if offset is None else offset

    def at(self, instant: int) -> int:
        """Return the offset at an instant."""
        offset = (_EPOCH + timedelta(seconds=instant)).astimezone(self._zone).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())


class _Clocks(dict[int, tuple[str, int]]):
    """The text of each second of a day, and its index."""

    def __init__(self, indexes: TimeOfDayIndex) -> None:
        super().__init__()
        self._indexes = indexes

    def __missing__(self, second: int) -> tuple[str, int]:
        text = (_EPOCH + timedelta(seconds=second)).strftime("%H:%M:%S")
        self[second] = found = text, self._indexes[text]
        return found


class PlacedStarts:
    """Where readings start, each with a mark that tells it from others of its time.

    A local day has those of one offset, since clocks show some times of others twice.
    """

    def __init__(self, zone: tzinfo, indexes: TimeOfDayIndex, spool: Spool) -> None:
        """Take a temporary file for the marks if there are many."""
        self._indexes = indexes
        self._offsets = ZoneOffsets(zone)
        self._clocks = _Clocks(indexes)
        self._days = DayMarks(spool)
        """The mark of each reading, at the index of its local time of day."""
        self._select(0, 0)

    def add(self, start: int, mark: int) -> tuple[str, int, int]:
        """Return the local time of a start and its offset, and the mark of an earlier one or 0."""
        offset = self._offsets.of(start)
        number, second = divmod(start + offset, DAY_SECONDS)
        if number != self._number or offset != self._offset:
            self._select(number, offset)
        clock, index = self._clocks[second]
        marks = self._marks
        if index >= len(marks):
            marks.frombytes(bytes(marks.itemsize * (index + 1 - len(marks))))
        earlier = marks[index]
        if not earlier:
            marks[index] = mark
        return f"{self._date} {clock}", offset, earlier

    def add_all(
        self, starts: Sequence[int], marks: Sequence[int]
    ) -> tuple[list[str | None], list[int]]:
        """Return the local time of each start, None if an earlier one has it, and its offset.

        Does the same as `add` of each.
        """
        clocks = self._clocks
        local: list[str | None] = []
        offsets: list[int] = []
        first = end = midnight = offset = 0
        for start, mark in zip(starts, marks, strict=True):
            if not first <= start < end:
                first, end, midnight, offset, date_text, seen = self._stretch(start)
            clock, index = clocks[start - midnight]
            if index >= len(seen):
                seen.frombytes(bytes(seen.itemsize * (index + 1 - len(seen))))
            offsets.append(offset)
            if seen[index]:
                local.append(None)
            else:
                seen[index] = mark
                local.append(f"{date_text} {clock}")
        return local, offsets

    def _stretch(self, start: int) -> tuple[int, int, int, int, str, "array[int]"]:
        """Return the instants around a start that are of its local day and have its offset.

        These are the first one and the end; the day's midnight by that offset, the offset, the date
        and the marks of the day follow.
        """
        block = start // _BLOCK_SECONDS
        offset = self._offsets[block]
        first, end = block * _BLOCK_SECONDS, (block + 1) * _BLOCK_SECONDS
        if offset is None:
            offset, first, end = self._offsets.at(start), start, start + 1
        number, second = divmod(start + offset, DAY_SECONDS)
        midnight = start - second
        self._select(number, offset)
        blocks = range(
            midnight // _BLOCK_SECONDS, (midnight + DAY_SECONDS - 1) // _BLOCK_SECONDS + 1
        )
        if all(self._offsets[each] == offset for each in blocks):
            first, end = midnight, midnight + DAY_SECONDS
        end = min(end, midnight + DAY_SECONDS)
        return max(first, midnight), end, midnight, offset, self._date, self._marks

    def _select(self, number: int, offset: int) -> None:
        """Go to a day, so many after that of 1970, with an offset."""
        self._number, self._offset = number, offset
        self._date = str((_EPOCH + timedelta(days=number)).date())
        self._marks = self._days.of(number, offset)

    def runs(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the instants of the starts in runs, in order of time, see `Differences`."""
        waiting: list[tuple[int, int, tuple[int, ...]]] = []
        for number, offset in self._days.ordered():
            midnight = number * DAY_SECONDS
            # What is behind clocks that change counts from another midnight.
            while waiting and waiting[0][0] < midnight - DAY_SECONDS:
                yield heappop(waiting)[1:]
            seen = self._days.seen(number, offset)
            if any(seen):
                seconds = self._indexes.seconds(seen)
                heappush(waiting, (midnight - offset + seconds[0], midnight - offset, seconds))
        while waiting:
            yield heappop(waiting)[1:]
