"""Rows of days on which clocks change."""

from bisect import bisect
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Generic, TypeVar

from domain.local_time import LocalTimeResolver

Row = TypeVar("Row")

AMBIGUOUS_TIME = (
    "no invalid row in the repeated hour: only the order of its rows tells its two passes apart"
)

UNORDERED_TIMES = (
    "rows from before this hour, or times with their UTC offset: it occurs twice, and a report"
    " that begins in it and contains it once is ambiguous"
)

_FIRST_ROW = 2
"""The line of a report's first row, below its heading."""

_DAY = timedelta(days=1)


class DstDayBuffer(Generic[Row]):
    """Rows that wait for the others of their day, since they count in their order.

    Where a faulty row is left out of the repeated hour, the rest of it can't be told apart any
    more, and no row of it gets an offset; nor does one where a report begins in that hour and has
    one pass of it only, which may be either.
    """

    def __init__(self, clock: LocalTimeResolver) -> None:
        self._clock = clock
        self._rows: list[tuple[int, datetime, Row]] = []
        self._faulty: list[int] = []
        self._doubtful: set[date] = set()
        self.taken: set[tuple[datetime, int]] = set()
        """The local times of these days that were given an offset so far, and the offsets."""

    def continues(self, day: date) -> bool:
        """Whether rows wait that this day belongs to: the repeated hour may go past midnight."""
        return bool(self._rows) and abs(day - self._rows[-1][1].date()) <= _DAY

    def add(self, line: int, local: datetime, row: Row) -> None:
        """Lets a row wait."""
        self._rows.append((line, local, row))

    def leave_out(self, line: int, local: datetime | None) -> None:
        """Notes that a row was faulty; where its time can't be read, its neighbours tell it."""
        if local is not None:
            self._doubt(local)
        elif self._rows:
            self._faulty.append(line)
        else:
            self._faulty = [line]

    def dated(self) -> list[tuple[int, datetime, Row, int | str]]:
        """The rows that waited, each with its offset, or with what was expected instead."""
        rows, self._rows = self._rows, []
        faulty, self._faulty = self._faulty, []
        lines = [line for line, _, _ in rows]
        for line in faulty:
            place = bisect(lines, line)
            if place or lines[:1] == [line + 1]:
                for _, local, _ in rows[max(place - 1, 0) : place + 1]:
                    self._doubt(local)
        reason = UNORDERED_TIMES if self._begins_in_either_pass(rows) else AMBIGUOUS_TIME
        given = {local for local, _ in self.taken} if self._doubtful else set()
        left_out = [
            self._clock.is_repeated(local)
            and (reason is UNORDERED_TIMES or (self._is_doubtful(local) and local not in given))
            for _, local, _ in rows
        ]
        certain = [
            local for (_, local, _), is_out in zip(rows, left_out, strict=True) if not is_out
        ]
        offsets = iter(self._clock.offsets(certain, self.taken))
        return [
            (*row, reason if is_out else next(offsets))
            for row, is_out in zip(rows, left_out, strict=True)
        ]

    def _begins_in_either_pass(self, rows: list[tuple[int, datetime, Row]]) -> bool:
        """Whether a report begins in a repeated hour and has one pass of it only."""
        if not rows or rows[0][0] != _FIRST_ROW or not self._clock.is_repeated(rows[0][1]):
            return False
        repeated = [local for _, local, _ in rows if self._clock.is_repeated(local)]
        return all(earlier < later for earlier, later in pairwise(repeated))

    def _doubt(self, local: datetime) -> None:
        if self._clock.is_repeated(local):
            self._doubtful.add(local.date())

    def _is_doubtful(self, local: datetime) -> bool:
        near = {local.date() + _DAY * days for days in (-1, 0, 1)}
        return not near.isdisjoint(self._doubtful)
