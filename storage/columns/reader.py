"""The readings of meters in the order of time, as arrays of bounded length."""

from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from domain.columns import Columns
from storage.backends.base import ReadEngine
from storage.columns.row_source import IdRange, IdSegment, MeterPeriod, RowSource
from storage.common.prefetch import prefetch
from storage.common.turns import in_thread

SEGMENTS_AT_ONCE = 8
"""Segments that are read in one go, of one meter or of several."""

METERS_AT_ONCE = 100
"""Meters whose segments are looked for in one go."""

Batch = Sequence[tuple[int, Columns]]
"""Readings of some meters, by the meters' ids."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Segments of a meter that are read in one go."""

    meter_id: int
    segments: Sequence[IdSegment]
    horizon: int
    """The time up to which all readings are known once these are."""


async def read_columns(
    engine: ReadEngine, meter_id: int, start: int, until: int, names: Sequence[str]
) -> AsyncGenerator[Columns]:
    """Yield the readings from `start` up to, and without, `until`, with some of their quantities.

    They come in the order of time, at least one at a time. Raises StorageError if the database
    fails.
    """
    batches = read_meters(engine, [MeterPeriod(meter_id, start, until)], names)
    async with aclosing(batches):
        async for batch in batches:
            for _, columns in batch:
                yield columns


async def read_meters(
    engine: ReadEngine, periods: Sequence[MeterPeriod], names: Sequence[str]
) -> AsyncGenerator[Batch]:
    """Yield the readings of several meters, each of a period of its own, as `read_columns` does.

    Meters come one after the other, in the order of their periods; those without readings do not.
    """
    waiting: dict[int, Columns] = {}
    async with aclosing(prefetch(_jobs(engine, periods, names))) as jobs:
        async for runs, parts in jobs:
            batch = await in_thread(_ready, waiting, runs, parts)
            if batch:
                yield batch


def _ready(
    waiting: dict[int, Columns], runs: Sequence[_Run], parts: Mapping[int, Sequence[Columns]]
) -> Batch:
    """Return the readings of runs that no later ones come before; the others are left waiting."""
    batch = []
    for run in runs:
        before = waiting.pop(run.meter_id, None)
        found = parts.get(run.meter_id, ())
        if before is None and not found:
            continue
        columns = Columns.joined([*([] if before is None else [before]), *found]).in_order()
        place = int(columns.utc.searchsorted(run.horizon))
        if place:
            batch.append((run.meter_id, columns[:place]))
        if place < len(columns):
            waiting[run.meter_id] = columns[place:]
    return batch


async def _jobs(
    engine: ReadEngine, periods: Sequence[MeterPeriod], names: Sequence[str]
) -> AsyncGenerator[Coroutine[Any, Any, tuple[Sequence[_Run], Mapping[int, Sequence[Columns]]]]]:
    for at in range(0, len(periods), METERS_AT_ONCE):
        rows = RowSource(engine, periods[at : at + METERS_AT_ONCE])
        segments = await rows.segments()
        for runs in _packed(rows.periods, segments):
            yield _read(rows, runs, names)


def _packed(
    periods: Mapping[int, MeterPeriod], segments: Mapping[int, Sequence[IdSegment]]
) -> Iterator[Sequence[_Run]]:
    """Yield what is read in one go, meter after meter and in the order of time."""
    runs: list[_Run] = []
    room = SEGMENTS_AT_ONCE
    for meter_id, period in periods.items():
        rest = sorted(segments.get(meter_id, ()), key=lambda segment: segment.first_utc)
        while rest:
            some, rest = rest[:room], rest[room:]
            runs.append(_Run(meter_id, some, rest[0].first_utc if rest else period.until))
            room -= len(some)
            if not room:
                yield runs
                runs, room = [], SEGMENTS_AT_ONCE
    if runs:
        yield runs


async def _read(
    rows: RowSource, runs: Sequence[_Run], names: Sequence[str]
) -> tuple[Sequence[_Run], Mapping[int, Sequence[Columns]]]:
    ranges = [each for run in runs for each in _id_ranges(run)]
    return runs, await rows.read(ranges, names)


def _id_ranges(run: _Run) -> list[IdRange]:
    """Return the ids that segments make together."""
    ranges: list[IdRange] = []
    for segment in sorted(run.segments, key=lambda segment: segment.number):
        if ranges and ranges[-1].last_id == segment.first_id - 1:
            ranges[-1] = IdRange(run.meter_id, ranges[-1].first_id, segment.last_id)
        else:
            ranges.append(IdRange(run.meter_id, segment.first_id, segment.last_id))
    return ranges
