"""The load profile of a group: its demand by time of day."""

from bisect import insort
from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import ClassVar, Self

from domain.fixed_point import divide_rounded, sorted_in_parts
from domain.parameters import Parameter, Params
from domain.time.time_zone import HOUR_SECONDS
from storage.backends.base import ReadEngine
from storage.common.turns import in_turns
from storage.figures.profile import BY, PERCENTILES, SPLITS, DaySplit, nearest_rank, parse_percents
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks
from storage.figures.selection import PERIOD_PARAMETERS, QUALITY, Period
from storage.groups.demand.demands import Demand, demand_size, demands, length_note
from storage.groups.left_out import group_left_out
from storage.groups.selection import MAX_NAMED, GroupSelection

_LACKING = (
    Field("incomplete", FieldType.COUNT, "Intervals in which members lack readings with energy"),
    Field(
        "lacking",
        FieldType.TEXT,
        f"The first {MAX_NAMED} of these members, in the order of their names, separated by spaces",
    ),
)


@dataclass(slots=True)
class _TimeOfDay:
    """The demands at a time of day."""

    demands: list[int] = field(default_factory=list)
    energy: int = 0
    seconds: int = 0
    incomplete: int = 0
    lacking: list[str] = field(default_factory=list)
    """The first members that lack readings, by their public ids."""

    def add(self, demand: Demand) -> None:
        """Take in the demand of an interval."""
        if demand.sums.lacking:
            self.incomplete += 1
            for name in demand.sums.named:
                if name not in self.lacking:
                    insort(self.lacking, name)
            del self.lacking[MAX_NAMED:]
        rounded, energy = demand.rounded, demand.sums.energy
        if rounded is not None and energy is not None:
            self.demands.append(rounded)
            self.energy += energy
            self.seconds += demand.end - demand.start


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
        split = DaySplit(self.by)
        times: dict[tuple[int, ...], _TimeOfDay] = defaultdict(_TimeOfDay)
        async with aclosing(demands(engine, selection, size)) as found:
            async for demand in found:
                if not demand.sums.members:
                    continue
                at = selection.zone.at(demand.start)
                seconds = at.hour * HOUR_SECONDS + at.minute * 60 + at.second
                # The first interval may be cut by the period.
                key = *split.of(at.month, at.weekday()), seconds // size.size * size.size
                times[key].add(demand)
        rows = [self._row(split, key, times[key]) async for key in in_turns(sorted(times))]
        metadata = {
            **await selection.metadata(),
            **length_note(size),
            **await group_left_out(engine, selection),
        }
        return ResultTable(self.fields, selection.zone, len(rows), as_chunks(rows), metadata)

    def _row(self, split: DaySplit, key: tuple[int, ...], at: _TimeOfDay) -> Row:
        *parts, time = key
        ranked = sorted_in_parts(at.demands)
        statistics: list[int | None] = [None] * (3 + len(self.percentiles))
        if ranked:
            ranks = (nearest_rank(percent, len(ranked)) for percent in self.percentiles)
            mean = divide_rounded(at.energy * HOUR_SECONDS, at.seconds)
            statistics = [mean, ranked[0], ranked[-1], *(ranked[rank - 1] for rank in ranks)]
        return (
            *split.named(parts),
            f"{time // 3600:02}:{time // 60 % 60:02}:{time % 60:02}",
            *(len(ranked), *statistics, at.incomplete, " ".join(at.lacking)),
        )
