"""One record that says what there is, and what it comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from storage.aggregate import BOUNDS, COVERAGE, total
from storage.engine import Engine
from storage.measures import Measures
from storage.peaks import HOUR, Peaks
from storage.quality import CATCH_UP, FLAGS
from storage.reading import COLUMNS, SCALE, Rule
from storage.scope import Period, Scope, scope
from storage.sql import since_epoch
from storage.table import Field, Kind, Remarks, Table, Value, divided, given, nothing, scaled
from storage.windows import Found, found

BASE_LOAD_PERCENT = 5

_TOTALS = Measures([column for column in COLUMNS if column.rule in (Rule.TOTAL, Rule.RATIO)])

FIELDS = (
    Field("first_reading", Kind.INSTANT, "Start of the first reading"),
    Field("last_reading", Kind.INSTANT, "Start of the last reading"),
    *BOUNDS,
    *_TOTALS.fields,
    *COVERAGE,
    Field("readings", Kind.COUNT, "Readings, also those without any value"),
    Field("peak_demand", Kind.QUANTITY, "The highest demand, catch-ups left out (kW)"),
    Field("peak_demand_date", Kind.INSTANT, "The first reading with it"),
    Field("mean_demand", Kind.QUANTITY, "Energy per hour covered, catch-ups left out (kW)"),
    Field("load_factor", Kind.QUANTITY, "Mean demand over peak demand"),
    Field("base_load", Kind.QUANTITY, "5th percentile of power, nearest rank (kW)"),
    *(Field(f"flag_{flag.name}", Kind.COUNT, f"Readings: {flag.means}") for flag in FLAGS),
    Field("import_finished", Kind.INSTANT, "When the last import was written"),
    Field("import_file", Kind.TEXT, "The report that it was of"),
    Field("import_new", Kind.COUNT, "Readings that it added"),
    Field("import_changed", Kind.COUNT, "Readings that it corrected"),
    Field("timezone", Kind.TEXT, "Zone of the meter"),
    Field("interval_seconds", Kind.COUNT, "From the start of a reading to that of the next"),
    Field("identifier", Kind.TEXT, "What reports call the meter"),
)

_UNITS = {column.name: column.unit for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class Summary:
    """What the readings of a period come to."""

    period: Period

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""
        return f"summary {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return FIELDS

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """What the parameters of a request mean; raises QueryError."""
        return cls(Period.of(given))

    async def table(self, engine: Engine) -> Table:
        """One row, or none where there are no readings."""
        asked = await scope(engine, self.period)
        if asked is None:
            return nothing(self.fields)
        sums = await total(engine, asked, _TOTALS)
        count, first, last = await _span(engine, asked)
        peaks = await Peaks(self.period, 1, 0).table(engine)
        (peak,) = [row async for rows in peaks.rows for row in rows] or [(None, None)]
        demand, base_load = await _demand_and_base_load(engine, asked, _integer(sums[2]))
        row = (
            first,
            last,
            *sums,
            count,
            peak[1],
            peak[0],
            demand,
            _ratio(demand, _integer(peak[1])),
            base_load,
            *await _flags(engine, asked),
            *await _last_import(engine),
            asked.meter.zone.name,
            asked.meter.interval,
            asked.meter.identifier,
        )
        remarks: Remarks = {
            "units": _UNITS,
            "demand_of": peaks.remarks["demand_of"],
            **await asked.left_out(engine),
        }
        return Table(self.fields, asked.zone, 1, given([row]), remarks)


async def _span(engine: Engine, asked: Scope) -> list[int | None]:
    """How many readings there are, the first and the last one's start."""
    where = asked.where(engine.dialect)
    seconds = engine.dialect.seconds.format
    rows = await engine.fetch(
        f"SELECT COUNT(*), {seconds('MIN(utc)')}, {seconds('MAX(utc)')}"
        f" FROM consumpdata WHERE {where.text}",
        where.args,
    )
    count, *ends = rows[0]
    return [count, *(None if end is None else since_epoch(end) for end in ends)]


async def _demand_and_base_load(
    engine: Engine, asked: Scope, energy: int | None
) -> tuple[int | None, int | None]:
    """The mean demand and the base load of readings that are no catch-ups."""
    believed = await found(engine, asked, CATCH_UP)
    rows = await engine.fetch(
        f"SELECT COUNT(energy), COUNT(power) FROM {believed.table} WHERE {believed.where.text}",
        believed.where.args,
    )
    with_energy, with_power = rows[0]
    where = asked.where(engine.dialect)
    rows = await engine.fetch(
        "SELECT SUM(energy) FROM flags JOIN consumpdata ON id = reading_id"
        f" WHERE flags & {CATCH_UP.bit} <> 0 AND {where.text}",
        where.args,
    )
    caught_up = scaled(rows[0][0]) or 0
    demand = None
    if energy is not None and with_energy:
        demand = divided((energy - caught_up) * HOUR, with_energy * asked.meter.interval)
    return demand, await _base_load(engine, believed, with_power)


async def _base_load(engine: Engine, believed: Found, with_power: int) -> int | None:
    if not with_power:
        return None
    rank = -(-with_power * BASE_LOAD_PERCENT // 100)
    rows = await engine.fetch(
        f"SELECT power FROM {believed.table} WHERE {believed.where.text} AND power IS NOT NULL"
        f" ORDER BY power LIMIT 1 OFFSET {rank - 1}",
        believed.where.args,
    )
    return scaled(rows[0][0])


async def _flags(engine: Engine, asked: Scope) -> list[int]:
    where = asked.raw().where(engine.dialect)
    counts = ", ".join(f"COUNT(CASE WHEN flags & {flag.bit} <> 0 THEN 1 END)" for flag in FLAGS)
    rows = await engine.fetch(
        f"SELECT {counts} FROM flags JOIN consumpdata ON id = reading_id WHERE {where.text}",
        where.args,
    )
    return list(rows[0])


async def _last_import(engine: Engine) -> list[Value]:
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
    return divided(numerator * SCALE, denominator)


def _integer(value: Value) -> int | None:
    assert not isinstance(value, str)
    return value
