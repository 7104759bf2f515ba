"""The readings of a meter in the order of time, as arrays of bounded length."""

from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from domain.columns import Columns
from storage.backends.base import ReadEngine
from storage.columns.row_source import SEGMENT_READINGS, IdSegment, RowSource
from storage.common.prefetch import prefetch
from storage.common.turns import in_thread

SEGMENTS_AT_ONCE = 8
"""Segments that are read in one go."""

_Part = tuple[Columns, int]
"""Readings, and the time up to which all are known once they are."""


async def read_columns(
    engine: ReadEngine, meter_id: int, start: int, until: int, names: Sequence[str]
) -> AsyncGenerator[Columns]:
    """Yield the readings from `start` up to, and without, `until`, with some of their quantities.

    They come in the order of time, at least one at a time. Raises StorageError if the database
    fails.
    """
    rows = RowSource(engine, meter_id, start, until)
    segments = sorted(await rows.segments(), key=lambda segment: segment.first_utc)
    waiting: list[Columns] = []
    async with aclosing(prefetch(_jobs(rows, segments, names, until))) as parts:
        async for part, horizon in parts:
            ready, later = await in_thread(_split, [*waiting, part], horizon)
            waiting = [later] if len(later) else []
            if len(ready):
                yield ready


def _split(parts: Sequence[Columns], horizon: int) -> tuple[Columns, Columns]:
    """Return the readings before a time, in order, and the others."""
    columns = Columns.joined(parts).in_order()
    place = int(columns.utc.searchsorted(horizon))
    return columns[:place], columns[place:]


async def _jobs(
    rows: RowSource, segments: Sequence[IdSegment], names: Sequence[str], until: int
) -> AsyncGenerator[Coroutine[Any, Any, _Part]]:
    for at in range(0, len(segments), SEGMENTS_AT_ONCE):
        end = at + SEGMENTS_AT_ONCE
        horizon = segments[end].first_utc if end < len(segments) else until
        yield _read(rows, segments[at:end], names, horizon)


async def _read(
    rows: RowSource, segments: Sequence[IdSegment], names: Sequence[str], horizon: int
) -> _Part:
    parts = [await rows.read(first, last, names) for first, last in _id_ranges(segments)]
    return Columns.joined(parts), horizon


def _id_ranges(segments: Sequence[IdSegment]) -> list[tuple[int, int]]:
    """Return the first and the last id of the runs that segments make together."""
    ranges: list[tuple[int, int]] = []
    for segment in sorted(segments, key=lambda segment: segment.number):
        last_id = segment.first_id + SEGMENT_READINGS - 1
        if ranges and ranges[-1][1] == segment.first_id - 1:
            ranges[-1] = (ranges[-1][0], last_id)
        else:
            ranges.append((segment.first_id, last_id))
    return ranges
