"""Profiles: statistics of a quantity by time of day."""

from array import array
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from domain.fixed_point import divide_rounded, sorted_in_parts
from domain.flags import CATCH_UP
from domain.parameters import Parameter, Params, csv_pattern, either
from domain.readings_query import QueryError
from domain.time_zone import DAY_SECONDS
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition
from storage.common.prefetch import prefetch
from storage.common.turns import in_thread
from storage.figures.days.left_out import left_out
from storage.figures.result import (
    Field,
    FieldType,
    Metadata,
    ResultTable,
    Row,
    as_chunks,
)
from storage.figures.scan import TimeChunk, plan_scan, time_chunks
from storage.figures.selection import PERIOD_PARAMETERS, QUALITY, Period, Selection, select
from storage.meters import Meter, spans_text

COLUMNS = ("power", "energy", "reactive_energy", "reactive_power", "maximeter")
_ENERGIES = ("energy", "reactive_energy")
PERCENTILES = (5, 25, 50, 75, 95)
MAX_PERCENTILES = 20

_DAY_TYPE = Field("day_type", FieldType.TEXT, "working_day (Monday to Friday), saturday or sunday")
_WEEKDAY = Field("weekday", FieldType.TEXT, "monday to sunday")
_MONTH = Field("month", FieldType.COUNT, "1 to 12, of whatever year")

SPLITS = {
    "day_type": (_DAY_TYPE,),
    "month": (_MONTH,),
    "both": (_MONTH, _DAY_TYPE),
    "weekday": (_WEEKDAY,),
    "none": (),
}
_COLUMN = either("column", "The quantity of the profile.", COLUMNS)
_BY = either(
    "by",
    "How days are grouped: by type (Monday to Friday, Saturday, Sunday; public holidays count as "
    "their weekday), by month, by both, by weekday, or not at all.",
    tuple(SPLITS),
)
_PERCENTILES = Parameter(
    "percentiles",
    "Percentiles, whole numbers from 1 to 100; each is an observed value.",
    ",".join(map(str, PERCENTILES)),
    csv_pattern("100|[1-9][0-9]?"),
)

_PIECE_QUANTITIES = 50_000
"""About how many quantities become rows in one piece of work."""

_WORKING_DAY = 4
"""The weekday that stands for Monday to Friday."""
_FIRST_WEEKDAY = 5
"""The weekday of the first day of the year 0, a Saturday."""
WEEK_SECONDS = 7 * DAY_SECONDS

_Group = tuple[int, bytes]
"""The month and the second of the week as one number, and the quantities as text."""

_Quantities = defaultdict[tuple[int, ...], "array[int]"]
"""The quantities of each split at each time of day."""

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Profile:
    """A query for a column by local time of day, split by month or kind of day."""

    period: Period
    column: str
    by: str
    percentiles: tuple[int, ...]

    parameters: ClassVar[Sequence[Parameter]] = (
        *(_COLUMN, _BY, _PERCENTILES),
        *(*PERIOD_PARAMETERS, QUALITY),
    )

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""
        return f"profile {self.column} {self.by} {self.percentiles} {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return (
            *SPLITS[self.by],
            Field("time", FieldType.TEXT, "Start of the readings, local time"),
            Field("readings", FieldType.COUNT, "Readings that have the column"),
            Field("mean", FieldType.QUANTITY, "Mean"),
            Field("min", FieldType.QUANTITY, "Minimum"),
            Field("max", FieldType.QUANTITY, "Maximum"),
            *(
                Field(f"p{percent}", FieldType.QUANTITY, f"{percent}th percentile, nearest rank")
                for percent in self.percentiles
            ),
        )

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        column, by = _COLUMN.parse(params), _BY.parse(params)
        return cls(Period.of(params), column, by, _parse_percentiles(params.get("percentiles")))

    async def select(self, engine: ReadEngine, meter: Meter) -> Selection | None:
        """Return the readings of the period, None if it is empty; raise QueryError."""
        return await select(engine, meter, self.period)

    async def table(self, engine: ReadEngine, selection: Selection) -> ResultTable:
        """Return a row for each time of day of each split, without catch-ups.

        Raises QueryError for energies of several intervals: they tell nothing of each other.
        """
        if self.column in _ENERGIES and len(selection.lengths) > 1:
            lengths = spans_text(selection.meter.intervals, selection.zone, selection.start)
            raise QueryError(
                "column",
                f"expected no energy, since the readings have several intervals: {lengths}; choose"
                " power, or a shorter time with date and end_date",
            )
        quantities: _Quantities = defaultdict(lambda: array("q"))
        jobs = self._jobs(engine, selection)
        async with aclosing(prefetch(jobs)) as results:
            async for groups in results:
                await in_thread(self._add, quantities, groups)
        table: list[Row] = []
        for keys in _pieces(quantities):
            table += await in_thread(
                lambda keys=keys: [self._row(key, quantities.pop(key)) for key in keys]
            )
        metadata: Metadata = {"column": self.column, **await left_out(engine, selection)}
        return ResultTable(self.fields, selection.zone, len(table), as_chunks(table), metadata)

    async def _jobs(
        self, engine: ReadEngine, selection: Selection
    ) -> AsyncGenerator[Coroutine[Any, Any, list[_Group]]]:
        for chunk in time_chunks(selection, DAY_SECONDS):
            yield self._groups(engine, selection, chunk)

    async def _groups(
        self, engine: ReadEngine, selection: Selection, chunk: TimeChunk
    ) -> list[_Group]:
        """Return the quantities of a chunk for each time of the week and, if split so, month."""
        plan = await plan_scan(engine, selection, CATCH_UP, chunk=chunk)
        where = plan.where & Condition(f"{self.column} IS NOT NULL")
        local = f"({engine.dialect.year_0_seconds('utc')} + {chunk.offset})"
        weeks = engine.dialect.int_div(local, WEEK_SECONDS)
        key = f"{local} - {weeks} * {WEEK_SECONDS}"
        if _MONTH in SPLITS[self.by]:
            key += f" + CAST(SUBSTR(date, 6, 2) AS SIGNED INTEGER) * {WEEK_SECONDS}"
        rows = await engine.fetch(
            f"SELECT {key} AS number, GROUP_CONCAT({self.column}) FROM {plan.table}"
            f" WHERE {where.text} GROUP BY number",
            where.args,
        )
        return [(number, text) for number, text in rows]

    def _add(self, quantities: "_Quantities", groups: Iterable[_Group]) -> None:
        for number, text in groups:
            month, second = divmod(number, WEEK_SECONDS)
            day, time = divmod(second, DAY_SECONDS)
            weekday = (day + _FIRST_WEEKDAY) % 7
            split = tuple(_SPLIT[field](month, weekday) for field in SPLITS[self.by])
            texts = text.replace(b".", b"").split(b",")
            quantities[*split, time].extend(map(int, texts))

    def _row(self, key: tuple[int, ...], quantities: "array[int]") -> Row:
        *split, time = key
        ranked = sorted_in_parts(quantities)
        count = len(ranked)
        return (
            *(_named(field, value) for field, value in zip(SPLITS[self.by], split, strict=True)),
            f"{time // 3600:02}:{time // 60 % 60:02}:{time % 60:02}",
            count,
            divide_rounded(sum(ranked), count),
            ranked[0],
            ranked[-1],
            *(ranked[nearest_rank(percent, count) - 1] for percent in self.percentiles),
        )


def _pieces(quantities: _Quantities) -> Iterator[list[tuple[int, ...]]]:
    """Yield the keys, in order, in pieces of about as many quantities."""
    keys: list[tuple[int, ...]] = []
    count = 0
    for key in sorted(quantities):
        keys.append(key)
        count += len(quantities[key])
        if count >= _PIECE_QUANTITIES:
            yield keys
            keys, count = [], 0
    yield keys


def nearest_rank(percent: int, count: int) -> int:
    """Return the rank of a percentile among sorted values: ceil(percent / 100 * count)."""
    return -(-percent * count // 100)


_SPLIT: dict[Field, Callable[[int, int], int]] = {
    _DAY_TYPE: lambda _, weekday: max(weekday, _WORKING_DAY),
    _WEEKDAY: lambda _, weekday: weekday,
    _MONTH: lambda month, _: month,
}
"""The value of each split field, by month and weekday, in the order of the result."""


def _named(field: Field, value: int) -> int | str:
    if field is _MONTH:
        return value
    if field is _DAY_TYPE and value == _WORKING_DAY:
        return "working_day"
    return _WEEKDAYS[value]


def _parse_percentiles(text: str | None) -> tuple[int, ...]:
    if text is None:
        return PERCENTILES
    parts = [part.strip(" ") for part in text.split(",")]
    known = {str(percent): percent for percent in range(1, 101)}
    numbers = {known.get(part, 0) for part in parts}
    if 0 in numbers or len(numbers) > MAX_PERCENTILES:
        raise QueryError(
            "percentiles",
            f"expected whole numbers from 1 to 100 like 5,50,95, at most {MAX_PERCENTILES}, "
            f"got {text[:40]!a}",
        )
    return tuple(sorted(numbers))
