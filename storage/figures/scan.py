"""Plans of scanning a selection, in chunks that bound each statement and its result."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from domain.columns import Columns
from domain.flags import Flag
from domain.time.time_zone import DAY_SECONDS
from storage.backends.base import ReadEngine
from storage.backends.dialect import SPARSE_FACTOR, Condition, all_of
from storage.columns.reader import Spans, read_columns
from storage.figures.selection import Selection

CHUNK_GROUPS = 1000
"""The most groups of a chunk."""

MAX_CHUNK_SECONDS = 500 * DAY_SECONDS
"""The most seconds of a chunk."""

CHUNK_IDS = 50_000
"""The ids of a slice."""


@dataclass(frozen=True, slots=True)
class TimeChunk:
    """Readings from `start` up to `end`, while local time is `offset` seconds ahead of UTC."""

    start: int
    end: int
    offset: int


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """How to scan readings; `ids` are the first and the last one, whatever the flags."""

    table: str
    where: Condition
    flagged: Condition
    """Follows FROM to select those that have flags."""
    ids: tuple[int, int]
    meter_id: int
    is_empty: bool = False
    slices: Sequence[Condition] = ()
    """Conditions that together are `where`, each of a bounded id range; none for an index scan."""


def time_chunks(selection: Selection, size: int) -> Iterator[TimeChunk]:
    """Yield the chunks of a selection, in order, for groups of `size` seconds."""
    length = min(CHUNK_GROUPS * size, MAX_CHUNK_SECONDS)
    start = max(selection.start, selection.first_reading)
    end = min(selection.until, selection.last_reading + 1)
    for period in selection.zone.offset_periods(start, end):
        for at in range(period.start, period.end, length):
            yield TimeChunk(at, min(at + length, period.end), period.offset)


async def plan_scan(
    engine: ReadEngine, selection: Selection, *flags: Flag, chunk: TimeChunk | None = None
) -> ScanPlan:
    """Choose an id range or an index scan for a selection, or a chunk of it, without some flags.

    Readings that share their id range with few others are scanned by id: the table is stored in
    that order, and the index on instants would fetch them one by one.
    """
    dialect = engine.dialect
    table = selection.table
    bounds = {"start": chunk.start, "end": chunk.end} if chunk else {}
    # Flags are few, and to look for those of each reading takes longer than to count all readings.
    within = selection.raw().where(dialect, **bounds)
    if selection.is_whole and chunk is None:
        # Each in a query of its own, for which SQLite looks at one end of the table.
        every = f"{table.name} WHERE meter_id = {table.meter_id}"
        rows = await engine.fetch(
            f"SELECT (SELECT MIN(id) FROM {every}), (SELECT MAX(id) FROM {every})"
        )
        first_id, last_id = rows[0]
        count = last_id - first_id + 1
    else:
        rows = await engine.fetch(
            f"SELECT COUNT(*), MIN(id), MAX(id) FROM {table.name} WHERE {within.text}", within.args
        )
        count, first_id, last_id = rows[0]
    if not count:
        flagged = Condition(f"{table.flagged} WHERE {within.text}", within.args)
        return ScanPlan(table.name, within, flagged, (0, 0), selection.meter.id, is_empty=True)
    bits = selection.bits(*flags)
    unflagged = table.without_flags(bits) if bits else None
    if last_id - first_id >= SPARSE_FACTOR * count:
        where = all_of(within, unflagged)
        flagged = Condition(f"{table.flagged} WHERE {where.text}", where.args)
        return ScanPlan(table.name, where, flagged, (first_id, last_id), selection.meter.id)
    # Where there are as many ids as readings, instants need not be looked at.
    rest = unflagged if last_id - first_id < count else all_of(within, unflagged)
    where = table.where(dialect.between(first_id, last_id), rest)
    flagged = Condition(
        f"{table.flagged} WHERE {table.where().text}"
        f" AND reading_id BETWEEN {dialect.placeholder} AND {dialect.placeholder}",
        (first_id, last_id),
    )
    return ScanPlan(
        dialect.in_order_of_id(table),
        where,
        all_of(flagged, rest),
        (first_id, last_id),
        selection.meter.id,
        slices=[
            table.where(dialect.between(at, min(at + CHUNK_IDS - 1, last_id)), rest)
            for at in range(first_id, last_id + 1, CHUNK_IDS)
        ],
    )


async def selected_columns(
    engine: ReadEngine,
    selection: Selection,
    names: Sequence[str],
    *flags: Flag,
    spans: Spans | None = None,
) -> AsyncGenerator[Columns]:
    """Yield the readings of a selection, in the order of time, without those with some flags.

    They come at least one at a time. Those in none of some spans, if any are given, may be left
    out.
    """
    bits = selection.bits(*flags)
    meter_id, start, until = selection.meter.id, selection.start, selection.until
    readings = read_columns(engine, meter_id, start, until, names, spans)
    async with aclosing(readings):
        async for columns in readings:
            selected = columns.without_flags(bits)
            if len(selected):
                yield selected
