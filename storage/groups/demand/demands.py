"""The demand of a group over time, in intervals that those of all members divide."""

from collections.abc import AsyncGenerator
from math import lcm

import numpy as np

from domain.columns import Integers
from domain.readings_query import QueryError
from domain.time.time_buckets import MAX_BUCKETS, BucketSize, bucket_edges
from domain.time.time_zone import DAY_SECONDS, HOUR_SECONDS
from storage.backends.base import ReadEngine
from storage.columns.arithmetic import product, quotient
from storage.common.turns import in_pieces, in_turns
from storage.figures.selection import YEAR_SECONDS
from storage.groups.scanning.group_arrays import GroupArrays
from storage.groups.scanning.scan import Scan
from storage.groups.selection import MAX_NAMED, GroupSelection

_USUAL_SECONDS = 900
"""The length of an interval if that of no member is known."""

_AT_ONCE = 50_000
"""Intervals that all members are added up in at once, at least if there are more."""

_EDGES_AT_ONCE = 2000
"""Bounds of intervals that are worked out in one piece."""


async def demand_size(selection: GroupSelection) -> BucketSize:
    """Return the shortest interval that those of all members divide; raise QueryError if none."""
    lengths: dict[int, str] = {}
    async for member in in_turns(selection.members):
        for seconds in member.lengths(selection.start, selection.until):
            if seconds is not None:
                lengths.setdefault(seconds, member.public_id)
    seconds = lcm(*lengths) if lengths else _USUAL_SECONDS
    if DAY_SECONDS % seconds:
        named = [f"{each} of {name}" for each, name in [*lengths.items()][:MAX_NAMED]]
        raise QueryError(
            "date",
            "expected a period in which the intervals of all members divide a common part of a day,"
            f" and they have these, in seconds: {', '.join(named)}",
        )
    if (selection.until - selection.start) // seconds > MAX_BUCKETS:
        years = MAX_BUCKETS * seconds // YEAR_SECONDS
        raise QueryError(
            "date", f"expected a period of at most {years} years with intervals of {seconds} s"
        )
    return BucketSize(f"{seconds}s", seconds, seconds, is_exact=True)


async def demands(
    engine: ReadEngine, selection: GroupSelection, size: BucketSize, *, has_coverage: bool
) -> AsyncGenerator[GroupArrays]:
    """Yield what a group is known to have used in each interval of a period, in order.

    Readings that tell nothing of it are left out: catch-ups, and those of an unknown interval.
    Their members lack readings then.
    """
    scan = Scan(engine, selection, ["energy"], tells_demand=True, has_coverage=has_coverage)
    edges = np.zeros(0, np.int64)
    every = bucket_edges(size, selection.zone, selection.start, selection.until)
    async for piece in in_pieces(every, _EDGES_AT_ONCE):
        edges = np.append(edges, np.array(piece, np.int64))
        if len(edges) > _AT_ONCE:
            yield await scan.arrays(selection.members, edges)
            edges = edges[-1:]
    if len(edges) > 1:
        yield await scan.arrays(selection.members, edges)


def rounded_demand(energies: Integers, seconds: Integers) -> Integers:
    """Return energy (kWh) over times as quantities in kW, a half rounded away from zero."""
    return quotient(product(energies, HOUR_SECONDS), seconds)


def length_note(size: BucketSize) -> dict[str, str]:
    """Return what a result says of the length of its intervals."""
    return {"demand_seconds": str(size.size)}
