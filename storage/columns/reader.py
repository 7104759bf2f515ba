"""The readings of meters in the order of time, as arrays of bounded length."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Container, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from domain.columns import Columns, Integers
from storage.backends.base import ReadEngine, Row
from storage.columns.block_source import BlockSource, MeterBlock
from storage.columns.row_source import (
    SEGMENT_READINGS,
    FlaggedReadings,
    IdSegment,
    MeterPeriod,
    ReadingIds,
    RowSource,
)
from storage.common.prefetch import prefetch
from storage.common.turns import in_thread

READINGS_AT_ONCE = 8 * SEGMENT_READINGS
"""Readings that are read in one go, of one meter or of several; about."""

SEGMENTS_AT_ONCE = 100
"""Segments that are read in one go, at most: a statement asks for each."""

MOST_WAITING = 250_000
"""Readings of a meter that are kept until those before them are known.

If segments overlap so much that there are more, the later ones are read once more.
"""

METERS_IN_SOURCE = 100
"""Meters whose segments are looked for in one go."""

Spans = tuple[Integers, Integers]
"""The starts of the first and the last reading of some spans of time, in the order of the first."""

Batch = Sequence[tuple[int, Columns]]
"""Readings of some meters, by the meters' ids."""


@dataclass(frozen=True, slots=True)
class _Work:
    """Segments of a meter that are read in one go."""

    period: MeterPeriod
    segments: Sequence[IdSegment]
    horizon: int
    """The time up to which all readings are known once these are."""


_Part = tuple[Sequence[_Work], Mapping[int, Sequence[Columns]]]
"""What was read, and the readings by meter."""


async def read_columns(
    engine: ReadEngine,
    meter_id: int,
    start: int,
    until: int,
    names: Sequence[str],
    spans: Spans | None = None,
) -> AsyncGenerator[Columns]:
    """Yield the readings from `start` up to, and without, `until`, with some of their quantities.

    `ANY_VALUE` stands for a column that is known where any quantity is. They come in the order of
    time, at least one at a time. Those in none of some spans, if any are given, may be left out.
    Raises StorageError if the database fails.
    """
    batches = read_meter_columns(engine, [MeterPeriod(meter_id, start, until)], names, spans)
    async with aclosing(batches):
        async for batch in batches:
            for _, columns in batch:
                yield columns


async def read_meter_columns(
    engine: ReadEngine,
    periods: Sequence[MeterPeriod],
    names: Sequence[str],
    spans: Spans | None = None,
) -> AsyncGenerator[Batch]:
    """Yield the readings of several meters, each of a period of its own, as `read_columns` does.

    Meters come one after the other, in the order of their periods; those without readings do not.
    """
    waiting = _Waiting()
    async with aclosing(prefetch(_jobs(engine, periods, names, spans))) as parts:
        async for works, found in parts:
            for batch, rest in await in_thread(waiting.ready, works, found):
                if batch:
                    yield batch
                if rest is not None:
                    async with aclosing(read_meter_columns(engine, [rest], names, spans)) as others:
                        async for later in others:
                            yield later


class _Waiting:
    """Readings that are kept until those before them are known."""

    def __init__(self) -> None:
        self._kept: dict[int, Columns] = {}
        """By meter."""
        self._ends: dict[int, int] = {}
        """From when on readings of a meter have to be read once more."""

    def ready(
        self, works: Sequence[_Work], found: Mapping[int, Sequence[Columns]]
    ) -> list[tuple[Batch, MeterPeriod | None]]:
        """Return the readings that no later ones come before, and what is to be read after them."""
        batches: list[tuple[Batch, MeterPeriod | None]] = []
        batch: list[tuple[int, Columns]] = []
        for work in works:
            period = work.period
            meter_id = period.meter_id
            parts = [*found.get(meter_id, ())]
            if meter_id in self._kept:
                parts.insert(0, self._kept.pop(meter_id))
            if parts:
                columns = self._first_of(parts, work)
                if len(columns):
                    batch.append((meter_id, columns))
            if work.horizon == period.until and meter_id in self._ends:
                rest = MeterPeriod(meter_id, self._ends.pop(meter_id), period.until)
                batches.append((batch, rest))
                batch = []
        return [*batches, (batch, None)]

    def _first_of(self, parts: Sequence[Columns], work: _Work) -> Columns:
        """Return the readings that are known to be the first, and keep the others."""
        meter_id = work.period.meter_id
        end = self._ends.get(meter_id, work.period.until)
        ready, later = _split(parts, work.period.start, end, work.horizon)
        if len(later) > MOST_WAITING:
            self._ends[meter_id] = int(later.utc[MOST_WAITING // 2])
            later = later[: MOST_WAITING // 2]
        if len(later):
            self._kept[meter_id] = later
        return ready


def _split(parts: Sequence[Columns], start: int, end: int, horizon: int) -> tuple[Columns, Columns]:
    """Return the readings before a time, in order, and the others; all between two times."""
    columns = Columns.joined(parts).between(start, end).in_order()
    place = int(columns.utc.searchsorted(horizon))
    return columns[:place], columns[place:]


async def _jobs(
    engine: ReadEngine,
    periods: Sequence[MeterPeriod],
    names: Sequence[str],
    spans: Spans | None,
) -> AsyncGenerator[Coroutine[Any, Any, _Part]]:
    """Yield what reads segments, some at a time."""
    for at in range(0, len(periods), METERS_IN_SOURCE):
        source = _Source(engine, periods[at : at + METERS_IN_SOURCE], names)
        for works in _packed(await source.works(spans)):
            yield source.read(works)


def _packed(works: Sequence[_Work]) -> Iterator[Sequence[_Work]]:
    """Yield what is read in one go, meter after meter and in the order of time."""
    pack: list[_Work] = []
    readings = segments = 0
    for work in works:
        begun = 0
        for place, segment in enumerate(work.segments, 1):
            readings += segment.readings
            segments += 1
            is_last = place == len(work.segments)
            is_full = readings >= READINGS_AT_ONCE or segments == SEGMENTS_AT_ONCE
            if is_last or is_full:
                horizon = work.horizon if is_last else work.segments[place].first_utc
                pack.append(_Work(work.period, work.segments[begun:place], horizon))
                begun = place
            if is_full:
                yield pack
                pack, readings, segments = [], 0, 0
    if pack:
        yield pack


class _Source:
    """Readings of meters: the blocks that there are, and the rows of what has none."""

    def __init__(
        self, engine: ReadEngine, periods: Sequence[MeterPeriod], names: Sequence[str]
    ) -> None:
        self._rows = RowSource(engine, periods)
        self._blocks = BlockSource(engine)
        self._periods = periods
        self._names = names
        self._with_block: set[MeterBlock] = set()

    async def works(self, spans: Spans | None) -> Sequence[_Work]:
        """Return all segments that may have readings of the time, in order of their first one."""
        found: dict[int, list[IdSegment]] = {}
        without: list[ReadingIds] = []
        stored = await self._blocks.stored(self._periods)
        for period, blocks in zip(self._periods, stored, strict=True):
            segments = found[period.meter_id] = [*blocks.segments]
            self._with_block |= {(period.meter_id, segment.number) for segment in segments}
            for ids in blocks.without:
                if ids.number == SEGMENT_READINGS:
                    segments.append(_unread(ids, period))
                else:
                    without.append(ids)
        for at in range(0, len(without), SEGMENTS_AT_ONCE):
            for meter_id, segment in await self._rows.segments(without[at : at + SEGMENTS_AT_ONCE]):
                found[meter_id].append(segment)
        works = []
        for period in self._periods:
            segments = sorted(found[period.meter_id], key=lambda segment: segment.first_utc)
            if spans is not None:
                segments = _meeting(segments, spans)
            works.append(_Work(period, segments, period.until))
        return works

    async def read(self, works: Sequence[_Work]) -> _Part:
        """Return the readings of some segments of meters."""
        runs = [run for work in works for run in _neighbours(work)]
        wanted = [each for run in runs for each in run.blocks() if each in self._with_block]
        blocks = await self._blocks.read(wanted, self._names)
        ranges = [
            run.ids(some) for run in runs for has_block, some in run.parts(blocks) if not has_block
        ]
        rows = await self._rows.read(ranges, self._names)
        flags = await self._rows.flags([run.ids(run.segments) for run in runs])
        return works, await in_thread(_assembled, runs, blocks, rows, flags)


@dataclass(frozen=True, slots=True)
class _SegmentRun:
    """Segments of a meter whose ids follow each other, in order."""

    period: MeterPeriod
    segments: Sequence[IdSegment]

    def blocks(self) -> Iterator[MeterBlock]:
        """Yield what names the block of each."""
        for segment in self.segments:
            yield self.period.meter_id, segment.number

    def ids(self, some: Sequence[IdSegment]) -> ReadingIds:
        """Return the ids of neighbouring segments."""
        return ReadingIds(self.period.meter_id, some[0].first_id, some[-1].last_id)

    def parts(self, blocks: Container[MeterBlock]) -> Iterator[tuple[bool, Sequence[IdSegment]]]:
        """Yield neighbours all of which have one of some blocks, or none of which has."""
        meter_id = self.period.meter_id
        for has_block, some in groupby(
            self.segments, lambda each: (meter_id, each.number) in blocks
        ):
            yield has_block, [*some]


def _meeting(segments: Sequence[IdSegment], spans: Spans) -> list[IdSegment]:
    """Return the segments that may have readings of some spans."""
    firsts, lasts = spans
    ended = np.maximum.accumulate(lasts)
    places = firsts.searchsorted([segment.last_utc for segment in segments], side="right")
    return [
        segment
        for segment, place in zip(segments, places.tolist(), strict=True)
        if place and ended[place - 1] >= segment.first_utc
    ]


def _unread(ids: ReadingIds, period: MeterPeriod) -> IdSegment:
    """Return the segment of ids whose readings have times that are not known.

    To look at the times takes as long as to read them.
    """
    readings = min(ids.number, period.likely_readings)
    number = (ids.first_id - 1) // SEGMENT_READINGS
    return IdSegment(number, period.start, period.until - 1, readings)


def _neighbours(work: _Work) -> Iterator[_SegmentRun]:
    """Yield the runs that segments make, in the order of id."""
    in_order = sorted(work.segments, key=lambda segment: segment.number)
    for _, run in groupby(enumerate(in_order), lambda each: each[1].number - each[0]):
        yield _SegmentRun(work.period, [segment for _, segment in run])


def _assembled(
    runs: Sequence[_SegmentRun],
    blocks: Mapping[MeterBlock, Columns],
    rows: Sequence[Columns],
    flags: Sequence[Row],
) -> Mapping[int, Sequence[Columns]]:
    """Return the readings of the time, with their flags, by meter."""
    found: dict[int, list[Columns]] = defaultdict(list)
    following = iter(rows)
    for run, row in zip(runs, flags, strict=True):
        flagged = FlaggedReadings.of(row)
        period = run.period
        for has_block, some in run.parts(blocks):
            parts = (
                [next(following)]
                if not has_block
                else [blocks[period.meter_id, each.number] for each in some]
            )
            for part in parts:
                within = part.between(period.start, period.until)
                flagged.set_in(within)
                found[period.meter_id].append(within)
    return found
