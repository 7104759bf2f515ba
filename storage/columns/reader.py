"""The readings of a meter in the order of time, as arrays of bounded length."""

from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from itertools import groupby
from typing import Any

from domain.columns import Columns
from storage.backends.base import ReadEngine
from storage.columns.block_source import BlockSource
from storage.columns.row_source import FlaggedReadings, IdSegment, RowSource
from storage.common.prefetch import prefetch
from storage.common.turns import in_thread

SEGMENTS_AT_ONCE = 8
"""Segments that are read in one go."""

MOST_WAITING = 250_000
"""Readings that are kept until those before them are known.

If segments overlap so much that there are more, the later ones are read once more.
"""

_Part = tuple[Sequence[Columns], int]
"""Readings, and the time up to which all are known once they are."""


async def read_columns(
    engine: ReadEngine, meter_id: int, start: int, until: int, names: Sequence[str]
) -> AsyncGenerator[Columns]:
    """Yield the readings from `start` up to, and without, `until`, with some of their quantities.

    They come in the order of time, at least one at a time. Raises StorageError if the database
    fails.
    """
    source = _Source(engine, meter_id, start, until, names)
    segments = await source.segments()
    while start < until:
        end = until
        waiting: list[Columns] = []
        async with aclosing(prefetch(source.jobs(segments, start, until))) as parts:
            async for part, horizon in parts:
                ready, later = await in_thread(_split, [*waiting, *part], start, end, horizon)
                if len(later) > MOST_WAITING:
                    end = int(later.utc[MOST_WAITING // 2])
                    later = later[: MOST_WAITING // 2]
                waiting = [later] if len(later) else []
                if len(ready):
                    yield ready
                if horizon >= end:
                    break
        start = end


def _split(parts: Sequence[Columns], start: int, end: int, horizon: int) -> tuple[Columns, Columns]:
    """Return the readings before a time, in order, and the others; all between two times."""
    columns = Columns.joined(parts).between(start, end).in_order()
    place = int(columns.utc.searchsorted(horizon))
    return columns[:place], columns[place:]


class _Source:
    """Readings of a meter: the blocks that there are, and the rows of what has none."""

    def __init__(
        self, engine: ReadEngine, meter_id: int, start: int, until: int, names: Sequence[str]
    ) -> None:
        self._rows = RowSource(engine, meter_id, start, until)
        self._blocks = BlockSource(engine, meter_id)
        self._start = start
        self._until = until
        self._names = names
        self._with_block: set[int] = set()

    async def segments(self) -> Sequence[IdSegment]:
        """Return the segments that have readings of the time, in the order of their first one."""
        found, without = await self._blocks.segments(self._start, self._until)
        self._with_block = {segment.number for segment in found}
        for first_id, last_id in without:
            found += await self._rows.segments(first_id, last_id)
        return sorted(found, key=lambda segment: segment.first_utc)

    async def jobs(
        self, segments: Sequence[IdSegment], start: int, until: int
    ) -> AsyncGenerator[Coroutine[Any, Any, _Part]]:
        """Yield what reads the segments of a time, some at once."""
        found = [each for each in segments if start <= each.last_utc and each.first_utc < until]
        for at in range(0, len(found), SEGMENTS_AT_ONCE):
            end = at + SEGMENTS_AT_ONCE
            horizon = found[end].first_utc if end < len(found) else until
            yield self._read(found[at:end], horizon)

    async def _read(self, segments: Sequence[IdSegment], horizon: int) -> _Part:
        with_block = [each for each in segments if each.number in self._with_block]
        blocks = await self._blocks.read(with_block, self._names)
        parts: list[Columns] = []
        for run in _runs(segments):
            flags = await self._rows.flags(run[0].first_id, run[-1].last_id)
            for has_block, some in groupby(run, lambda each: each.number in blocks):
                part = [*some]
                if has_block:
                    readings = [blocks[each.number] for each in part]
                else:
                    ids = part[0].first_id, part[-1].last_id
                    readings = [await self._rows.read(*ids, self._names)]
                parts += await in_thread(self._finished, readings, flags)
        return parts, horizon

    def _finished(self, parts: Sequence[Columns], flags: FlaggedReadings) -> Sequence[Columns]:
        """Return the readings of the time, with their flags."""
        found = [part.between(self._start, self._until) for part in parts]
        for part in found:
            flags.set_in(part)
        return found


def _runs(segments: Sequence[IdSegment]) -> list[list[IdSegment]]:
    """Return the runs of neighbours that segments make, in the order of id."""
    runs: list[list[IdSegment]] = []
    for segment in sorted(segments, key=lambda segment: segment.number):
        if runs and runs[-1][-1].number == segment.number - 1:
            runs[-1].append(segment)
        else:
            runs.append([segment])
    return runs
