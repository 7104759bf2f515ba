"""The highest demands and when they were."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from storage.engine import Engine
from storage.quality import CATCH_UP
from storage.query import QueryError
from storage.scope import Period, Scope, scope, without
from storage.sql import Condition, comparable, since_epoch
from storage.table import Field, Kind, Remarks, Table, divided, given, nothing, scaled
from storage.windows import Found, found

MOST = 1000
HOUR = 3600
_DAY = 86400

DEMAND_OF = ("maximeter", "power", "energy")
"""What demand is taken from: the first of these that any reading has."""

FIELDS = (
    Field("date", Kind.INSTANT, "Start of the reading"),
    Field("demand", Kind.QUANTITY, "Demand (kW)"),
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
            whole(given, "number", 10, 1, MOST),
            whole(given, "separation", HOUR, 0, _DAY),
        )

    async def table(self, engine: Engine) -> Table:
        """The peaks, the highest first, and of those as high as each other the earliest."""
        asked = await scope(engine, self.period)
        if asked is None:
            return nothing(self.fields)
        every = await found(engine, asked.raw())
        bits = asked.bits(CATCH_UP)
        column = await _demand_column(engine, every, bits)
        peaks: list[Peak] = []
        async for at, value in _descending(engine, every, bits, column, self._candidates(asked)):
            if all(abs(at - other) >= self.separation for other, _ in peaks):
                peaks.append((at, value))
                if len(peaks) == self.number:
                    break
        rows = [(at, demand(column, value, asked)) for at, value in peaks]
        remarks: Remarks = {"demand_of": column, **await asked.left_out(engine)}
        return Table(self.fields, asked.zone, len(rows), given(rows), remarks)

    def _candidates(self, asked: Scope) -> int:
        """How many readings are enough, since a peak rules out so many others at most."""
        ruled_out = 2 * (max(self.separation - 1, 0) // asked.meter.interval)
        return self.number * (1 + ruled_out)


async def _demand_column(engine: Engine, every: Found, bits: int) -> str:
    """What the demand of readings without some flags is taken from."""
    where = every.where & without(bits)
    for column in DEMAND_OF:
        rows = await engine.fetch(
            f"SELECT 1 FROM {every.table} WHERE {where.text} AND {column} IS NOT NULL LIMIT 1",
            where.args,
        )
        if rows:
            return column
    return DEMAND_OF[0]


def demand(column: str, value: int, asked: Scope) -> int:
    """The demand in kW that the value of a column means: energy is a mean demand times time."""
    return divided(value * HOUR, asked.meter.interval) if column == "energy" else value


def whole(given: Mapping[str, str], parameter: str, default: int, least: int, most: int) -> int:
    """The value of a parameter that is a whole number; raises QueryError."""
    text = given.get(parameter, str(default))
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not digits or not least <= int(text) <= most:
        raise QueryError(
            parameter, f"expected a whole number from {least} to {most}, got {text[:40]!a}"
        )
    return int(text)


AT_ONCE = 5000
SPARE = 50
"""Readings with flags that may be among the highest ones before these are looked for again."""


async def _descending(
    engine: Engine, every: Found, bits: int, column: str, candidates: int
) -> AsyncIterator[Peak]:
    """The readings by demand, the highest first, then by time, some thousand at a time.

    Those that have some flags are left out of the highest ones: to look for the flags of all
    readings would take longer than to find those.
    """
    dialect = engine.dialect
    with_demand = every.where & Condition(f"{column} IS NOT NULL")
    order = f"ORDER BY {column} DESC, utc"
    limit = min(candidates + SPARE, AT_ONCE)
    where = with_demand
    while True:
        rows = await engine.fetch(
            f"SELECT {dialect.seconds.format('utc')}, {column}, COALESCE(flags, 0)"
            f" FROM (SELECT id, utc, {column} FROM {every.table} WHERE {where.text}"
            f" {order} LIMIT {limit}) AS highest LEFT JOIN flags ON reading_id = id {order}",
            where.args,
        )
        for at, value, flags in rows:
            number = scaled(value)
            assert number is not None
            if not flags & bits:
                yield since_epoch(at), number
        if len(rows) < limit:
            return
        last = rows[-1]
        at = dialect.instant(since_epoch(last[0]))
        value = comparable(last[1])
        as_high = f"{column} = {dialect.place} AND utc > {dialect.place}"
        where = with_demand & Condition(
            f"({column} < {dialect.place} OR {as_high})", (value, value, at)
        )
