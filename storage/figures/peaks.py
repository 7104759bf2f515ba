"""The highest demands and when they were."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from domain.fixed_point import divide_rounded, parse_scaled
from domain.flags import CATCH_UP
from domain.readings_query import QueryError
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition, comparable, to_unix_seconds
from storage.figures.result import Field, FieldType, Metadata, ResultTable, as_chunks, empty_table
from storage.figures.scan import ScanPlan, plan_scan
from storage.figures.selection import Period, Selection, select, without_flags

MAX_PEAKS = 1000
HOUR_SECONDS = 3600
_DAY = 86400

DEMAND_OF = ("maximeter", "power", "energy")
"""What demand is taken from: the first of these that any reading has."""

FIELDS = (
    Field("date", FieldType.INSTANT, "Start of the reading"),
    Field("demand", FieldType.QUANTITY, "Demand (kW)"),
)

Peak = tuple[int, int]
"""When it was, and the value of the column."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """So many peaks, no two of them closer than so many seconds."""

    period: Period
    number: int
    separation: int

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return FIELDS

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""
        return f"peaks {self.number} {self.separation} {self.period.key}"

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """What the parameters of a request mean; raises QueryError."""
        return cls(
            Period.of(given),
            parse_int(given, "number", 10, 1, MAX_PEAKS),
            parse_int(given, "separation", HOUR_SECONDS, 0, _DAY),
        )

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
        metadata: Metadata = {"demand_of": column, **await asked.left_out(engine)}
        return ResultTable(self.fields, asked.zone, len(rows), as_chunks(rows), metadata)

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


def parse_int(given: Mapping[str, str], parameter: str, default: int, least: int, most: int) -> int:
    """The value of a parameter that is a whole number; raises QueryError."""
    text = given.get(parameter, str(default))
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not digits or not least <= int(text) <= most:
        raise QueryError(
            parameter, f"expected a whole number from {least} to {most}, got {text[:40]!a}"
        )
    return int(text)


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
            f"SELECT {dialect.year_0_seconds('utc')}, {column}, COALESCE(flags, 0)"
            f" FROM (SELECT id, utc, {column} FROM {every.table} WHERE {where.text}"
            f" {order} LIMIT {limit}) AS highest LEFT JOIN flags ON reading_id = id {order}",
            where.args,
        )
        for at, value, flags in rows:
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
