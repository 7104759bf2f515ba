"""One record that says what there is, and what it comes to."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from domain.fixed_point import SCALE, divide_rounded, parse_scaled
from domain.flags import CATCH_UP, FLAGS
from domain.parameters import Parameter, Params
from domain.quantities import QUANTITIES, AggregationRule
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition, to_seconds_since_year_0
from storage.common.prefetch import prefetch
from storage.figures.aggregate import BOUNDS, COVERAGE, DOUBTFUL_BITS, coverage
from storage.figures.aggregation_rules import (
    COUNT,
    MAX,
    MIN,
    AggregatePart,
    Measures,
    PartValues,
    merge_parts,
    sql_expression,
)
from storage.figures.base_load import PERCENT, base_load
from storage.figures.peaks import HOUR_SECONDS, Peaks
from storage.figures.result import (
    Field,
    FieldType,
    Metadata,
    ResultTable,
    Value,
    as_chunks,
    empty_table,
)
from storage.figures.scan import ScanPlan, plan_scan
from storage.figures.selection import (
    ANY_VALUE,
    PERIOD_PARAMETERS,
    QUALITY,
    Period,
    Selection,
    select,
)
from storage.readings.pager import PAGES_IN_FLIGHT

_TOTALS = Measures(
    [
        column
        for column in QUANTITIES
        if column.rule in (AggregationRule.TOTAL, AggregationRule.RATIO)
    ]
)

FIELDS = (
    Field("first_reading", FieldType.INSTANT, "Start of the first reading"),
    Field("last_reading", FieldType.INSTANT, "Start of the last reading"),
    *BOUNDS,
    *_TOTALS.fields,
    *COVERAGE,
    Field("readings", FieldType.COUNT, "Readings, also those without any value"),
    Field("peak_demand", FieldType.QUANTITY, "The highest demand, catch-ups left out (kW)"),
    Field("peak_demand_date", FieldType.INSTANT, "The first reading with it"),
    Field("mean_demand", FieldType.QUANTITY, "Energy per hour covered, catch-ups left out (kW)"),
    Field("load_factor", FieldType.QUANTITY, "Mean demand over peak demand"),
    Field("base_load", FieldType.QUANTITY, f"{PERCENT}th percentile of power, nearest rank (kW)"),
    *(Field(f"flag_{flag.name}", FieldType.COUNT, f"Readings: {flag.means}") for flag in FLAGS),
    Field("import_finished", FieldType.INSTANT, "When the last import was written"),
    Field("import_file", FieldType.TEXT, "The report that it was of"),
    Field("import_new", FieldType.COUNT, "Readings that it added"),
    Field("import_changed", FieldType.COUNT, "Readings that it corrected"),
    Field("timezone", FieldType.TEXT, "Zone of the meter"),
    Field("interval_seconds", FieldType.COUNT, "From the start of a reading to that of the next"),
    Field("identifier", FieldType.TEXT, "What reports call the meter"),
)

_UNITS = {column.name: column.unit for column in QUANTITIES}


@dataclass(frozen=True, slots=True)
class Summary:
    """What the readings of a period come to."""

    period: Period

    parameters: ClassVar[Sequence[Parameter]] = (*PERIOD_PARAMETERS, QUALITY)

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""
        return f"summary {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return FIELDS

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        return cls(Period.of(params))

    async def table(self, engine: ReadEngine) -> ResultTable:
        """One row, or none where there are no readings."""
        asked = await select(engine, self.period)
        if asked is None:
            return empty_table(self.fields)
        sums, peaks, flagged = await asyncio.gather(
            _sums(engine, await plan_scan(engine, asked)),
            Peaks(self.period, 1, 0).table(engine),
            _flagged(engine, asked),
        )
        (peak,) = [row async for rows in peaks.rows for row in rows] or [(None, None)]
        count, first, last, present, with_energy, with_power, *totals = sums
        doubtful, caught_up, energy_caught_up, power_caught_up, *flags = flagged
        demand = _mean_demand(
            asked, totals[0], caught_up or 0, (with_energy or 0) - (energy_caught_up or 0)
        )
        row = (
            None if first is None else to_seconds_since_year_0(first),
            None if last is None else to_seconds_since_year_0(last),
            asked.start,
            asked.end,
            *_TOTALS.values(totals),
            *coverage(asked, asked.start, asked.end, present, doubtful),
            count,
            peak[1],
            peak[0],
            demand,
            _ratio(demand, _integer(peak[1])),
            await base_load(engine, asked, (with_power or 0) - (power_caught_up or 0)),
            *flags,
            *await _last_import(engine),
            asked.meter.zone.name,
            asked.meter.interval,
            asked.meter.identifier,
        )
        remarks: Metadata = {
            "units": _UNITS,
            "demand_of": peaks.remarks["demand_of"],
            **await asked.left_out(engine),
        }
        return ResultTable(self.fields, asked.zone, 1, as_chunks([row]), remarks)


async def _sums(engine: ReadEngine, there: ScanPlan) -> PartValues:
    """How many readings there are, when the first and the last start, how many have any value,
    energy and power, and the parts of the totals."""
    seconds = engine.dialect.seconds.format("utc")
    parts: list[AggregatePart] = [
        (COUNT, "id"),
        (MIN, seconds),
        (MAX, seconds),
        (COUNT, ANY_VALUE),
        (COUNT, "energy"),
        (COUNT, "power"),
        *_TOTALS.parts,
    ]
    selected = ", ".join(sql_expression(part, engine.dialect) for part in parts)

    async def summed(where: Condition) -> PartValues:
        rows = await engine.fetch(
            f"SELECT {selected} FROM {there.table} WHERE {where.text}", where.args
        )
        return [parse_scaled(value) for value in rows[0]]

    async def jobs() -> AsyncGenerator[Coroutine[Any, Any, PartValues]]:
        for where in there.slices or [there.where]:
            yield summed(where)

    sums: PartValues = [0, None, None, *[None] * (len(parts) - 3)]
    async with aclosing(prefetch(jobs(), PAGES_IN_FLIGHT)) as results:
        async for some in results:
            sums = merge_parts(parts, sums, some)
    return sums


async def _flagged(engine: ReadEngine, asked: Selection) -> PartValues:
    """How many readings are doubtful; of catch-ups the energy, and how many have energy and power;
    how many readings have which flag, also of those that a clean answer leaves out."""
    kept = f"flags & {asked.bits()} = 0"
    caught_up = f"flags & {CATCH_UP.bit} <> 0 AND {kept}"
    every = await plan_scan(engine, asked.raw())
    rows = await engine.fetch(
        f"SELECT COUNT(CASE WHEN flags & {DOUBTFUL_BITS} <> 0 AND {kept} THEN 1 END),"
        f" SUM(CASE WHEN {caught_up} THEN energy END),"
        f" COUNT(CASE WHEN {caught_up} THEN energy END),"
        f" COUNT(CASE WHEN {caught_up} THEN power END), "
        + ", ".join(f"COUNT(CASE WHEN flags & {flag.bit} <> 0 THEN 1 END)" for flag in FLAGS)
        + f" FROM {every.flagged.text}",
        every.flagged.args,
    )
    return [parse_scaled(value) for value in rows[0]]


def _mean_demand(asked: Selection, energy: int | None, caught_up: int, readings: int) -> int | None:
    """Energy, without that of catch-ups, over the hours of so many readings."""
    if energy is None or not readings:
        return None
    return divide_rounded((energy - caught_up) * HOUR_SECONDS, readings * asked.meter.interval)


async def _last_import(engine: ReadEngine) -> list[Value]:
    rows = await engine.fetch(
        "SELECT finished, file, new, changed FROM imports ORDER BY id DESC LIMIT 1"
    )
    if not rows:
        return [None] * 4
    finished, file, new, changed = rows[0]
    instant = datetime.fromisoformat(finished.decode()).replace(tzinfo=UTC)
    return [int(instant.timestamp()), file.decode(), new, changed]


def _ratio(numerator: int | None, denominator: int | None) -> int | None:
    if numerator is None or denominator is None or denominator <= 0:
        return None
    return divide_rounded(numerator * SCALE, denominator)


def _integer(value: Value) -> int | None:
    assert not isinstance(value, str)
    return value
