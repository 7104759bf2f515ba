"""The highest demands of a group, and when they were."""

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from math import lcm
from typing import ClassVar, Self

import numpy as np

from domain.fixed_point import divide_rounded
from domain.parameters import Parameter, Params
from domain.time.time_buckets import BucketSize
from domain.time.time_zone import HOUR_SECONDS
from storage.backends.base import ReadEngine
from storage.columns.arithmetic import product
from storage.common.turns import in_thread, in_turns
from storage.figures.aggregate import BOUNDS
from storage.figures.peaks import PEAK_NUMBER, PEAK_SEPARATION
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks
from storage.figures.selection import PERIOD_PARAMETERS, QUALITY, Period
from storage.groups.aggregate import GROUP_COVERAGE, coverage_values
from storage.groups.demand.demands import demand_size, demands, length_note
from storage.groups.left_out import group_left_out
from storage.groups.scanning.group_arrays import GroupArrays
from storage.groups.selection import GroupSelection
from storage.groups.sums import GroupSums


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
        highest = await self._highest(engine, selection, size)
        rows: list[Row] = []
        starts: list[int] = []
        async for place in in_turns(range(0 if highest is None else len(highest))):
            assert highest is not None
            start, end = int(highest.starts[place]), int(highest.ends[place])
            near = bisect_left(starts, start)
            if all(
                abs(start - other) >= self.separation
                for other in starts[max(near - 1, 0) : near + 1]
            ):
                sums = GroupSums()
                highest.add_to(sums, place)
                assert sums.energy is not None
                demand = divide_rounded(sums.energy * HOUR_SECONDS, end - start)
                rows.append((start, end, demand, *coverage_values(sums)))
                starts.insert(near, start)
                if len(rows) == self.number:
                    break
        metadata = {
            **await selection.metadata(),
            **length_note(size),
            **await group_left_out(engine, selection),
        }
        return ResultTable(self.fields, selection.zone, len(rows), as_chunks(rows), metadata)

    async def _highest(
        self, engine: ReadEngine, selection: GroupSelection, size: BucketSize
    ) -> GroupArrays | None:
        """Return as many of the highest demands as suffice, in order, None if there are none.

        A peak excludes those that begin close to it, of which more are where clocks change.
        """
        most = self.number * (3 + 2 * (self.separation // size.size))
        highest: GroupArrays | None = None
        async with aclosing(demands(engine, selection, size, has_coverage=True)) as found:
            async for arrays in found:
                highest = await in_thread(_highest, highest, arrays, most)
        return highest


def _highest(before: GroupArrays | None, arrays: GroupArrays, most: int) -> GroupArrays:
    """Return the highest demands of those before and of others, of equal ones the earliest first.

    They are compared as the energies of a time that all their lengths divide.
    """
    arrays = arrays[arrays.quantities["energy"].has_any]
    joined = arrays if before is None else before.followed_by(arrays)
    seconds = joined.ends - joined.starts
    common = lcm(*np.unique(seconds).tolist())
    compared = product(joined.quantities["energy"].sums.values, common) // seconds
    in_time = np.argsort(joined.starts, kind="stable")
    order = in_time[np.argsort(-compared[in_time], kind="stable")]
    return joined[order[:most]]
