"""The readings of a selection as whole local days, whose sums are kept, and what lies between."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np

from domain.columns import Integers, Truths
from domain.time.time_zone import DAY_SECONDS
from storage.backends.base import ReadEngine
from storage.backends.dialect import Dialect
from storage.columns.aggregates import group_sizes, group_starts
from storage.columns.texts import fetch_columns
from storage.common.prefetch import prefetch
from storage.common.turns import in_pieces, in_thread
from storage.figures.aggregation_rules import (
    COUNT,
    GREATEST,
    AggregatePart,
    PartValues,
    day_expression,
    merge_parts,
)
from storage.figures.selection import Selection
from storage.figures.sums.column_parts import (
    GREATEST_AT,
    Parts,
    at_of,
    joined_parts,
    merged_parts,
    part_values,
)

CHUNK_DAYS = 4000
"""Days that one statement reads."""


@dataclass(frozen=True, slots=True)
class KnownDays:
    """Days whose sums are kept, in the order of time."""

    firsts: Integers
    """The start of the first reading of each."""
    lasts: Integers
    """That of the last one."""
    parts: Parts

    def __len__(self) -> int:
        return len(self.firsts)

    def __getitem__(self, which: Integers | slice) -> "KnownDays":
        parts = {part: column[which] for part, column in self.parts.items()}
        return KnownDays(self.firsts[which], self.lasts[which], parts)

    def followed_by(self, later: "KnownDays") -> "KnownDays":
        """Return these days and some more."""
        return KnownDays(
            np.concatenate([self.firsts, later.firsts]),
            np.concatenate([self.lasts, later.lasts]),
            joined_parts([self.parts, later.parts]),
        )

    def in_order(self) -> "KnownDays":
        """Return the days in the order of time."""
        return self[np.argsort(self.firsts, kind="stable")]

    def apart(self) -> Integers:
        """Return the places of the days before whose first reading all earlier days have ended."""
        ended = np.maximum.accumulate(self.lasts)[:-1]
        return np.flatnonzero(np.append(True, self.firsts[1:] > ended))


@dataclass(frozen=True, slots=True)
class DayScan:
    """Readings from `start` up to, and without, `end`, which have to be scanned."""

    start: int
    end: int


IsOneGroup = Callable[[Integers, Integers], Truths]
"""Tells, of the first and the last reading of each day, whether both are of one group."""


async def day_runs(
    engine: ReadEngine,
    selection: Selection,
    parts: Sequence[AggregatePart],
    is_one_group: IsOneGroup | None = None,
    day_filter: str = "TRUE",
) -> AsyncGenerator[KnownDays | DayScan]:
    """Yield, in the order of time, what together has all readings of a selection.

    A day has to be scanned if it lies over an end of the selection, if its first and last reading
    are not of one group, or if readings of another day lie between them, as when clocks go back
    over midnight. A filter leaves out days whose readings, were they scanned, would change nothing.
    """
    if not selection.has_days:
        yield DayScan(selection.start, selection.until)
        return
    held: KnownDays | None = None
    async with aclosing(prefetch(_jobs(engine, selection, parts, day_filter))) as results:
        async for found in results:
            days = found.in_order() if held is None else held.followed_by(found).in_order()
            if len(days):
                # Readings of a later day may lie between those of the last ones.
                last = int(days.apart()[-1])
                for run in await in_thread(_runs, selection, days[:last], is_one_group):
                    yield run
                held = days[last:]
    if held is not None:
        for run in _runs(selection, held, is_one_group):
            yield run


def _runs(
    selection: Selection, days: KnownDays, is_one_group: IsOneGroup | None
) -> list[KnownDays | DayScan]:
    if not len(days):
        return []
    is_scanned = (days.firsts < selection.start) | (days.lasts >= selection.until)
    if is_one_group is not None:
        is_scanned |= ~is_one_group(days.firsts, days.lasts)
    places = days.apart()
    is_scanned = np.logical_or.reduceat(is_scanned, places)
    is_scanned |= group_sizes(places, len(days)) > 1
    starts = np.maximum(days.firsts[places], selection.start)
    ends = np.minimum(np.maximum.reduceat(days.lasts, places) + 1, selection.until)
    runs: list[KnownDays | DayScan] = []
    bounds = [*group_starts(is_scanned).tolist(), len(places)]
    for begin, end in pairwise(bounds):
        if is_scanned[begin]:
            runs += _scans(starts[begin:end].tolist(), ends[begin:end].tolist())
        else:
            runs.append(days[int(places[begin]) : int(places[end - 1]) + 1])
    return runs


def _scans(starts: Sequence[int], ends: Sequence[int]) -> Iterator[DayScan]:
    """Yield what is to be scanned in one go: days that follow each other."""
    begun, ended = starts[0], ends[0]
    for start, end in zip(starts, ends, strict=True):
        if start >= ended + DAY_SECONDS:
            yield DayScan(begun, ended)
            begun = start
        ended = end
    yield DayScan(begun, ended)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Readings from `start` up to, and without, `end`."""

    start: int
    end: int
    parts: PartValues | None
    """Their aggregates, None if the readings have to be scanned."""


async def day_stretches(
    engine: ReadEngine,
    selection: Selection,
    parts: Sequence[AggregatePart],
    day_filter: str = "TRUE",
) -> AsyncGenerator[Sequence[Stretch]]:
    """Yield the same as stretches, of which each known day is one."""
    async with aclosing(day_runs(engine, selection, parts, day_filter=day_filter)) as runs:
        async for run in runs:
            if isinstance(run, DayScan):
                yield [Stretch(run.start, run.end, None)]
                continue
            values = part_values(run.parts, parts)
            days = zip(run.firsts.tolist(), run.lasts.tolist(), values, strict=True)
            async for piece in in_pieces(days):
                yield [Stretch(first, last + 1, each) for first, last, each in piece]


def whole_days(dialect: Dialect, selection: Selection) -> str:
    """Return what follows FROM to select the days that lie in a selection as a whole."""
    return (
        f"{days_of(selection)} AND first_utc >= {dialect.instant(selection.start)}"
        f" AND last_utc < {dialect.instant(selection.until)}"
    )


def days_of(selection: Selection) -> str:
    """Return what follows FROM to select the days of the meter, as a selection wants them."""
    quality = "(clean = 1 OR implausible = 0)" if selection.is_clean else "clean = 0"
    return f"days WHERE meter_id = {selection.meter.id} AND {quality}"


async def may_derive(engine: ReadEngine, selection: Selection) -> bool:
    """Return whether readings of the meter may have a power that is derived from energy."""
    if not selection.has_days:
        return True
    return bool(
        await engine.fetch(
            f"SELECT 1 FROM days WHERE meter_id = {selection.meter.id} AND clean = 0"
            " AND derived_energy_count > 0 LIMIT 1"
        )
    )


async def summed(
    engine: ReadEngine,
    selection: Selection,
    parts: Sequence[AggregatePart],
    scan: Callable[[Selection], Awaitable[PartValues]],
    day_filter: str = "TRUE",
) -> PartValues:
    """Return the aggregates of a selection; `scan` returns them for what has to be scanned."""
    values: list[PartValues] = [[0 if function == COUNT else None for function, _ in parts]]
    async with aclosing(day_runs(engine, selection, parts, day_filter=day_filter)) as runs:
        async for run in runs:
            if isinstance(run, DayScan):
                values.append(await scan(replace(selection, start=run.start, until=run.end)))
            else:
                values += part_values(merged_parts(run.parts, np.zeros(1, np.int64)), parts)
    return merge_parts(parts, values)


async def _jobs(
    engine: ReadEngine, selection: Selection, parts: Sequence[AggregatePart], day_filter: str
) -> AsyncGenerator[Coroutine[Any, Any, KnownDays]]:
    """Yield what reads the days of a selection, in chunks."""
    start = max(selection.start, selection.first_reading)
    end = min(selection.until, selection.last_reading + 1)
    # The rules of the zone may have changed since the local times were written.
    first = selection.zone.at(start).date().toordinal() - 1
    last = selection.zone.at(end).date().toordinal() + 1
    for at in range(first, last + 1, CHUNK_DAYS):
        until = min(at + CHUNK_DAYS - 1, last)
        days = f"'{date.fromordinal(at)}' AND '{date.fromordinal(until)}'"
        yield _days(engine, selection, parts, f"day BETWEEN {days}", day_filter)


async def _days(
    engine: ReadEngine,
    selection: Selection,
    parts: Sequence[AggregatePart],
    days: str,
    day_filter: str,
) -> KnownDays:
    """Return the starts of the first and last reading of days, and their aggregates."""
    dialect = engine.dialect
    mark = dialect.placeholder
    start, until = dialect.utc(selection.start), dialect.utc(selection.until)
    kept = [*parts, *(at_of(part) for part in parts if part[0] == GREATEST)]
    firsts, lasts, *columns = await fetch_columns(
        engine,
        [
            *(dialect.unix_seconds("first_utc"), dialect.unix_seconds("last_utc")),
            *(_expression(part, dialect) for part in kept),
        ],
        f"{days_of(selection)} AND {days} AND last_utc >= {mark} AND first_utc < {mark}"
        f" AND ({day_filter} OR first_utc < {mark} OR last_utc >= {mark})",
        (start, until, start, until),
    )
    return KnownDays(firsts.values, lasts.values, dict(zip(kept, columns, strict=True)))


def _expression(part: AggregatePart, dialect: Dialect) -> str:
    """Return the SQL of a part that the table `days` has for each day."""
    function, column = part
    if function == GREATEST:
        return column
    if function == GREATEST_AT:
        return dialect.unix_seconds(f"{column}_utc")
    return day_expression(part, dialect)
