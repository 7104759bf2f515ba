"""The highest demands and when they were."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import merge
from itertools import islice, repeat
from typing import ClassVar, Self

from domain.columns import Column, Columns, Integers
from domain.fixed_point import divide_rounded
from domain.flags import CATCH_UP
from domain.parameters import Integer, Parameter, Params
from domain.time.time_zone import HOUR_SECONDS
from storage.backends.base import ReadEngine
from storage.columns.highest import Highest
from storage.common.turns import in_thread, in_turns
from storage.figures.aggregation_rules import COUNT, GREATEST, AggregatePart, split_max
from storage.figures.days.quality import quality_of
from storage.figures.days.stretches import Stretch, day_stretches, whole_days
from storage.figures.result import Field, FieldType, Metadata, ResultTable, as_chunks
from storage.figures.scan import selected_columns
from storage.figures.selection import (
    PERIOD_PARAMETERS,
    QUALITY,
    Period,
    Selection,
    interval_note,
    select,
)
from storage.meters import Meter

DEMAND_OF = ("maximeter", "power", "energy")
"""The columns of demand: the first that any reading has is used."""

FIELDS = (
    Field("date", FieldType.INSTANT, "Start of the reading"),
    Field("demand", FieldType.QUANTITY, "Demand (kW)", "kW"),
)

PEAK_NUMBER = Integer("number", "Number of peaks.", 10, minimum=1, maximum=1000, default=10)
PEAK_SEPARATION = Integer(
    "separation",
    "Minimum seconds between two peaks. Of two that are closer, the higher one counts, and of two "
    "equal ones the earlier.",
    3600,
    minimum=0,
    maximum=86400,
    default=3600,
)

Peak = tuple[int, int]
"""The start of the reading, and its demand in kW."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """A query for peaks, no two of them closer than `separation` seconds."""

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
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return FIELDS

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""
        return f"peaks {self.number} {self.separation} {self.period.key}"

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        return cls(Period.of(params), PEAK_NUMBER.parse(params), PEAK_SEPARATION.parse(params))

    async def select(self, engine: ReadEngine, meter: Meter) -> Selection | None:
        """Return the readings of the period, None if it is empty; raise QueryError."""
        return await select(engine, meter, self.period)

    def scanned(self, selection: Selection) -> int:
        """Return how many readings of a selection are read: all of them."""
        return selection.readings

    async def table(self, engine: ReadEngine, selection: Selection) -> ResultTable:
        """Return the peaks, the highest first, and of equal ones the earliest."""
        peaks: list[Peak] = []
        starts: list[int] = []
        column, demands = await _demands(engine, selection, self._candidates(selection))
        async with aclosing(demands):
            async for at, value in demands:
                place = bisect_left(starts, at)
                # Of the earlier ones only the last can be too close, of the later ones the first.
                if all(
                    abs(at - start) >= self.separation
                    for start in starts[max(place - 1, 0) : place + 1]
                ):
                    peaks.append((at, value))
                    starts.insert(place, at)
                    if len(peaks) == self.number:
                        break
        metadata: Metadata = {
            "demand_of": column,
            **await quality_of(engine, selection),
            **interval_note(selection),
        }
        return ResultTable(self.fields, selection.zone, len(peaks), as_chunks(peaks), metadata)

    def _candidates(self, selection: Selection) -> int:
        """Return how many readings suffice: a peak excludes a limited number of others."""
        shortest = min((seconds for seconds in selection.lengths if seconds), default=None)
        if shortest is None:
            return BATCH_READINGS
        excluded = 2 * (max(self.separation - 1, 0) // shortest)
        return self.number * (1 + excluded)


_DAY_PARTS: Sequence[AggregatePart] = ((GREATEST, "maximeter"), (COUNT, CATCH_UP.name))


async def peak_demand(
    engine: ReadEngine, selection: Selection
) -> tuple[str, tuple[int, int | None] | None]:
    """Return the column of demand, and the first of the highest demands, in kW, if there is any."""
    days: list[Stretch] = []
    # The greatest of a day with catch-ups may be theirs.
    ordinary = f"{whole_days(engine.dialect, selection)} AND catch_up = 0"
    stretches = day_stretches(
        *(engine, selection, _DAY_PARTS),
        day_filter=f"maximeter >= (SELECT MAX(maximeter) FROM {ordinary})",
    )
    async with aclosing(stretches):
        async for some in stretches:
            days += some
    greatest = [day.parts[0] for day in days if day.parts is not None and not day.parts[1]]
    highest = max((number for number in greatest if number is not None), default=None)
    value, at = split_max(highest)
    if value is None or at is None:
        column, demands = await _demands(engine, selection, 1)
        return column, await _first(demands)
    peaks = [(at, value)]
    for day in days:
        if day.parts is None or _exceeds(day.parts[0], highest):
            part = replace(selection, start=day.start, until=day.end)
            _, demands = await _demands(engine, part, 1, DEMAND_OF[:1])
            peak = await _first(demands)
            if peak is not None:
                peaks.append(peak)
    return DEMAND_OF[0], max(peaks, key=lambda peak: (peak[1], -peak[0]))


async def _first(demands: AsyncGenerator[Peak]) -> Peak | None:
    async with aclosing(demands):
        return await anext(demands, None)


def _exceeds(number: int | None, other: int | None) -> bool:
    return number is not None and other is not None and number > other


BATCH_READINGS = 20_000
"""The most readings that one scan returns."""

_ByLength = Mapping[int, Highest]
"""The readings of the highest demands, by the seconds over which they are energies.

Those of a power are energies over an hour.
"""

_Demand = tuple[int, int, int]
"""The start of a reading, its energy, and the seconds."""


async def _demands(
    engine: ReadEngine,
    selection: Selection,
    candidates: int,
    columns: Sequence[str] = DEMAND_OF,
) -> tuple[str, AsyncGenerator[Peak]]:
    """Return the column of demand, and the readings by it, the highest first, then by time.

    It is the first of some columns that any reading has, or else the first one. At least so many
    readings are expected to be asked for.
    """
    count = min(candidates, BATCH_READINGS)
    for column in columns:
        highest = await _highest(engine, selection, column, count)
        if highest is not None:
            return column, _descending(engine, selection, column, count, highest)
    return columns[0], _descending(engine, selection, columns[0], count, {})


async def _descending(
    engine: ReadEngine, selection: Selection, column: str, count: int, highest: _ByLength | None
) -> AsyncGenerator[Peak]:
    """Yield the readings by demand, the highest first, then by time; some may be known."""
    while highest:
        yielded = 0
        ranked = await in_thread(_ranked, highest)
        async for demand in in_turns(islice(ranked, count)):
            at, energy, seconds = last = demand
            yielded += 1
            yield at, divide_rounded(energy * HOUR_SECONDS, seconds)
        if yielded < count:
            return
        highest = await _highest(engine, selection, column, count, last)


async def _highest(
    engine: ReadEngine,
    selection: Selection,
    column: str,
    count: int,
    last: _Demand | None = None,
) -> _ByLength | None:
    """Return so many readings of the highest demands behind one; None if none has the column.

    Energy is demand times time. That of an unknown interval tells no demand.
    """
    is_there = False
    by_length: dict[int, Highest] = defaultdict(lambda: Highest(count))

    def add(columns: Columns, seconds: int | None) -> bool:
        demand = columns.quantities[column]
        if seconds is not None:
            behind = demand if last is None else _behind(demand, columns.utc, seconds, last)
            by_length[seconds].add(behind, columns.utc)
        return demand.known is None or bool(demand.known.any())

    is_power = column != "energy"
    for part, seconds in [(selection, HOUR_SECONDS)] if is_power else selection.by_span():
        readings = selected_columns(engine, part, [column], CATCH_UP)
        async with aclosing(readings):
            async for columns in readings:
                is_there |= await in_thread(add, columns, seconds)
    return by_length if is_there else None


def _behind(demand: Column, utc: Integers, seconds: int, last: _Demand) -> Column:
    """Return the energies over so many seconds that come behind a demand."""
    at, energy, its_seconds = last
    value, rest = divmod(energy * seconds, its_seconds)
    is_equal = (demand.values == value) & (utc > at) & (rest == 0)
    is_behind = (demand.values < value + (rest > 0)) | is_equal
    return Column(demand.values, demand.present & is_behind)


def _ranked(by_length: _ByLength) -> Iterator[_Demand]:
    """Return the highest demands, the highest first, then by time."""
    columns = []
    for seconds, highest in by_length.items():
        values, utc = highest.in_order()
        columns.append(zip(utc.tolist(), values.tolist(), repeat(seconds)))
    if len(columns) == 1:
        return columns[0]
    return merge(*columns, key=lambda demand: (Fraction(-demand[1], demand[2]), demand[0]))
