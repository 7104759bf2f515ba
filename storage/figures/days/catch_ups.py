"""From when the energy of catch-ups is: they bring that of a gap into a later interval."""

from contextlib import aclosing

from domain.flags import CATCH_UP
from domain.time_buckets import Buckets
from storage.backends.base import ReadEngine
from storage.backends.dialect import to_unix_seconds
from storage.common.turns import in_turns
from storage.figures.aggregation_rules import COUNT
from storage.figures.days.stretches import day_stretches
from storage.figures.result import Field, FieldType
from storage.figures.selection import Selection

ENERGY_SINCE = Field(
    "energy_since",
    FieldType.INSTANT,
    "From when the energy is, if a catch-up includes energy from before the record, otherwise null",
)

_PARTS = ((COUNT, CATCH_UP.name),)


async def energy_since(
    engine: ReadEngine, selection: Selection, buckets: Buckets
) -> dict[int, int]:
    """Return, by the start of a bucket, from when its energy is if that is before its start.

    It is since the end of the reading before, which is not told where its length is unknown.
    """
    since: dict[int, int] = {}
    days = day_stretches(engine, selection, _PARTS, day_filter=f"{CATCH_UP.name} > 0")
    async with aclosing(days) as stretches:
        async for some in stretches:
            if some:
                await _search(engine, selection, buckets, some[0].start, some[-1].end, since)
    return since


async def _search(
    engine: ReadEngine,
    selection: Selection,
    buckets: Buckets,
    start: int,
    end: int,
    since: dict[int, int],
) -> None:
    """Add what the catch-ups between two instants tell.

    A reading before the first that the client may see tells nothing.
    """
    year_0_seconds = engine.dialect.year_0_seconds
    table = selection.table.name
    where = selection.where(engine.dialect, start=start, end=end)
    rows = await engine.fetch(
        f"SELECT {year_0_seconds('utc')}, (SELECT {year_0_seconds('p.utc')} FROM {table} AS p"
        f" WHERE p.meter_id = {selection.meter.id} AND p.utc < {table}.utc"
        " AND p.energy IS NOT NULL ORDER BY p.utc DESC LIMIT 1)"
        f" FROM {selection.table.flagged}"
        f" WHERE flags & {CATCH_UP.bit} <> 0 AND energy IS NOT NULL AND {where.text}",
        where.args,
    )
    async for at, before in in_turns(rows):
        bucket, _ = buckets[buckets.index(to_unix_seconds(at))]
        if before is None or (last := to_unix_seconds(before)) < selection.first_reading:
            continue
        seconds = selection.meter.intervals.at(last)
        # Of several catch-ups, only the first can reach back over the start.
        if seconds is not None and last + seconds < bucket:
            since[bucket] = last + seconds
