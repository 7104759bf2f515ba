"""Sums of a selection by buckets: rows made of arrays, chunk by chunk."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import numpy as np

from domain.columns import Column, Columns, Integers, Truths
from domain.fixed_point import SCALE
from domain.flags import CATCH_UP, FLAGS
from domain.time.time_buckets import Buckets, BucketSize, edges_around
from domain.time.time_zone import DAY_SECONDS
from storage.backends.base import ReadEngine
from storage.columns.aggregates import group_sizes, group_starts
from storage.columns.arithmetic import product, quotient
from storage.common.turns import in_thread
from storage.figures.aggregation_rules import FLAGGED, PRESENT, AggregatePart, flag_part
from storage.figures.days.catch_ups import energy_since
from storage.figures.days.stretches import KnownDays, day_runs
from storage.figures.result import ColumnRows
from storage.figures.scan import selected_columns
from storage.figures.selection import Selection
from storage.figures.sums.column_parts import (
    Parts,
    joined_parts,
    merged_parts,
    part_names,
    parts_of,
    spread,
)
from storage.figures.sums.measures import BucketParts, Measures

ROWS_AT_ONCE = 2000
"""Rows that are made in one go."""

FEWEST_ROWS = 1000
"""Rows for which more readings are waited for, to make fewer at once would take longer."""

SEARCHED_SECONDS = 4000 * DAY_SECONDS
"""Time in which one statement looks for catch-ups, from the first one on."""

_Missing = tuple[int | None, int | None]
"""An end of the period, and how many readings its bucket lacks, None if that is unknown."""


@dataclass(frozen=True, slots=True)
class _Groups:
    """Parts of readings of one bucket and one span of intervals each, in the order of time."""

    numbers: Integers
    """Each lies after the edge with its number."""
    parts: Parts

    def __getitem__(self, which: slice) -> "_Groups":
        parts = {part: column[which] for part, column in self.parts.items()}
        return _Groups(self.numbers[which], parts)


class BucketSums:
    """Sums of a selection by bucket."""

    def __init__(
        self,
        engine: ReadEngine,
        selection: Selection,
        measures: Measures,
        interval: BucketSize,
        buckets: Buckets,
    ) -> None:
        self._engine = engine
        self._selection = selection
        self._measures = measures
        self._interval = interval
        self._buckets = buckets
        self._bucket_edges = buckets.edges
        bounds = selection.meter.intervals.bounds
        self._edges = np.union1d(buckets.edges, bounds) if len(bounds) else self._bucket_edges
        """Those of buckets and of spans of intervals: a group lies between two of them."""
        self._since: dict[int, int] = {}
        """See `energy_since`, of buckets whose rows are still to be made."""
        flags = FLAGS if measures.has_flags else (CATCH_UP,) if measures.has_energy else ()
        self._parts: list[AggregatePart] = [
            *(*measures.parts, PRESENT, FLAGGED),
            *map(flag_part, flags),
        ]
        self._names = part_names(self._parts)
        self._missing = self._missing_at_ends()

    async def rows(self) -> AsyncGenerator[ColumnRows]:
        """Yield the rows of all buckets, in order."""
        is_of_days = self._interval.number is not None and self._selection.has_days
        found = self._by_day() if is_of_days else self._scanned(self._selection)
        waiting: list[_Groups] = []
        done = 0
        async with aclosing(found):
            async for groups in found:
                waiting.append(groups)
                end = int(self._bucket_of(groups.numbers[-1:])[0])
                if end - done >= FEWEST_ROWS:
                    ready, later = await in_thread(self._split, waiting, end)
                    async for rows in self._made(ready, done, end):
                        yield rows
                    waiting, done = [later], end
        end = len(self._buckets)
        rest, _ = await in_thread(self._split, [*waiting, self._nothing()], end)
        async for rows in self._made(rest, done, end):
            yield rows

    def _nothing(self) -> _Groups:
        nothing = np.zeros(0, np.int64)
        quantities = dict.fromkeys(self._names, Column(nothing))
        columns = Columns(nothing, nothing, quantities, nothing.astype(np.uint8))
        return _Groups(nothing, parts_of(columns, nothing, self._parts))

    def _split(self, several: Sequence[_Groups], end: int) -> tuple[_Groups, _Groups]:
        """Return the groups of the buckets before one, and the others."""
        numbers = np.concatenate([groups.numbers for groups in several])
        parts = joined_parts([groups.parts for groups in several])
        starts = group_starts(numbers)
        groups = _Groups(numbers[starts], merged_parts(parts, starts))
        place = int(self._bucket_of(groups.numbers).searchsorted(end))
        return groups[:place], groups[place:]

    async def _made(self, groups: _Groups, first: int, end: int) -> AsyncGenerator[ColumnRows]:
        """Yield the rows of the buckets from the first one up to, and without, another."""
        for at in range(first, end, ROWS_AT_ONCE):
            yield await in_thread(self._rows, groups, at, min(at + ROWS_AT_ONCE, end))

    async def _scanned(self, selection: Selection) -> AsyncGenerator[_Groups]:
        """Yield the groups of readings."""
        readings = selected_columns(self._engine, selection, self._names)
        async with aclosing(readings):
            async for columns in readings:
                if len(columns):
                    groups = await in_thread(self._groups, columns)
                    await self._search(groups, columns)
                    yield groups

    def _groups(self, columns: Columns) -> _Groups:
        first = int(self._edges.searchsorted(columns.utc[0], side="right")) - 1
        end = int(self._edges.searchsorted(columns.utc[-1], side="right"))
        places = columns.utc.searchsorted(self._edges[first:end])
        filled = np.flatnonzero(group_sizes(places, len(columns)))
        return _Groups(filled + first, parts_of(columns, places[filled], self._parts))

    async def _search(self, groups: _Groups, columns: Columns) -> None:
        """Find out from when the energy of catch-ups is."""
        if self._has_energy and groups.parts[flag_part(CATCH_UP)].values.any():
            await self._search_between(int(columns.utc[0]), int(columns.utc[-1]) + 1)

    async def _search_between(self, start: int, end: int) -> None:
        part = replace(self._selection, start=start, until=min(end, self._selection.until))
        self._since |= await energy_since(self._engine, part, self._buckets)

    async def _by_day(self) -> AsyncGenerator[_Groups]:
        """Yield the groups of days whose sums are kept, and of what is scanned of the others."""
        searched = self._selection.start
        runs = day_runs(self._engine, self._selection, self._parts, self._is_one)
        async with aclosing(runs):
            async for run in runs:
                if not isinstance(run, KnownDays):
                    part = replace(self._selection, start=run.start, until=run.end)
                    async with aclosing(self._scanned(part)) as scanned:
                        async for groups in scanned:
                            yield groups
                    continue
                if self._has_energy:
                    caught_up = run.firsts[run.parts[flag_part(CATCH_UP)].values > 0]
                    for start in caught_up.tolist():
                        if start >= searched:
                            searched = start + SEARCHED_SECONDS
                            await self._search_between(start, searched)
                yield _Groups(self._number_of(run.firsts), run.parts)

    def _is_one(self, firsts: Integers, lasts: Integers) -> Truths:
        """Return whether readings from a first to a last one are of one group."""
        return np.equal(self._number_of(firsts), self._number_of(lasts))

    def _number_of(self, instants: Integers) -> Integers:
        return self._edges.searchsorted(instants, side="right") - 1

    def _bucket_of(self, numbers: Integers) -> Integers:
        if self._edges is self._bucket_edges:
            return numbers
        return self._bucket_edges.searchsorted(self._edges[numbers], side="right") - 1

    @property
    def _has_energy(self) -> bool:
        return self._measures.has_energy

    def _rows(self, groups: _Groups, first: int, end: int) -> ColumnRows:
        """Return the rows of the buckets from the first one up to, and without, another."""
        edges = self._bucket_edges[first : end + 1]
        buckets = self._parts_between(groups, first, end)
        expected = self._selection.grid.expected_between(edges)
        present = buckets.whole[PRESENT]
        flags = FLAGS if self._measures.has_flags else ()
        return ColumnRows(
            [
                *(Column(edges[:-1]), Column(edges[1:])),
                *self._measures.columns(buckets),
                *(expected, present, buckets.whole[FLAGGED], _coverage(present, expected)),
                self._partial(edges),
                *([self._energy_since(edges)] if self._has_energy else ()),
                *(buckets.whole[flag_part(flag)] for flag in flags),
            ]
        )

    def _parts_between(self, groups: _Groups, first: int, end: int) -> BucketParts:
        """Return the parts of buckets, also of those without readings."""
        begin, behind = self._bucket_of(groups.numbers).searchsorted([first, end]).tolist()
        groups = groups[begin:behind]
        found = self._bucket_of(groups.numbers) - first
        # Each bucket has as many groups as there are, but one at least.
        counts = np.maximum(np.bincount(found, minlength=end - first), 1)
        starts = np.cumsum(counts) - counts
        places = starts[found] + np.arange(len(found)) - found.searchsorted(found)
        seconds = np.zeros(int(counts.sum()), np.int64)
        seconds[places] = self._selection.meter.intervals.seconds_at(self._edges[groups.numbers])
        return BucketParts.of(spread(groups.parts, places, len(seconds)), seconds, starts)

    def _energy_since(self, edges: Integers) -> Column:
        """Return from when the energy of buckets is, if that is before their start."""
        known = np.zeros(len(edges) - 1, bool)
        values = np.zeros(len(edges) - 1, np.int64)
        for start in [start for start in self._since if start < edges[-1]]:
            place = int(edges.searchsorted(start))
            known[place], values[place] = True, self._since.pop(start)
        return Column(values, known)

    def _partial(self, edges: Integers) -> Column:
        """Return whether an end of the period cuts a bucket."""
        values = np.zeros(len(edges) - 1, np.int64)
        known = np.ones(len(edges) - 1, bool)
        (start, before), (end, after) = self._missing
        missing: dict[int, list[int | None]] = {}
        if edges[0] == start:
            missing.setdefault(0, []).append(before)
        if edges[-1] == end:
            missing.setdefault(len(values) - 1, []).append(after)
        for place, counts in missing.items():
            values[place] = any(counts)
            known[place] = any(counts) or None not in counts
        return Column(values, None if known.all() else known)

    def _missing_at_ends(self) -> tuple[_Missing, _Missing]:
        """Return the start and the end of the period, each with how many readings are expected in
        what is missing of its bucket, None if that is unknown."""
        selection, grid = self._selection, self._selection.grid
        (start, _), (_, end) = self._buckets[0], self._buckets[len(self._buckets) - 1]
        begin, _ = edges_around(self._interval, selection.zone, start)
        _, finish = edges_around(self._interval, selection.zone, end)
        return (
            (start, grid.expected(begin, start) if begin < start else 0),
            (end, grid.expected(end, finish) if end < finish else 0),
        )


def _coverage(present: Column, expected: Column) -> Column:
    known = expected.present & (expected.values > 0)
    scaled = product(present.values, SCALE)
    values = quotient(scaled, np.where(known, expected.values, 1))
    return Column(np.where(known, values, 0), None if known.all() else known)
