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

import numpy as np

from domain.columns import Column, Columns, Integers
from domain.fixed_point import divide_rounded, parse_scaled
from domain.flags import CATCH_UP
from domain.parameters import Integer, Parameter, Params
from domain.time.time_zone import HOUR_SECONDS
from storage.backends.base import ReadEngine
from storage.columns.highest import Highest
from storage.columns.reader import Spans
from storage.common.turns import in_thread, in_turns
from storage.figures.aggregation_rules import COUNT, GREATEST, AggregatePart, split_max
from storage.figures.days.quality import quality_of
from storage.figures.days.stretches import Stretch, day_stretches, days_of, whole_days
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
        highest = await _highest_days(engine, selection, DAYS_OF_PEAK * self.number)
        column, peaks = await self._peaks(engine, selection, highest)
        if highest is not None and len(peaks) < self.number:
            column, peaks = await self._peaks(engine, selection, None)
        metadata: Metadata = {
            "demand_of": column,
            **await quality_of(engine, selection),
            **interval_note(selection),
        }
        return ResultTable(self.fields, selection.zone, len(peaks), as_chunks(peaks), metadata)

    async def _peaks(
        self, engine: ReadEngine, selection: Selection, highest: "_HighestDays | None"
    ) -> tuple[str, list[Peak]]:
        """Return the column of demand, and the peaks, or those that the highest days tell."""
        peaks: list[Peak] = []
        starts: list[int] = []
        at_once = min(self._candidates(selection), BATCH_READINGS)
        spans = None if highest is None else highest.spans
        column, demands = await _Demands(engine, selection, at_once, spans=spans).highest()
        async with aclosing(demands):
            async for at, value in demands:
                if highest is not None and value < highest.reached:
                    break
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
        return column, peaks

    def _candidates(self, selection: Selection) -> int:
        """Return how many readings suffice: a peak excludes a limited number of others."""
        shortest = min((seconds for seconds in selection.lengths if seconds), default=None)
        if shortest is None:
            return BATCH_READINGS
        excluded = 2 * (max(self.separation - 1, 0) // shortest)
        return self.number * (1 + excluded)


DAYS_OF_PEAK = 4
"""Days whose highest demands a peak may exclude, itself included: its day and those beside it."""


@dataclass(frozen=True, slots=True)
class _HighestDays:
    """The days that have all readings of a maximeter that so many days reach."""

    reached: int
    spans: Spans


async def _highest_days(
    engine: ReadEngine, selection: Selection, number: int
) -> _HighestDays | None:
    """Return the days of the highest demands, so many at least; None if there are not so many."""
    if not selection.has_days:
        return None
    seconds = engine.dialect.unix_seconds
    # The greatest of a day with catch-ups may be theirs.
    reached = (
        f"SELECT maximeter FROM {whole_days(engine.dialect, selection)} AND catch_up = 0"
        f" AND maximeter IS NOT NULL ORDER BY maximeter DESC LIMIT 1 OFFSET {number - 1}"
    )
    rows = await engine.fetch(
        f"SELECT {seconds('first_utc')}, {seconds('last_utc')}, maximeter"
        f" FROM {days_of(selection)} AND maximeter >= ({reached}) ORDER BY first_utc"
    )
    return await in_thread(_highest_of, rows) if rows else None


def _highest_of(rows: Sequence[tuple[int, int, int | bytes]]) -> _HighestDays:
    firsts, lasts, demands = zip(*rows, strict=True)
    reached = min(demand for value in demands if (demand := parse_scaled(value)) is not None)
    return _HighestDays(reached, (np.array(firsts), np.array(lasts)))


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
        column, demands = await _Demands(engine, selection, 1).highest()
        return column, await _first(demands)
    peaks = [(at, value)]
    for day in days:
        if day.parts is None or _exceeds(day.parts[0], highest):
            part = replace(selection, start=day.start, until=day.end)
            _, demands = await _Demands(engine, part, 1, DEMAND_OF[:1]).highest()
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

_Demand = tuple[int, int, int]
"""The start of a reading, its energy, and the seconds; a power is an energy over an hour."""

_ByLength = Mapping[int, Highest]
"""The readings of the highest demands, by these seconds."""


@dataclass(frozen=True, slots=True)
class _Demands:
    """The readings of a selection by their demand."""

    engine: ReadEngine
    selection: Selection
    at_once: int
    """How many of them one scan finds."""
    columns: Sequence[str] = DEMAND_OF
    """The first that any reading has is the one of demand."""
    spans: Spans | None = None
    """Readings in none of them, if they are given, are left out."""

    async def highest(self) -> tuple[str, AsyncGenerator[Peak]]:
        """Return the column of demand, by default the first one, and the readings by it.

        The highest comes first, and of equal ones the earliest.
        """
        for column in self.columns:
            found = await self._find(column)
            if found is not None:
                return column, self._descending(column, found)
        return self.columns[0], self._descending(self.columns[0], None)

    async def _descending(self, column: str, found: _ByLength | None) -> AsyncGenerator[Peak]:
        while found:
            yielded = 0
            ranked = await in_thread(_ranked, found)
            async for demand in in_turns(islice(ranked, self.at_once)):
                at, energy, seconds = last = demand
                yielded += 1
                yield at, divide_rounded(energy * HOUR_SECONDS, seconds)
            if yielded < self.at_once:
                return
            found = await self._find(column, last)

    async def _find(self, column: str, last: _Demand | None = None) -> _ByLength | None:
        """Return the readings of the highest demands behind one; None if none has the column.

        Energy is demand times time. That of an unknown interval tells no demand.
        """
        is_there = False
        by_length: dict[int, Highest] = defaultdict(lambda: Highest(self.at_once))

        def add(columns: Columns, seconds: int | None) -> bool:
            demand = columns.quantities[column]
            if seconds is not None:
                behind = demand if last is None else _behind(demand, columns.utc, seconds, last)
                by_length[seconds].add(behind, columns.utc)
            return demand.known is None or bool(demand.known.any())

        whole = [(self.selection, HOUR_SECONDS)]
        for part, seconds in self.selection.by_span() if column == "energy" else whole:
            readings = selected_columns(self.engine, part, [column], CATCH_UP, spans=self.spans)
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
