"""The load profile of a group: its demand by time of day."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar, Self, cast

import numpy as np

from domain.columns import Integers
from domain.fixed_point import divide_rounded
from domain.parameters import Parameter, Params
from domain.time.time_zone import DAY_SECONDS, HOUR_SECONDS, TimeZone
from storage.backends.base import ReadEngine
from storage.columns.aggregates import exact_sums
from storage.common.turns import in_thread, in_turns
from storage.figures.profile import BY, PERCENTILES, SPLITS, DaySplit, nearest_rank, parse_percents
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks
from storage.figures.selection import PERIOD_PARAMETERS, QUALITY, Period
from storage.groups.demand.demands import demand_size, demands, length_note, rounded_demand
from storage.groups.left_out import group_left_out
from storage.groups.scanning.group_arrays import GroupArrays
from storage.groups.selection import MAX_NAMED, GroupSelection

_MEMBERS = 10**6
"""More than the members of a group."""

_FIRST_WEEKDAY = 3
"""The weekday of the first day of 1970, a Thursday."""

_FIRST = np.zeros(1, np.int64)
"""Where a single group begins."""

_LACKING = (
    Field("incomplete", FieldType.COUNT, "Intervals in which members lack readings with energy"),
    Field(
        "lacking",
        FieldType.TEXT,
        f"The first {MAX_NAMED} of these members, in the order of their names, separated by spaces",
    ),
)


class _Times:
    """Names times of day, and how their days are split, by numbers that have their order."""

    def __init__(self, by: str, zone: TimeZone, size: int) -> None:
        """Name times of a zone by the interval of so many seconds that they are in."""
        self._split = DaySplit(by)
        self._zone = zone
        self._size = size
        days = [[self._split.of(month, day) for day in range(7)] for month in range(1, 13)]
        self._splits = sorted({each for month in days for each in month})
        self._places = np.array([[self._splits.index(each) for each in month] for month in days])

    def names(self, utc: Integers) -> Integers:
        """Return the names of instants, which are in order."""
        local = utc + self._zone.offsets(utc)
        days = local // DAY_SECONDS
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
        splits = self._places[months, (days + _FIRST_WEEKDAY) % 7]
        return cast(
            "Integers", splits * DAY_SECONDS + local % DAY_SECONDS // self._size * self._size
        )

    def fields(self, name: int) -> Row:
        """Return the values of the fields that a name stands for."""
        split, time = divmod(name, DAY_SECONDS)
        return (
            *self._split.named(self._splits[split]),
            f"{time // 3600:02}:{time // 60 % 60:02}:{time % 60:02}",
        )


@dataclass(frozen=True, slots=True)
class _TimedDemands:
    """The demands of some intervals, by what names the time of day and the split."""

    names: Integers
    """Of all intervals, each once, in order."""
    known: Integers
    """The name of each interval in which any member has energy."""
    demands: Integers
    energies: Integers
    seconds: Integers
    incomplete: Integers
    """The name of each interval in which members lack readings."""
    lacking: Integers
    """Names, each times `_MEMBERS`, plus the places of the first members that lack readings."""

    @classmethod
    def of(cls, arrays: GroupArrays, times: _Times) -> Self:
        """Return the demands of intervals, which are in order."""
        names = times.names(arrays.starts)
        energy = arrays.quantities["energy"]
        energies, known = energy.sums.values[energy.has_any], energy.has_any
        seconds = (arrays.ends - arrays.starts)[known]
        is_lacking = arrays.lacking > 0
        named = arrays.named[is_lacking]
        pairs = names[is_lacking][:, np.newaxis] * _MEMBERS + named
        return cls(
            *(np.unique(names), names[known], rounded_demand(energies, seconds), energies, seconds),
            *(names[is_lacking], np.unique(pairs[named >= 0])),
        )

    @classmethod
    def in_order(cls, several: Sequence["_TimedDemands"]) -> Self:
        """Return the demands of several, in the order of their names and by demand."""
        known = np.concatenate([each.known for each in several])
        demands = np.concatenate([each.demands for each in several])
        order = np.argsort(demands, kind="stable")
        order = order[np.argsort(known[order], kind="stable")]
        return cls(
            np.unique(np.concatenate([each.names for each in several])),
            *(known[order], demands[order]),
            np.concatenate([each.energies for each in several])[order],
            np.concatenate([each.seconds for each in several])[order],
            np.sort(np.concatenate([each.incomplete for each in several])),
            np.unique(np.concatenate([each.lacking for each in several])),
        )


@dataclass(frozen=True, slots=True)
class GroupProfile:
    """A query for the demand of a group by local time of day, split by month or kind of day."""

    period: Period
    by: str
    percentiles: tuple[int, ...]

    parameters: ClassVar[Sequence[Parameter]] = (BY, PERCENTILES, *PERIOD_PARAMETERS, QUALITY)

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""
        return f"group profile {self.by} {self.percentiles} {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        means = {"mean": "Mean over time", "min": "Minimum", "max": "Maximum"}
        means |= {f"p{each}": f"{each}th percentile, nearest rank" for each in self.percentiles}
        return (
            *SPLITS[self.by],
            Field("time", FieldType.TEXT, "Start of the intervals, local time of the group"),
            Field("intervals", FieldType.COUNT, "Intervals in which any member has energy"),
            *(
                Field(name, FieldType.QUANTITY, f"{text} of the demand (kW)", "kW")
                for name, text in means.items()
            ),
            *_LACKING,
        )

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        by, percentiles = BY.parse(params), parse_percents(params.get(PERCENTILES.name))
        return cls(Period.of(params), by, percentiles)

    async def scanned(self, selection: GroupSelection) -> int:
        """Return about how many readings are read: all of them."""
        return sum([selection.readings_of(each) async for each in in_turns(selection.members)])

    async def table(self, engine: ReadEngine, selection: GroupSelection) -> ResultTable:
        """Return a row for each time of day of each split."""
        size = await demand_size(selection)
        times = _Times(self.by, selection.zone, size.size)
        found: list[_TimedDemands] = []
        async with aclosing(demands(engine, selection, size, has_coverage=False)) as pieces:
            async for arrays in pieces:
                counted = arrays[arrays.members > 0]
                found.append(await in_thread(_TimedDemands.of, counted, times))
        rows: list[Row] = []
        if found:
            ordered = await in_thread(_TimedDemands.in_order, found)
            public_ids = [each.public_id for each in selection.members]
            names = ordered.names.tolist()
            rows = [self._row(times, ordered, public_ids, name) async for name in in_turns(names)]
        metadata = {
            **await selection.metadata(),
            **length_note(size),
            **await group_left_out(engine, selection),
        }
        return ResultTable(self.fields, selection.zone, len(rows), as_chunks(rows), metadata)

    def _row(
        self, times: _Times, ordered: _TimedDemands, public_ids: Sequence[str], name: int
    ) -> Row:
        first, after = ordered.known.searchsorted([name, name + 1]).tolist()
        ranked = ordered.demands[first:after]
        statistics: list[int | None] = [None] * (3 + len(self.percentiles))
        if len(ranked):
            ranks = [nearest_rank(percent, len(ranked)) for percent in self.percentiles]
            chosen = ranked[[0, -1, *(rank - 1 for rank in ranks)]].tolist()
            energy = exact_sums(ordered.energies[first:after], _FIRST)[0]
            seconds = int(ordered.seconds[first:after].sum())
            statistics = [divide_rounded(energy * HOUR_SECONDS, seconds), *chosen]
        incomplete = ordered.incomplete.searchsorted([name, name + 1])
        pairs = ordered.lacking.searchsorted([name * _MEMBERS, (name + 1) * _MEMBERS])
        lacking = ordered.lacking[pairs[0] : pairs[1]][:MAX_NAMED].tolist()
        return (
            *times.fields(name),
            *(len(ranked), *statistics, int(incomplete[1] - incomplete[0])),
            " ".join(public_ids[pair % _MEMBERS] for pair in lacking),
        )
