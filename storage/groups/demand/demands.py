"""The demand of a group over time, in intervals that those of all members divide."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from domain.fixed_point import divide_rounded
from domain.readings_query import QueryError
from domain.time.time_buckets import MAX_BUCKETS, Buckets, BucketSize, bucket_edges
from domain.time.time_zone import DAY_SECONDS, HOUR_SECONDS
from storage.backends.base import ReadEngine
from storage.common.turns import in_pieces, in_turns
from storage.figures.selection import YEAR_SECONDS
from storage.groups.scanning import Scan
from storage.groups.selection import MAX_NAMED, GroupSelection
from storage.groups.sums import GroupSums

_USUAL_SECONDS = 900
"""The length of an interval if that of no member is known."""

_AT_ONCE = 1000
"""Intervals that all members are added up in at once."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a group is known to have used in an interval."""

    start: int
    end: int
    sums: GroupSums

    @property
    def exact(self) -> Fraction | None:
        """The energy of all members over the hours of the interval; None without any energy."""
        if self.sums.energy is None:
            return None
        return Fraction(self.sums.energy * HOUR_SECONDS, self.end - self.start)

    @property
    def rounded(self) -> int | None:
        """The same as a quantity in kW."""
        exact = self.exact
        return None if exact is None else divide_rounded(exact.numerator, exact.denominator)


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
    engine: ReadEngine, selection: GroupSelection, size: BucketSize
) -> AsyncGenerator[Demand]:
    """Yield the demand in each interval of a period, in order.

    Readings that tell none are left out: catch-ups, and those of an unknown interval. Their members
    lack readings then.
    """
    begin: int | None = None
    edges = bucket_edges(size, selection.zone, selection.start, selection.until)
    async for piece in in_pieces(edges, _AT_ONCE):
        buckets = Buckets(piece if begin is None else [begin, *piece])
        begin = piece[-1]
        sums = [GroupSums() for _ in range(len(buckets))]
        scan = Scan(engine, selection, size, buckets, tells_demand=True)
        await scan.add(sums, selection.members, range(len(buckets)), has_power=False)
        async for index in in_turns(range(len(sums))):
            yield Demand(*buckets[index], sums[index])


def length_note(size: BucketSize) -> dict[str, str]:
    """Return what a result says of the length of its intervals."""
    return {"demand_seconds": str(size.size)}
