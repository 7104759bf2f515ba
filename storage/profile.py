"""How a quantity is spread over the day: what readings at each time of day have in common."""

import asyncio
from array import array
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self

from storage.ahead import ahead
from storage.engine import Engine
from storage.paging import IN_FLIGHT
from storage.quality import CATCH_UP
from storage.query import QueryError
from storage.scope import Period, Scope, choice, scope
from storage.sql import Condition
from storage.table import Field, Kind, Remarks, Row, Table, divided, given, nothing
from storage.windows import Window, found, windows
from storage.zone import DAY

COLUMNS = ("power", "energy", "reactive_energy", "reactive_power", "maximeter")
PERCENTILES = (5, 25, 50, 75, 95)
MOST_PERCENTILES = 20

_DAY_TYPE = Field("day_type", Kind.TEXT, "working_day (Monday to Friday), saturday or sunday")
_WEEKDAY = Field("weekday", Kind.TEXT, "monday to sunday")
_MONTH = Field("month", Kind.COUNT, "1 to 12, of whatever year")

SPLITS = {
    "day_type": (_DAY_TYPE,),
    "month": (_MONTH,),
    "both": (_MONTH, _DAY_TYPE),
    "weekday": (_WEEKDAY,),
    "none": (),
}
_WORKING_DAY = 4
"""Any of Monday to Friday, as a day of the week."""
_FIRST_WEEKDAY = 5
"""That of the day from which databases count seconds, a Saturday."""
WEEK = 7 * DAY

_Group = tuple[int, bytes]
"""The month and the second of the week as one number, and the quantities as a text."""

_Spread = defaultdict[tuple[int, ...], "array[int]"]
"""The quantities of each kind of day at each time."""

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Profile:
    """A column by time of day, in local time, split by the days that the readings are of."""

    period: Period
    column: str
    by: str
    percentiles: tuple[int, ...]

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""
        return f"profile {self.column} {self.by} {self.percentiles} {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return (
            *SPLITS[self.by],
            Field("time", Kind.TEXT, "Start of the readings, local time"),
            Field("readings", Kind.COUNT, "Readings that have the column"),
            Field("mean", Kind.QUANTITY, "Mean"),
            Field("min", Kind.QUANTITY, "Least"),
            Field("max", Kind.QUANTITY, "Greatest"),
            *(
                Field(f"p{percent}", Kind.QUANTITY, f"{percent}th percentile, nearest rank")
                for percent in self.percentiles
            ),
        )

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """What the parameters of a request mean; raises QueryError."""
        column = choice(given, "column", COLUMNS)
        by = choice(given, "by", tuple(SPLITS))
        return cls(Period.of(given), column, by, _percentiles(given.get("percentiles")))

    async def table(self, engine: Engine) -> Table:
        """A row for each time of day of each kind of days; catch-ups are left out."""
        asked = await scope(engine, self.period)
        if asked is None:
            return nothing(self.fields)
        spread: _Spread = defaultdict(lambda: array("q"))
        jobs = self._jobs(engine, asked)
        async with aclosing(ahead(jobs, IN_FLIGHT)) as results:
            async for groups in results:
                await asyncio.to_thread(self._add, spread, groups)
        table = await asyncio.to_thread(
            lambda: [self._row(key, spread[key]) for key in sorted(spread)]
        )
        remarks: Remarks = {"column": self.column, **await asked.left_out(engine)}
        return Table(self.fields, asked.zone, len(table), given(table), remarks)

    async def _jobs(
        self, engine: Engine, asked: Scope
    ) -> AsyncGenerator[Coroutine[Any, Any, list[_Group]]]:
        for window in windows(asked, DAY):
            yield self._groups(engine, asked, window)

    async def _groups(self, engine: Engine, asked: Scope, window: Window) -> list[_Group]:
        """The quantities of a window for each time of the week and, if that is told, month."""
        believed = await found(engine, asked, CATCH_UP, window=window)
        where = believed.where & Condition(f"{self.column} IS NOT NULL")
        local = f"({engine.dialect.seconds.format('utc')} + {window.offset})"
        weeks = engine.dialect.quotient.format(local, WEEK)
        key = f"{local} - {weeks} * {WEEK}"
        if _MONTH in SPLITS[self.by]:
            key += f" + CAST(SUBSTR(date, 6, 2) AS SIGNED INTEGER) * {WEEK}"
        rows = await engine.fetch(
            f"SELECT {key} AS number, GROUP_CONCAT({self.column}) FROM {believed.table}"
            f" WHERE {where.text} GROUP BY number",
            where.args,
        )
        return [(number, text) for number, text in rows]

    def _add(self, spread: "_Spread", groups: Iterable[_Group]) -> None:
        for number, text in groups:
            month, second = divmod(number, WEEK)
            day, time = divmod(second, DAY)
            weekday = (day + _FIRST_WEEKDAY) % 7
            split = tuple(_SPLIT[field](month, weekday) for field in SPLITS[self.by])
            quantities = text.replace(b".", b"").split(b",")
            spread[*split, time].extend(map(int, quantities))

    def _row(self, key: tuple[int, ...], quantities: "array[int]") -> Row:
        *split, time = key
        ranked = sorted(quantities)
        count = len(ranked)
        return (
            *(_named(field, value) for field, value in zip(SPLITS[self.by], split, strict=True)),
            f"{time // 3600:02}:{time // 60 % 60:02}:{time % 60:02}",
            count,
            divided(sum(ranked), count),
            ranked[0],
            ranked[-1],
            *(ranked[nearest_rank(percent, count) - 1] for percent in self.percentiles),
        )


def nearest_rank(percent: int, count: int) -> int:
    """Which of so many values, in their order, is a percentile: ceil(percent / 100 * count)."""
    return -(-percent * count // 100)


_SPLIT: dict[Field, Callable[[int, int], int]] = {
    _DAY_TYPE: lambda _, weekday: max(weekday, _WORKING_DAY),
    _WEEKDAY: lambda _, weekday: weekday,
    _MONTH: lambda month, _: month,
}
"""What a split tells apart, by month and day of the week, in the order of an answer."""


def _named(field: Field, value: int) -> int | str:
    if field is _MONTH:
        return value
    if field is _DAY_TYPE and value == _WORKING_DAY:
        return "working_day"
    return _WEEKDAYS[value]


def _percentiles(text: str | None) -> tuple[int, ...]:
    if text is None:
        return PERCENTILES
    parts = [part.strip(" ") for part in text.split(",")]
    known = {str(percent): percent for percent in range(1, 101)}
    found = {known.get(part, 0) for part in parts}
    if 0 in found or len(found) > MOST_PERCENTILES:
        raise QueryError(
            "percentiles",
            f"expected whole numbers from 1 to 100 like 5,50,95, at most {MOST_PERCENTILES}, "
            f"got {text[:40]!a}",
        )
    return tuple(sorted(found))
