"""The highest demands of a group, and when they were."""

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappush, heappushpop
from typing import ClassVar, Self

from domain.parameters import Parameter, Params
from domain.time.time_buckets import BucketSize
from storage.backends.base import ReadEngine
from storage.common.turns import in_turns
from storage.figures.aggregate import BOUNDS
from storage.figures.peaks import PEAK_NUMBER, PEAK_SEPARATION
from storage.figures.result import Field, FieldType, ResultTable, as_chunks
from storage.figures.selection import PERIOD_PARAMETERS, QUALITY, Period
from storage.groups.aggregate import GROUP_COVERAGE, coverage_values
from storage.groups.demand.demands import Demand, demand_size, demands, length_note
from storage.groups.left_out import group_left_out
from storage.groups.selection import GroupSelection

_Candidate = tuple[Fraction, int, Demand]
"""A demand, and when it began as a negative number: of equal ones, the earliest is the highest."""


@dataclass(frozen=True, slots=True)
class GroupPeaks:
    """A query for peaks of a group, no two of which begin within `separation` seconds."""

    period: Period
    number: int
    separation: int

    parameters: ClassVar[Sequence[Parameter]] = (
        PEAK_NUMBER,
        PEAK_SEPARATION,
        *PERIOD_PARAMETERS,
        QUALITY,
    )

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""
        return f"group peaks {self.number} {self.separation} {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        demand = Field("demand", FieldType.QUANTITY, "Energy of all members over time (kW)", "kW")
        return (*BOUNDS, demand, *GROUP_COVERAGE)

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        return cls(Period.of(params), PEAK_NUMBER.parse(params), PEAK_SEPARATION.parse(params))

    async def scanned(self, selection: GroupSelection) -> int:
        """Return about how many readings are read: all of them."""
        return sum([selection.readings_of(each) async for each in in_turns(selection.members)])

    async def table(self, engine: ReadEngine, selection: GroupSelection) -> ResultTable:
        """Return the peaks, the highest first, and of equal ones the earliest."""
        size = await demand_size(selection)
        peaks: list[Demand] = []
        starts: list[int] = []
        for _, _, each in await self._highest(engine, selection, size):
            place = bisect_left(starts, each.start)
            if all(
                abs(each.start - start) >= self.separation
                for start in starts[max(place - 1, 0) : place + 1]
            ):
                peaks.append(each)
                starts.insert(place, each.start)
                if len(peaks) == self.number:
                    break
        rows = [(each.start, each.end, each.rounded, *coverage_values(each.sums)) for each in peaks]
        metadata = {
            **await selection.metadata(),
            **length_note(size),
            **await group_left_out(engine, selection),
        }
        return ResultTable(self.fields, selection.zone, len(rows), as_chunks(rows), metadata)

    async def _highest(
        self, engine: ReadEngine, selection: GroupSelection, size: BucketSize
    ) -> list[_Candidate]:
        """Return as many of the highest demands as suffice, in order.

        A peak excludes those that begin close to it, of which more are where clocks change.
        """
        most = self.number * (3 + 2 * (self.separation // size.size))
        highest: list[_Candidate] = []
        async with aclosing(demands(engine, selection, size)) as found:
            async for each in found:
                if (exact := each.exact) is not None:
                    push = heappush if len(highest) < most else heappushpop
                    push(highest, (exact, -each.start, each))
        return sorted(highest, key=lambda candidate: candidate[:2], reverse=True)
