"""The highest demands and when they were."""

from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import heappop, heappush, heapreplace
from typing import ClassVar, Self

from domain.fixed_point import divide_rounded, parse_scaled
from domain.flags import CATCH_UP
from domain.parameters import Integer, Parameter, Params
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition, comparable, to_unix_seconds
from storage.common.turns import in_turns
from storage.figures.aggregation_rules import (
    COUNT,
    GREATEST,
    HOUR_SECONDS,
    AggregatePart,
    split_max,
)
from storage.figures.days.quality import quality_of
from storage.figures.days.stretches import Stretch, day_stretches, whole_days
from storage.figures.result import Field, FieldType, Metadata, ResultTable, as_chunks
from storage.figures.scan import ScanPlan, plan_scan
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
        plan = await plan_scan(engine, selection.raw())
        bits = selection.bits(CATCH_UP)
        column = await _demand_column(engine, selection, plan, bits)
        peaks: list[Peak] = []
        starts: list[int] = []
        async for at, value in _demands(engine, selection, column, self._candidates(selection)):
            place = bisect_left(starts, at)
            # Of the earlier ones only the last can be too close, and of the later ones the first.
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
    bits = selection.bits(CATCH_UP)
    if value is None or at is None:
        scans = [selection]
        plan = await plan_scan(engine, selection.raw())
        column = await _demand_column(engine, selection, plan, bits)
        peaks: list[Peak] = []
    else:
        scans = [
            replace(selection, start=day.start, until=day.end)
            for day in days
            if day.parts is None or _exceeds(day.parts[0], highest)
        ]
        column = DEMAND_OF[0]
        peaks = [(at, value)]
    for part in scans:
        async with aclosing(_demands(engine, part, column, 1)) as descending:
            async for peak in descending:
                peaks.append(peak)
                break
    if not peaks:
        return column, None
    return column, max(peaks, key=lambda peak: (peak[1], -peak[0]))


def _exceeds(number: int | None, other: int | None) -> bool:
    return number is not None and other is not None and number > other


async def _demand_column(
    engine: ReadEngine, selection: Selection, plan: ScanPlan, bits: int
) -> str:
    """Return the column of demand of readings without some flags."""
    where = plan.where & selection.table.without_flags(bits)
    for column in DEMAND_OF:
        rows = await engine.fetch(
            f"SELECT 1 FROM {plan.table} WHERE {where.text} AND {column} IS NOT NULL LIMIT 1",
            where.args,
        )
        if rows:
            return column
    return DEMAND_OF[0]


async def _demands(
    engine: ReadEngine, selection: Selection, column: str, candidates: int
) -> AsyncGenerator[Peak]:
    """Yield the readings by demand, the highest first, then by time.

    Energy is mean demand times time: its readings of one interval are in that order already. Those
    of an unknown one have no demand.
    """
    bits = selection.bits(CATCH_UP)
    if column != "energy":
        plan = await plan_scan(engine, selection.raw())
        async for peak in _descending(engine, plan, bits, column, candidates):
            yield peak
        return
    highest: list[tuple[Fraction, int, int, AsyncGenerator[Peak], int]] = []
    async with AsyncExitStack() as opened:
        for place, (part, seconds) in enumerate(selection.by_span()):
            if seconds is not None:
                plan = await plan_scan(engine, part.raw())
                energies = _descending(engine, plan, bits, column, candidates)
                await opened.enter_async_context(aclosing(energies))
                async for at, energy in energies:
                    heappush(highest, (Fraction(-energy, seconds), at, place, energies, seconds))
                    break
        while highest:
            value, at, place, energies, seconds = highest[0]
            yield at, divide_rounded(-value.numerator * HOUR_SECONDS, value.denominator)
            following = await anext(energies, None)
            if following is None:
                heappop(highest)
            else:
                at, energy = following
                heapreplace(highest, (Fraction(-energy, seconds), at, place, energies, seconds))


BATCH_READINGS = 5000
EXTRA_READINGS = 50
"""Flagged readings among the highest before another batch is read."""


async def _descending(
    engine: ReadEngine, plan: ScanPlan, bits: int, column: str, candidates: int
) -> AsyncGenerator[Peak]:
    """Yield the readings by demand, the highest first, then by time, in batches.

    Flags are filtered after sorting: to look for the flags of all readings would take longer than
    to find the highest.
    """
    dialect = engine.dialect
    with_demand = plan.where & Condition(f"{column} IS NOT NULL")
    order = f"ORDER BY {column} DESC, utc"
    limit = min(candidates + EXTRA_READINGS, BATCH_READINGS)
    where = with_demand
    while True:
        rows = await engine.fetch(
            f"SELECT {dialect.year_0_seconds('utc')}, {column}, COALESCE(flags, 0)"
            f" FROM (SELECT id, utc, {column} FROM {plan.table} WHERE {where.text}"
            f" {order} LIMIT {limit}) AS highest LEFT JOIN flags"
            f" ON flags.meter_id = {plan.meter_id} AND reading_id = id {order}",
            where.args,
        )
        async for at, value, flags in in_turns(rows):
            number = parse_scaled(value)
            assert number is not None
            if not flags & bits:
                yield to_unix_seconds(at), number
        if len(rows) < limit:
            return
        last = rows[-1]
        at = dialect.utc(to_unix_seconds(last[0]))
        value = comparable(last[1])
        as_high = f"{column} = {dialect.placeholder} AND utc > {dialect.placeholder}"
        where = with_demand & Condition(
            f"({column} < {dialect.placeholder} OR {as_high})", (value, value, at)
        )
