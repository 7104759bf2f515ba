"""Rows of days on which clocks change."""

from bisect import bisect
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Generic, TypeVar

from domain.time.local_time import LocalTimeResolver

Row = TypeVar("Row")

AMBIGUOUS_TIME = (
    "no invalid row in the repeated hour: only the order of its rows tells its two passes apart"
)

UNORDERED_TIMES = (
    "rows from before this hour, or times with their UTC offset: it occurs twice, and a report"
    " that begins in it and contains it once is ambiguous"
)

FIRST_ROW = 2
"""The line of a report's first row, below its header."""

_DAY = timedelta(days=1)


class DstDayBuffer(Generic[Row]):
    """Buffers the rows of a day on which clocks change, since their order decides their offsets.

    If an invalid row is rejected from the repeated hour, the rest of that hour is ambiguous and
    gets no offset. Neither does a report that begins in that hour and contains one pass of it.

    Times may be ends that are written by the clock at the start of their interval: if the rows show
    it beyond doubt, they are taken for the local times of the starts, which `shift` tells.
    """

    def __init__(self, resolver: LocalTimeResolver, end_shift: timedelta = timedelta()) -> None:
        """Take the interval if times are ends whose clock the rows may tell."""
        self._resolver = resolver
        self.first_line = FIRST_ROW
        """The line of the first row."""
        self._end_shift = end_shift
        self.shift = timedelta()
        """By how much the local times of the last rows are earlier than they are written."""
        self._is_by_start: bool | None = None
        self._rejected_times: list[datetime] = []
        self._rows: list[tuple[int, datetime, Row]] = []
        self._rejected_lines: list[int] = []
        self._unassigned_lines: list[int] = []
        self._ambiguous_days: set[date] = set()
        self.assigned: set[tuple[datetime, int]] = set()
        """The local times of these days that have an offset already, each with its offset."""

    def continues(self, day: date) -> bool:
        """Return whether a day belongs to the buffered rows; an hour may repeat past midnight."""
        return bool(self._rows) and abs(day - self._rows[-1][1].date()) <= _DAY

    def add(self, line: int, local: datetime, row: Row) -> None:
        """Buffer a row."""
        self._rows.append((line, local, row))

    def reject(self, line: int, local: datetime | None) -> None:
        """Note an invalid row; if its time is unreadable, that of its neighbours counts."""
        if local is not None:
            times = (local, local - self._end_shift)
            if any(map(self._resolver.is_repeated, times)):
                self._rejected_times.append(local)
        elif self._rows:
            self._rejected_lines.append(line)
        else:
            self._rejected_lines = [line]

    def note_unassigned(self, line: int) -> None:
        """Note a row that may be one of these but can't be assigned to a meter."""
        if not self._rows:
            self._unassigned_lines.clear()
        self._unassigned_lines.append(line)

    def flush(self) -> list[tuple[int, datetime, Row, int | str]]:
        """Return the buffered rows, each with its offset or with what was expected instead."""
        rows, self._rows = self._rows, []
        rejected, self._rejected_lines = self._rejected_lines, []
        unassigned, self._unassigned_lines = self._unassigned_lines, []
        self.shift = self._end_shift if self._are_by_start(rows) else timedelta()
        if self.shift:
            rows = [(line, local - self.shift, row) for line, local, row in rows]
        times, self._rejected_times = self._rejected_times, []
        for local in times:
            self._mark_ambiguous(local - self.shift)
        if unassigned and not self._has_all_pairs(rows):
            rejected += unassigned
        lines = [line for line, _, _ in rows]
        for line in rejected:
            index = bisect(lines, line)
            if index or lines[:1] == [line + 1]:
                for _, local, _ in rows[max(index - 1, 0) : index + 1]:
                    self._mark_ambiguous(local)
        reason = UNORDERED_TIMES if self._begins_in_either_pass(rows) else AMBIGUOUS_TIME
        known = {local for local, _ in self.assigned} if self._ambiguous_days else set()
        unresolved = [
            self._resolver.is_repeated(local)
            and (reason is UNORDERED_TIMES or (self._is_ambiguous(local) and local not in known))
            for _, local, _ in rows
        ]
        resolved = [local for (_, local, _), skip in zip(rows, unresolved, strict=True) if not skip]
        offsets = iter(self._resolver.offsets(resolved, self.assigned))
        return [
            (*row, reason if skip else next(offsets))
            for row, skip in zip(rows, unresolved, strict=True)
        ]

    def _are_by_start(self, rows: list[tuple[int, datetime, Row]]) -> bool:
        """Return whether ends are those by the clock at the start of their interval.

        Rows of one day tell it for all days that do not tell it themselves.
        """
        if not self._end_shift or not rows:
            return False
        if self._is_by_start is None:
            ends = [local for _, local, _ in rows]
            can_be_ends = self._are_in_order(ends)
            can_be_starts = self._are_in_order([local - self._end_shift for local in ends])
            if can_be_ends is not can_be_starts:
                self._is_by_start = can_be_starts
        return self._is_by_start or False

    def _are_in_order(self, times: list[datetime]) -> bool:
        """Return whether clocks show all these local times, one after the other."""
        offsets = self._resolver.offsets(times, set(self.assigned))
        instants = [
            local - timedelta(seconds=offset)
            for local, offset in zip(times, offsets, strict=True)
            if isinstance(offset, int)
        ]
        pairs = [earlier < later for earlier, later in pairwise(instants)]
        is_strict = len(set(instants)) == len(times)
        return is_strict and (all(pairs) or not any(pairs))

    def _begins_in_either_pass(self, rows: list[tuple[int, datetime, Row]]) -> bool:
        """Return whether a report begins in a repeated hour and contains one pass of it."""
        if not rows or rows[0][0] != self.first_line or not self._resolver.is_repeated(rows[0][1]):
            return False
        repeated = [local for _, local, _ in rows if self._resolver.is_repeated(local)]
        return all(earlier < later for earlier, later in pairwise(repeated))

    def _has_all_pairs(self, rows: list[tuple[int, datetime, Row]]) -> bool:
        """Return whether each time of a repeated hour occurs twice, so that no row is missing."""
        times = Counter(local for _, local, _ in rows if self._resolver.is_repeated(local))
        return set(times.values()) <= {2}

    def _mark_ambiguous(self, local: datetime) -> None:
        if self._resolver.is_repeated(local):
            self._ambiguous_days.add(local.date())

    def _is_ambiguous(self, local: datetime) -> bool:
        near = {local.date() + _DAY * days for days in (-1, 0, 1)}
        return not near.isdisjoint(self._ambiguous_days)
