"""The highest demands and when they were."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from domain.fixed_point import divide_rounded, parse_scaled
from domain.flags import CATCH_UP
from domain.parameters import Integer, Parameter, Params
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition, comparable, to_seconds_since_year_0
from storage.figures.result import Field, FieldType, Metadata, ResultTable, as_chunks, empty_table
from storage.figures.scan import ScanPlan, plan_scan
from storage.figures.selection import (
    PERIOD_PARAMETERS,
    QUALITY,
    Period,
    Selection,
    select,
    without_flags,
)

HOUR_SECONDS = 3600

DEMAND_OF = ("maximeter", "power", "energy")
"""What demand is taken from: the first of these that any reading has."""

FIELDS = (
    Field("date", FieldType.INSTANT, "Start of the reading"),
    Field("demand", FieldType.QUANTITY, "Demand (kW)"),
)

_NUMBER = Integer(
    "number", "How many, 1 to 1000; by default 10.", 10, minimum=1, maximum=1000, default=10
)
_SEPARATION = Integer(
    "separation",
    "Seconds that any two are apart at least, 0 to 86400; by default 3600. The higher one wins, "
    "and of two as high the earlier.",
    3600,
    minimum=0,
    maximum=86400,
    default=HOUR_SECONDS,
)

Peak = tuple[int, int]
"""When it was, and the value of the column."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """So many peaks, no two of them closer than so many seconds."""

    period: Period
    number: int
    separation: int

    parameters: ClassVar[Sequence[Parameter]] = (_NUMBER, _SEPARATION, *PERIOD_PARAMETERS, QUALITY)

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return FIELDS

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""
        return f"peaks {self.number} {self.separation} {self.period.key}"

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        return cls(Period.of(params), _NUMBER.parse(params), _SEPARATION.parse(params))

    async def table(self, engine: ReadEngine) -> ResultTable:
        """The peaks, the highest first, and of those as high as each other the earliest."""
        asked = await select(engine, self.period)
        if asked is None:
            return empty_table(self.fields)
        every = await plan_scan(engine, asked.raw())
        bits = asked.bits(CATCH_UP)
        column = await _demand_column(engine, every, bits)
        peaks: list[Peak] = []
        async for at, value in _descending(engine, every, bits, column, self._candidates(asked)):
            if all(abs(at - other) >= self.separation for other, _ in peaks):
                peaks.append((at, value))
                if len(peaks) == self.number:
                    break
        rows = [(at, demand_of_value(column, value, asked)) for at, value in peaks]
        remarks: Metadata = {"demand_of": column, **await asked.left_out(engine)}
        return ResultTable(self.fields, asked.zone, len(rows), as_chunks(rows), remarks)

    def _candidates(self, asked: Selection) -> int:
        """How many readings are enough, since a peak rules out so many others at most."""
        ruled_out = 2 * (max(self.separation - 1, 0) // asked.meter.interval)
        return self.number * (1 + ruled_out)


async def _demand_column(engine: ReadEngine, every: ScanPlan, bits: int) -> str:
    """What the demand of readings without some flags is taken from."""
    where = every.where & without_flags(bits)
    for column in DEMAND_OF:
        rows = await engine.fetch(
            f"SELECT 1 FROM {every.table} WHERE {where.text} AND {column} IS NOT NULL LIMIT 1",
            where.args,
        )
        if rows:
            return column
    return DEMAND_OF[0]


def demand_of_value(column: str, value: int, asked: Selection) -> int:
    """The demand in kW that the value of a column means: energy is a mean demand times time."""
    return (
        divide_rounded(value * HOUR_SECONDS, asked.meter.interval) if column == "energy" else value
    )


BATCH_READINGS = 5000
EXTRA_READINGS = 50
"""Readings with flags that may be among the highest ones before these are looked for again."""


async def _descending(
    engine: ReadEngine, every: ScanPlan, bits: int, column: str, candidates: int
) -> AsyncIterator[Peak]:
    """The readings by demand, the highest first, then by time, some thousand at a time.

    Those that have some flags are left out of the highest ones: to look for the flags of all
    readings would take longer than to find those.
    """
    dialect = engine.dialect
    with_demand = every.where & Condition(f"{column} IS NOT NULL")
    order = f"ORDER BY {column} DESC, utc"
    limit = min(candidates + EXTRA_READINGS, BATCH_READINGS)
    where = with_demand
    while True:
        rows = await engine.fetch(
            f"SELECT {dialect.seconds.format('utc')}, {column}, COALESCE(flags, 0)"
            f" FROM (SELECT id, utc, {column} FROM {every.table} WHERE {where.text}"
            f" {order} LIMIT {limit}) AS highest LEFT JOIN flags ON reading_id = id {order}",
            where.args,
        )
        for at, value, flags in rows:
            number = parse_scaled(value)
            assert number is not None
            if not flags & bits:
                yield to_seconds_since_year_0(at), number
        if len(rows) < limit:
            return
        last = rows[-1]
        at = dialect.instant(to_seconds_since_year_0(last[0]))
        value = comparable(last[1])
        as_high = f"{column} = {dialect.place} AND utc > {dialect.place}"
        where = with_demand & Condition(
            f"({column} < {dialect.place} OR {as_high})", (value, value, at)
        )
