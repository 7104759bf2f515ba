"""Sums of readings by local day: the statements that keep the table `days`.

A day has a row with the sums of all its readings and, if some are implausible, a clean one without
these, unless no reading is left.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, ClassVar, Protocol

from domain.flags import CATCH_UP, FLAGGED_BITS, FLAGS, IMPLAUSIBLE
from domain.quantities import ALL_QUANTITIES, AggregationRule
from storage.backends.derived import (
    CAPACITIVE_POWER,
    DERIVED_ENERGY,
    INDUCTIVE_POWER,
    derived_operand,
)
from storage.backends.dialect import ANY_VALUE, SPARSE_FACTOR, Condition, Dialect

FEW_DAYS = 7
"""Days whose readings are summed up together with their flags.

To look for the flags of each of many readings takes as long as to sum them up.
"""


@dataclass(frozen=True, slots=True)
class Change(Condition):
    """A statement that writes, and has no rows."""


Steps = Generator[Condition, Sequence[Sequence[Any]], None]
"""Statements to run one after the other; each is answered with its rows, if it has any."""

BATCH_DAYS = 30
"""Days that one statement names: for each reading, MySQL compares its date with all of them."""


@dataclass(frozen=True, slots=True)
class DaySpan:
    """Local days of a meter, as YYYY-MM-DD, both ends included."""

    meter_id: int
    first: str
    last: str
    ids: range | None = None
    """Ids that are those of all their readings and of few others, if known."""

    @property
    def after(self) -> str:
        """The day after the last one."""
        return str(_day(self.last) + timedelta(days=1))

    @property
    def is_short(self) -> bool:
        """Whether they are few."""
        return (_day(self.last) - _day(self.first)).days < FEW_DAYS


def _sums() -> Iterator[tuple[str, str]]:
    """Yield the columns of `days` that readings `r` have, and their aggregates."""
    yield "first_utc", "MIN(r.utc)"
    yield "last_utc", "MAX(r.utc)"
    yield "readings", "COUNT(*)"
    yield "present", f"COUNT({ANY_VALUE})"
    for quantity in ALL_QUANTITIES:
        name = quantity.name
        if quantity.rule in (AggregationRule.TOTAL, AggregationRule.LEVEL):
            yield name, f"SUM(r.{name})"
        if quantity.rule is AggregationRule.LEVEL or name == "energy":
            yield f"{name}_count", f"COUNT(r.{name})"
        if quantity.rule is AggregationRule.LEVEL:
            yield f"{name}_min", f"MIN(r.{name})"
            yield f"{name}_max", f"MAX(r.{name})"
        if quantity.rule is AggregationRule.RATIO:
            yield name, f"SUM(r.{name})"
            yield f"{name}_count", f"COUNT(r.{name})"
    derived = derived_operand(DERIVED_ENERGY, "r")
    yield DERIVED_ENERGY, f"SUM({derived})"
    for function in ("COUNT", "MIN", "MAX"):
        yield f"{DERIVED_ENERGY}_{function.lower()}", f"{function}({derived})"
    for name in (INDUCTIVE_POWER, CAPACITIVE_POWER):
        yield name, f"SUM({derived_operand(name, 'r')})"


def _flag_sums() -> Iterator[tuple[str, str]]:
    """Yield the columns that their flags `f` have."""
    yield "flagged", _count(FLAGGED_BITS)
    for flag in FLAGS:
        yield flag.name, _count(flag.bit)
    caught_up = f"CASE WHEN f.flags & {CATCH_UP.bit} <> 0 THEN"
    yield "catch_up_energy", f"SUM({caught_up} r.energy END)"
    yield "catch_up_energy_count", f"COUNT({caught_up} r.energy END)"
    yield "catch_up_power_count", f"COUNT({caught_up} r.power END)"
    is_implausible = f"f.flags & {IMPLAUSIBLE.bit} <> 0"
    yield "implausible_energy", f"SUM(CASE WHEN {is_implausible} THEN r.energy END)"


def _count(bits: int) -> str:
    return f"COUNT(CASE WHEN f.flags & {bits} <> 0 THEN 1 END)"


_BOTH_OR_NEITHER = (INDUCTIVE_POWER, CAPACITIVE_POWER)
"""Sums that are both null or neither is, and one of which is mostly zero."""

_SUMS = dict(_sums())
_FLAG_SUMS = dict(_flag_sums())

_COLUMNS = ", ".join(
    ("meter_id", "day", "clean", *_SUMS, *_FLAG_SUMS, "maximeter", "maximeter_utc")
)

_WITH_FLAGS = "LEFT JOIN flags f ON f.meter_id = r.meter_id AND f.reading_id = r.id"


class DaySums(ABC):
    """The statements of one database."""

    _grouping: ClassVar = ""
    """Follows SELECT to group readings in the fastest way."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._day = dialect.day("r.date")
        self._greatest = dialect.max_with_time("r.maximeter", dialect.year_0_seconds("r.utc"))

    def update(self, span: DaySpan) -> Steps:
        """Sum up all readings of some days anew."""
        if span.ids is None and not span.is_short:
            within = self._within(span)
            rows = yield Condition(
                f"SELECT MIN(r.id), MAX(r.id), COUNT(*) FROM readings r WHERE {within.text}",
                within.args,
            )
            first_id, last_id, count = rows[0]
            if count and last_id - first_id < SPARSE_FACTOR * count:
                span = replace(span, ids=range(first_id, last_id + 1))
        mark = self._dialect.placeholder
        days = Condition(
            f"days WHERE meter_id = {mark} AND day BETWEEN {mark} AND {mark}",
            (span.meter_id, span.first, span.last),
        )
        yield Change(f"DELETE FROM {days.text}", days.args)
        if span.is_short:
            yield self._together(f"readings r {_WITH_FLAGS}", self._within(span), is_clean=False)
        else:
            yield from self._apart(span)
        if not span.is_short:
            yield self._without_implausible(span)
        rows = yield Condition(
            f"SELECT day FROM {days.text} GROUP BY day HAVING MAX(clean) = 0"
            " AND MAX(implausible) > 0",
            days.args,
        )
        implausible = [str(row[0]) for row in rows]
        for at in range(0, len(implausible), BATCH_DAYS):
            source, named = self._named(implausible[at : at + BATCH_DAYS])
            plausible = f"COALESCE(f.flags, 0) & {IMPLAUSIBLE.bit} = 0"
            yield self._together(
                source,
                Condition(f"r.meter_id = {span.meter_id} AND {named} AND {plausible}"),
                is_clean=True,
            )

    def rebuild(self, meter_id: int, ids: range | None = None) -> Steps:
        """Sum up all readings of a meter anew; their ids may be known."""
        yield Change(f"DELETE FROM days WHERE meter_id = {meter_id}")
        # Each in a query of its own, for which SQLite looks at one end of the index.
        ends = (
            f"(SELECT {end}(date) FROM readings WHERE meter_id = {meter_id})"
            for end in ("MIN", "MAX")
        )
        rows = yield Condition(f"SELECT {', '.join(ends)}")
        first, last = rows[0]
        if first is not None:
            yield from self.update(DaySpan(meter_id, str(first)[:10], str(last)[:10], ids))

    @abstractmethod
    def _named(self, days: Sequence[str]) -> tuple[str, str]:
        """Return what follows FROM to read the readings of some days, and their condition."""

    @abstractmethod
    def _apart(self, span: DaySpan) -> Iterator[Change]:
        """Yield the statements that sum up readings, and their flags for themselves."""

    def _within(self, span: DaySpan) -> Condition:
        """Select the readings of some days."""
        mark = self._dialect.placeholder
        within = Condition(
            f"r.meter_id = {mark} AND r.date >= {mark} AND r.date < {mark}",
            (span.meter_id, span.first, span.after),
        )
        if span.ids is None:
            return within
        return within & Condition(
            f"r.id BETWEEN {mark} AND {mark}", (span.ids.start, span.ids.stop - 1)
        )

    def _together(self, source: str, where: Condition, *, is_clean: bool) -> Change:
        """Return the statement that sums up readings `r` with their flags `f`."""
        sums = _listed({"greatest": self._greatest, **_SUMS, **_FLAG_SUMS})
        maximeter = self._dialect.split_max_with_time("greatest")
        columns = ", ".join((*_SUMS, *_FLAG_SUMS, *maximeter))
        return Change(
            f"INSERT INTO days ({_COLUMNS}) SELECT meter_id, day, {is_clean:d}, {columns} FROM"
            f" (SELECT {self._grouping} MIN(r.meter_id) AS meter_id, {self._day} AS day, {sums}"
            f" FROM {source} WHERE {where.text} GROUP BY day) AS s",
            where.args,
        )

    def _without_implausible(self, span: DaySpan) -> Change:
        """Return the statement that makes clean sums of those of all readings, where it can.

        It cannot where an implausible reading may be one of a day's extremes, or the only one with
        a value.
        """
        values, conditions = [], []
        for name, expression in {**_SUMS, **_FLAG_SUMS}.items():
            if expression.startswith("COUNT"):
                values.append(f"d.{name} - i.{name}")
            elif name == "implausible_energy":
                values.append("NULL")
            elif expression.startswith("SUM"):
                values.append(f"d.{name} - COALESCE(i.{name}, 0)")
                if name not in _BOTH_OR_NEITHER:
                    conditions.append(f"(i.{name} IS NULL OR i.{name} <> d.{name})")
            else:
                values.append(f"d.{name}")
                conditions.append(f"(i.{name} IS NULL OR i.{name} <> d.{name})")
        conditions.append("(i.maximeter IS NULL OR i.maximeter < d.maximeter)")
        differ = " OR ".join(f"i.{name} <> d.{name}" for name in _BOTH_OR_NEITHER)
        conditions.append(f"(i.{_BOTH_OR_NEITHER[0]} IS NULL OR {differ})")
        sums = _listed({**_SUMS, **_FLAG_SUMS, "maximeter": "MAX(r.maximeter)"})
        within = self._within(span)
        of_flags = f"f.meter_id = {span.meter_id}"
        if span.ids is not None:
            of_flags += f" AND f.reading_id BETWEEN {span.ids.start} AND {span.ids.stop - 1}"
        return Change(
            f"INSERT INTO days ({_COLUMNS}) SELECT d.meter_id, d.day, 1, {', '.join(values)},"
            f" d.maximeter, d.maximeter_utc FROM"
            f" (SELECT {self._day} AS day, {sums} FROM flags f CROSS JOIN readings r"
            f" ON r.meter_id = f.meter_id AND r.id = f.reading_id WHERE {of_flags}"
            f" AND f.flags & {IMPLAUSIBLE.bit} <> 0 AND {within.text} GROUP BY day) AS i"
            f" JOIN days d ON d.meter_id = {span.meter_id} AND d.day = i.day AND d.clean = 0"
            f" WHERE {' AND '.join(conditions)}",
            within.args,
        )

    def _joined(self, meter_id: int, sums: str, flags: str, maximeter: Sequence[str]) -> str:
        """Return the statement that adds sums of readings and those of flags, of the same days."""
        columns = ", ".join(
            (
                *_SUMS,
                *(_or_default(name, column) for name, column in _FLAG_SUMS.items()),
                *maximeter,
            )
        )
        return (
            f"INSERT INTO days ({_COLUMNS}) SELECT {meter_id}, s.day, 0, {columns}"
            f" FROM ({sums}) AS s LEFT JOIN ({flags}) AS f ON f.day = s.day"
        )


class MysqlDaySums(DaySums):
    """Groups by sorting: readings mostly come in order, and a temporary table is slow."""

    _grouping = "SQL_BIG_RESULT"

    def _named(self, days: Sequence[str]) -> tuple[str, str]:
        # Ranges that another table gave would not be looked up in the index.
        ranges = " OR ".join(
            f"(r.date >= '{day}' AND r.date < '{_day(day) + timedelta(days=1)}')" for day in days
        )
        return f"readings r {_WITH_FLAGS}", f"({ranges})"

    def _apart(self, span: DaySpan) -> Iterator[Change]:
        within = self._within(span)
        sums = _listed({"greatest": self._greatest, **_SUMS})
        yield Change(
            self._joined(
                span.meter_id,
                f"SELECT {self._grouping} {self._day} AS day, {sums} FROM readings r"
                f" WHERE {within.text} GROUP BY day",
                f"SELECT {self._day} AS day, {_listed(_FLAG_SUMS)} FROM flags f JOIN readings r"
                f" ON r.meter_id = f.meter_id AND r.id = f.reading_id"
                f" WHERE {within.text} GROUP BY day",
                self._dialect.split_max_with_time("greatest"),
            ),
            within.args * 2,
        )


class SqliteDaySums(DaySums):
    """Reads day after day, so that nothing is sorted: by id where a day's ids are no others'."""

    def _named(self, days: Sequence[str]) -> tuple[str, str]:
        values = ", ".join(f"('{day}')" for day in days)
        named = f"(SELECT column1 AS day FROM (VALUES {values})) AS d"
        return f"{named} CROSS JOIN {_OF_DAY}", "TRUE"

    def _apart(self, span: DaySpan) -> Iterator[Change]:
        meter_id = span.meter_id
        yield Change(
            "CREATE TEMP TABLE IF NOT EXISTS day_ids (day TEXT PRIMARY KEY, first_id INTEGER,"
            " last_id INTEGER, readings INTEGER NOT NULL) WITHOUT ROWID"
        )
        yield Change("DELETE FROM day_ids")
        # The plus keeps SQLite from looking for the ends by a scan of the table.
        ends = ", ".join(
            f"(SELECT {end} FROM readings r {_BY_DATE} WHERE r.meter_id = {meter_id} AND {_ON_DAY})"
            for end in ("MIN(+r.id)", "MAX(+r.id)", "COUNT(*)")
        )
        yield Change(
            "INSERT INTO day_ids WITH RECURSIVE calendar(day) AS (SELECT ? UNION ALL"
            " SELECT date(day, '+1 day') FROM calendar WHERE day < ?)"
            f" SELECT day, {ends} FROM calendar",
            (span.first, span.last),
        )
        first_time = (
            f"(SELECT MIN(+m.utc) FROM readings m WHERE m.meter_id = {meter_id}"
            " AND m.id BETWEEN first_id AND last_id AND m.maximeter = greatest)"
        )
        yield Change(
            self._joined(
                meter_id,
                f"SELECT d.day, d.first_id, d.last_id, MAX(r.maximeter) AS greatest,"
                f" {_listed(_SUMS)} FROM day_ids d CROSS JOIN readings r"
                f" ON r.meter_id = {meter_id} AND r.id BETWEEN d.first_id AND d.last_id"
                f" WHERE {_IS_DENSE} GROUP BY d.day",
                f"SELECT d.day, {_listed(_FLAG_SUMS)} FROM day_ids d CROSS JOIN flags f"
                f" ON f.meter_id = {meter_id} AND f.reading_id BETWEEN d.first_id AND d.last_id"
                f" CROSS JOIN readings r ON r.meter_id = {meter_id} AND r.id = f.reading_id"
                f" WHERE {_IS_DENSE} GROUP BY d.day",
                ("greatest", first_time),
            )
        )
        yield self._together(
            f"day_ids d CROSS JOIN {_OF_DAY}",
            Condition(f"NOT ({_IS_DENSE}) AND r.meter_id = {meter_id}"),
            is_clean=False,
        )


_IS_DENSE = "d.last_id - d.first_id < d.readings"
"""Whether no other readings have ids between those of a day."""

_BY_DATE = "INDEXED BY readings_date"
_ON_DAY = "r.date >= day AND r.date < day || 'T'"
"""Whether a reading is of a day."""
_OF_DAY = f"readings r {_BY_DATE} ON {_ON_DAY} {_WITH_FLAGS}"


def day_sums(dialect: Dialect) -> DaySums:
    """Return the statements of a dialect's database."""
    return {"mysql": MysqlDaySums, "sqlite": SqliteDaySums}[dialect.name](dialect)


class Runner(Protocol):
    """What runs statements in a transaction."""

    async def fetch(self, sql: str, args: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Run a statement and return its rows, if it has any."""

    async def post(self, sql: str, args: Sequence[object] = ()) -> None:
        """Run a statement that writes, at once or together with the next one."""


async def run_steps(runner: Runner, steps: Steps) -> None:
    """Run statements one after the other."""
    with suppress(StopIteration):
        statement = next(steps)
        while True:
            rows: Sequence[Sequence[Any]] = ()
            if isinstance(statement, Change):
                await runner.post(statement.text, statement.args)
            else:
                rows = await runner.fetch(statement.text, statement.args)
            statement = steps.send(rows)


def _listed(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{expression} AS {name}" for name, expression in columns.items())


def _or_default(name: str, expression: str) -> str:
    """Return a sum of flags where a day may have none."""
    return f"COALESCE({name}, 0)" if expression.startswith("COUNT") else name


def _day(text: str) -> date:
    return date.fromisoformat(text)
