"""Summaries: one record of totals, coverage, demand and flags of a period."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Self

import numpy as np

from domain.columns import Columns
from domain.fixed_point import divide_rounded, parse_scaled, ratio
from domain.flags import CATCH_UP, ESTIMATED, FLAGGED_BITS, FLAGS
from domain.parameters import Parameter, Params
from domain.quantities import (
    ALL_QUANTITIES,
    EXPORTED_QUANTITIES,
    QUANTITIES,
    AggregationRule,
)
from domain.time.time_buckets import Buckets
from domain.time.time_zone import HOUR_SECONDS
from storage.backends.base import ReadEngine
from storage.backends.derived import CAPACITIVE_POWER, DERIVED_ENERGY, INDUCTIVE_POWER
from storage.common.turns import in_thread
from storage.figures.aggregate import BOUNDS, COVERAGE, FLAG_FIELDS, coverage
from storage.figures.aggregation_rules import (
    COUNT,
    FLAG_PARTS,
    FLAGGED,
    MAX,
    MIN,
    POWER_DERIVED,
    PRESENT,
    REACTIVE_FIELDS,
    SUM,
    AggregatePart,
    PartsByLength,
    PartValues,
    merge_parts,
    reactive_energy,
)
from storage.figures.base_load import PERCENT, base_load
from storage.figures.days.catch_ups import ENERGY_SINCE, energy_since
from storage.figures.days.quality import implausible
from storage.figures.days.stretches import summed
from storage.figures.meter_info import INTERVAL_MEANS
from storage.figures.peaks import peak_demand
from storage.figures.result import (
    Field,
    FieldType,
    Metadata,
    ResultTable,
    Row,
    Value,
    as_chunks,
)
from storage.figures.scan import selected_columns
from storage.figures.selection import (
    PERIOD_PARAMETERS,
    QUALITY,
    Period,
    Selection,
    interval_note,
    select,
)
from storage.figures.sums.column_parts import part_names, part_values, parts_of
from storage.figures.sums.measures import Measures
from storage.meters import Meter, spans_text

_TOTALS = Measures(
    [
        column
        for column in ALL_QUANTITIES
        if column.rule in (AggregationRule.TOTAL, AggregationRule.RATIO)
    ]
)

FIELDS = (
    Field("first_reading", FieldType.INSTANT, "Start of the first reading"),
    Field("last_reading", FieldType.INSTANT, "Start of the last reading"),
    *BOUNDS,
    *_TOTALS.fields,
    *REACTIVE_FIELDS,
    Field("energy_raw", FieldType.QUANTITY, "Energy with quality=raw (kWh)", "kWh"),
    Field("energy_clean", FieldType.QUANTITY, "Energy with quality=clean (kWh)", "kWh"),
    *COVERAGE,
    Field("readings", FieldType.COUNT, "Readings, including those without any value"),
    Field("energy_readings", FieldType.COUNT, "Readings that have energy"),
    Field("power_readings", FieldType.COUNT, "Readings whose power was measured"),
    POWER_DERIVED,
    Field("peak_demand", FieldType.QUANTITY, "The highest demand, without catch-ups (kW)", "kW"),
    Field("peak_demand_date", FieldType.INSTANT, "The first reading with it"),
    Field("mean_demand", FieldType.QUANTITY, "Energy per hour, without catch-ups (kW)", "kW"),
    Field("load_factor", FieldType.QUANTITY, "Mean demand over peak demand", "1"),
    Field(
        "base_load",
        FieldType.QUANTITY,
        f"{PERCENT}th percentile of power, nearest rank (kW)",
        "kW",
    ),
    *FLAG_FIELDS,
    Field("import_finished", FieldType.INSTANT, "Time of the last import"),
    Field("import_file", FieldType.TEXT, "Its report"),
    Field("import_new", FieldType.COUNT, "Readings that it added"),
    Field("import_changed", FieldType.COUNT, "Readings that it corrected"),
    Field("timezone", FieldType.TEXT, "Time zone of the meter"),
    Field("interval_seconds", FieldType.COUNT, INTERVAL_MEANS, "s"),
    Field("identifier", FieldType.TEXT, "Name of the meter in reports"),
    ENERGY_SINCE,
)

_UNITS = {column.name: column.result_unit for column in QUANTITIES}

_WIDE_FIELDS = (*(column.name for column in EXPORTED_QUANTITIES), f"flag_{ESTIMATED.name}")
"""Fields that only a wide summary has."""
_USUAL_PLACES = [place for place, each in enumerate(FIELDS) if each.name not in _WIDE_FIELDS]


@dataclass(frozen=True, slots=True)
class Summary:
    """A query for the summary of a period."""

    period: Period
    is_wide: bool = False
    """Whether it also has exported energy and counts estimated readings."""

    parameters: ClassVar[Sequence[Parameter]] = (*PERIOD_PARAMETERS, QUALITY)

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""
        return f"summary {'wide ' if self.is_wide else ''}{self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return FIELDS if self.is_wide else [FIELDS[place] for place in _USUAL_PLACES]

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        return cls(Period.of(params))

    async def select(self, engine: ReadEngine, meter: Meter) -> Selection | None:
        """Return the readings of the period, None if it is empty; raise QueryError."""
        return await select(engine, meter, self.period)

    def scanned(self, selection: Selection) -> int:
        """Return how many readings of a selection are read: all, for the base load."""
        return selection.readings

    async def table(self, engine: ReadEngine, selection: Selection) -> ResultTable:
        """Return one row."""
        sums_by_length, (demand_of, peak), flagged, left = await asyncio.gather(
            _sums_by_length(engine, selection),
            peak_demand(engine, selection),
            _flagged(engine, selection),
            implausible(engine, selection),
        )
        peak_date, peak_kw = peak or (None, None)
        sums = merge_parts(_SUMS, [*sums_by_length.values()])
        count, first, last, present, with_energy, with_power = sums[: _SUMS.index(_DERIVED)]
        energy = sums[_SUMS.index((SUM, "energy"))]
        at_totals = slice(len(_SUMS) - len(_TOTALS.parts), None)
        totals = {length: each[at_totals] for length, each in sums_by_length.items()}
        flagged_count, caught_up, energy_caught_up, power_caught_up, *flags = flagged
        at = _SUMS.index(_DERIVED)
        derived = sum(
            each[at] or 0 for length, each in sums_by_length.items() if length is not None
        )
        demand = _mean_demand(
            energy,
            caught_up or 0,
            await _covered(engine, selection, sums_by_length, energy_caught_up or 0),
        )
        whole = Buckets([selection.start, max(selection.end, selection.until)])
        since = await energy_since(engine, selection, whole) if flags[_CATCH_UP] else {}
        row: Row = (
            first,
            last,
            selection.start,
            selection.end,
            *_TOTALS.values(totals),
            *(reactive_energy(sums_by_length, _SUMS.index(part)) for part in _REACTIVE),
            *left.energies(energy, with_energy or 0),
            *coverage(selection, selection.start, selection.end, present, flagged_count),
            count,
            with_energy or 0,
            with_power or 0,
            derived,
            peak_kw,
            peak_date,
            demand,
            ratio(demand, peak_kw),
            await base_load(engine, selection, (with_power or 0) - (power_caught_up or 0), derived)
            if len(selection.lengths) == 1
            else None,
            *flags,
            *await _last_import(engine, selection.meter),
            selection.meter.zone.name,
            next(iter(selection.lengths)) if len(selection.lengths) == 1 else None,
            selection.meter.identifier,
            since.get(selection.start),
        )
        if not self.is_wide:
            row = [row[place] for place in _USUAL_PLACES]
        metadata: Metadata = {
            "units": _UNITS,
            "demand_of": demand_of,
            **left.metadata,
            **interval_note(selection),
            **_several_note(selection),
        }
        return ResultTable(self.fields, selection.zone, 1, as_chunks([row]), metadata)


_DERIVED = (COUNT, DERIVED_ENERGY)
_REACTIVE = ((SUM, INDUCTIVE_POWER), (SUM, CAPACITIVE_POWER))
_SUMS: Sequence[AggregatePart] = [
    (COUNT, "id"),
    (MIN, "utc"),
    (MAX, "utc"),
    PRESENT,
    (COUNT, "energy"),
    (COUNT, "power"),
    _DERIVED,
    *_REACTIVE,
    *_TOTALS.parts,
]
"""The number of readings, the first and the last start, how many have any value, energy, power and
a derived power, the sums of reactive power, and the parts of the totals."""


_NOTHING: PartValues = [0 if function == COUNT else None for function, _ in _SUMS]


async def _sums_by_length(engine: ReadEngine, selection: Selection) -> PartsByLength:
    """Return the sums of a selection by the seconds of the readings' intervals."""
    found: dict[int | None, PartValues] = {}
    for part, seconds in selection.by_span():
        sums = await _sums(engine, part)
        found[seconds] = merge_parts(_SUMS, [found[seconds], sums]) if seconds in found else sums
    return found


async def _sums(engine: ReadEngine, selection: Selection) -> PartValues:
    """Return the sums of a selection."""
    names = part_names(_SUMS)

    async def scan(part: Selection) -> PartValues:
        found = _NOTHING
        readings = selected_columns(engine, part, names)
        async with aclosing(readings):
            async for columns in readings:
                found = merge_parts(_SUMS, [found, await in_thread(_sums_of, columns)])
        return found

    return await summed(engine, selection, _SUMS, scan)


def _sums_of(columns: Columns) -> PartValues:
    """Return the sums of some readings."""
    (values,) = part_values(parts_of(columns, np.zeros(1, np.int64), _SUMS), _SUMS)
    return values


_INCLUDED_FLAGS: Sequence[AggregatePart] = (
    FLAGGED,
    (SUM, "catch_up_energy"),
    (COUNT, "catch_up_energy"),
    (COUNT, "catch_up_power"),
)


def _several_note(selection: Selection) -> Metadata:
    """Return why there is no base load if there is none for this reason."""
    if len(selection.lengths) == 1:
        return {}
    lengths = spans_text(selection.meter.intervals, selection.zone, selection.start)
    return {
        "base_load_unknown": f"the readings have several intervals: {lengths}; choose a period with"
        " one of them, with date and end_date"
    }


_CATCH_UP = FLAGS.index(CATCH_UP)


async def _flagged(engine: ReadEngine, selection: Selection) -> PartValues:
    """Return how many readings count as flagged; the energy of catch-ups, and how many have energy
    and power; and how many readings have each flag, also those that a clean result leaves out."""
    is_included = f"flags & {selection.bits()} = 0"
    caught_up = f"flags & {CATCH_UP.bit} <> 0 AND {is_included}"
    included = [
        f"COUNT(CASE WHEN flags & {FLAGGED_BITS} <> 0 AND {is_included} THEN 1 END)",
        f"SUM(CASE WHEN {caught_up} THEN energy END)",
        f"COUNT(CASE WHEN {caught_up} THEN energy END)",
        f"COUNT(CASE WHEN {caught_up} THEN power END)",
    ]
    each = [f"COUNT(CASE WHEN flags & {flag.bit} <> 0 THEN 1 END)" for flag in FLAGS]

    async def scan(part: Selection, columns: Sequence[str]) -> PartValues:
        where = part.raw().where(engine.dialect)
        rows = await engine.fetch(
            f"SELECT {', '.join(columns)} FROM {part.table.flagged} WHERE {where.text}", where.args
        )
        return [parse_scaled(value) for value in rows[0]]

    return [
        *await summed(
            *(engine, selection, _INCLUDED_FLAGS, lambda part: scan(part, included)),
            day_filter="flagged > 0",
        ),
        *await summed(
            *(engine, selection.raw(), FLAG_PARTS, lambda part: scan(part, each)),
            day_filter=f"{' + '.join(flag.name for flag in FLAGS)} > 0",
        ),
    ]


async def _covered(
    engine: ReadEngine, selection: Selection, sums_by_length: PartsByLength, caught_up: int
) -> int | None:
    """Return the seconds of the readings with energy that are no catch-ups, None if unknown.

    So many of those with energy are.
    """
    at = _SUMS.index((COUNT, "energy"))
    with_energy = {length: sums[at] or 0 for length, sums in sums_by_length.items()}
    if None in with_energy:
        return None
    if len(with_energy) == 1:
        ((seconds, count),) = with_energy.items()
        return (count - caught_up) * (seconds or 0)
    covered = sum(count * (seconds or 0) for seconds, count in with_energy.items())
    for part, seconds in selection.by_span():
        where = part.where(engine.dialect)
        rows = await engine.fetch(
            f"SELECT COUNT(energy) FROM {part.table.flagged}"
            f" WHERE flags & {CATCH_UP.bit} <> 0 AND {where.text}",
            where.args,
        )
        covered -= rows[0][0] * (seconds or 0)
    return covered


def _mean_demand(energy: int | None, caught_up: int, covered: int | None) -> int | None:
    """Return energy, without that of catch-ups, over the hours of the readings."""
    if energy is None or not covered:
        return None
    return divide_rounded((energy - caught_up) * HOUR_SECONDS, covered)


async def _last_import(engine: ReadEngine, meter: Meter) -> list[Value]:
    """Return the last import, unless it may be of days that the client may not see."""
    if meter.windows:
        return [None] * 4
    rows = await engine.fetch(
        "SELECT finished, file, new, changed FROM imports"
        f" WHERE meter_id = {meter.id} ORDER BY id DESC LIMIT 1"
    )
    if not rows:
        return [None] * 4
    finished, file, new, changed = rows[0]
    instant = datetime.fromisoformat(finished.decode()).replace(tzinfo=UTC)
    return [int(instant.timestamp()), file.decode(), new, changed]
