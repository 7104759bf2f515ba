"""From when the energy of catch-ups is: they bring that of a gap into a later interval."""

from domain.flags import CATCH_UP
from domain.time.time_buckets import Buckets
from storage.backends.base import ReadEngine
from storage.common.turns import in_pieces, in_turns
from storage.figures.result import Field, FieldType
from storage.figures.selection import Selection

ENERGY_SINCE = Field(
    "energy_since",
    FieldType.INSTANT,
    "From when the energy is, if a catch-up includes energy from before the record, otherwise null",
)


SEARCHED_AT_ONCE = 200
"""Catch-ups before which one statement looks for a reading."""


async def energy_since(
    engine: ReadEngine, selection: Selection, buckets: Buckets
) -> dict[int, int]:
    """Return, by the start of a bucket, from when its energy is if that is before its start.

    It is since the end of the reading before, which is not told where its length is unknown.
    """
    dialect = engine.dialect
    where = selection.where(dialect)
    rows = await engine.fetch(
        f"SELECT {dialect.unix_seconds('utc')} FROM {selection.table.flagged}"
        f" WHERE flags & {CATCH_UP.bit} <> 0 AND energy IS NOT NULL AND {where.text} ORDER BY utc",
        where.args,
    )
    first: dict[int, int] = {}
    async for (at,) in in_turns(rows):
        # Of several catch-ups, only the first can reach back over the start.
        first.setdefault(buckets[buckets.index(at)][0], at)
    since: dict[int, int] = {}
    async for piece in in_pieces(first.items(), SEARCHED_AT_ONCE):
        # Each with its own bound, for which MariaDB looks at one place of the index.
        before = ", ".join(
            f"(SELECT {dialect.unix_seconds('utc')} FROM {selection.table.name}"
            f" WHERE meter_id = {selection.meter.id} AND utc < {dialect.instant(at)}"
            " AND energy IS NOT NULL ORDER BY utc DESC LIMIT 1)"
            for _, at in piece
        )
        (found,) = await engine.fetch(f"SELECT {before}")
        for (start, _), last in zip(piece, found, strict=True):
            # One before the first that the client may see tells nothing.
            is_seen = last is not None and last >= selection.first_reading
            seconds = selection.meter.intervals.at(last) if is_seen else None
            if seconds is not None and last + seconds < start:
                since[start] = last + seconds
    return since
