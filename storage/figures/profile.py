"""Profiles: statistics of a quantity by time of day."""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, ClassVar, Self

from domain.fixed_point import parse_scaled, power_factor, sorted_in_parts
from domain.flags import CATCH_UP
from domain.parameters import Parameter, Params, csv_pattern, either
from domain.quantities import ALL_QUANTITIES, EXPORTED_QUANTITIES
from domain.readings_query import QueryError
from domain.time.time_zone import DAY_SECONDS
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition
from storage.common.prefetch import prefetch
from storage.common.turns import in_thread
from storage.figures.aggregation_rules import HOUR_SECONDS, POWER_DERIVED, mean, power_of
from storage.figures.days.quality import quality_of
from storage.figures.days.stretches import may_derive
from storage.figures.result import (
    Field,
    FieldType,
    Metadata,
    ResultTable,
    Row,
    as_chunks,
)
from storage.figures.scan import TimeChunk, plan_scan, time_chunks
from storage.figures.selection import (
    PERIOD_PARAMETERS,
    QUALITY,
    Period,
    Selection,
    interval_note,
    select,
)
from storage.meters import Meter, spans_text

POWER, POWER_FACTOR = "power", "power_factor"
COLUMNS = (POWER, "energy", "reactive_energy", "reactive_power", "maximeter", POWER_FACTOR)
EXPORTED_COLUMNS = tuple(quantity.name for quantity in EXPORTED_QUANTITIES)
"""Further columns, which clients of the contract cannot choose."""
_ENERGIES = ("energy", "reactive_energy", *EXPORTED_COLUMNS)
_UNITS = {quantity.name: quantity.result_unit for quantity in ALL_QUANTITIES}
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
_MORE_FIELDS = {
    POWER: (POWER_DERIVED,),
    POWER_FACTOR: (
        Field(
            "power_factor_of_energy",
            FieldType.QUANTITY,
            "Power factor from the sums of energy and reactive energy at this time of day",
            "1",
        ),
    ),
}
"""The fields after those of all columns."""

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

_Group = Sequence[Any]
"""The month and the second of the week as one number, the quantities as text, and two more values.

For power these are the energies of readings without it, as text, and nothing; for the power factor
the sums of energy and reactive energy.
"""


@dataclass(slots=True)
class _Quantities:
    """The quantities of a split at a time of day, by the seconds of their readings' interval."""

    measured: "dict[int | None, array[int]]" = field(default_factory=dict)
    energies: "dict[int, array[int]]" = field(default_factory=dict)
    """Energies that give a power where none was measured."""
    active: int | None = None
    reactive: int | None = None
    """Sums of energy and reactive energy."""

    def __len__(self) -> int:
        return sum(map(len, self.measured.values())) + self.derived

    @property
    def derived(self) -> int:
        """The number of powers that energies give."""
        return sum(map(len, self.energies.values()))

    @property
    def lengths(self) -> Sequence[int | None]:
        """The intervals; None stands for an unknown one."""
        return list(dict.fromkeys((*self.measured, *self.energies)))

    @property
    def mean(self) -> int | None:
        """The mean over time of the measured quantities and the derived powers.

        It is None for known and unknown intervals together.
        """
        lengths = self.lengths
        if lengths == [None]:
            return mean(sum(self.measured[None]), len(self))
        weighed = weight = 0
        for seconds in lengths:
            if seconds is None:
                return None
            measured, energies = self.measured.get(seconds, ()), self.energies.get(seconds, ())
            weighed += sum(measured) * seconds + sum(energies) * HOUR_SECONDS
            weight += (len(measured) + len(energies)) * seconds
        return mean(weighed, weight)

    def values(self, seconds: int | None) -> list[int]:
        """Return the quantities of readings of an interval."""
        powers: Iterable[int] = () if seconds is None else self.energies.get(seconds, ())
        derived = (power_of(energy, seconds) for energy in powers)
        return [
            *self.measured.get(seconds, ()),
            *(power for power in derived if power is not None),
        ]

    def add(
        self, column: str, seconds: int | None, texts: bytes | None, more: Any, last: Any
    ) -> None:
        """Take in the values of a group of readings that last so many seconds."""
        if texts:
            self.measured.setdefault(seconds, array("q")).extend(_numbers(texts))
        if column == POWER and more and seconds is not None:
            self.energies.setdefault(seconds, array("q")).extend(_numbers(more))
        if column == POWER_FACTOR:
            self.active = _total(self.active, parse_scaled(more))
            self.reactive = _total(self.reactive, parse_scaled(last))


_Groups = tuple[Sequence[_Group], int | None]
"""Groups, and the seconds of their readings' interval, None if it is unknown."""

_QuantitiesBySplit = defaultdict[tuple[int, ...], _Quantities]

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
        statistics = {
            "mean": "Mean",
            "min": "Minimum",
            "max": "Maximum",
            **{
                f"p{percent}": f"{percent}th percentile, nearest rank"
                for percent in self.percentiles
            },
        }
        return (
            *SPLITS[self.by],
            Field("time", FieldType.TEXT, "Start of the readings, local time"),
            Field("readings", FieldType.COUNT, "Readings that have the column"),
            *(
                Field(name, FieldType.QUANTITY, means, _UNITS[self.column])
                for name, means in statistics.items()
            ),
            *_MORE_FIELDS.get(self.column, ()),
        )

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        column, by = _COLUMN.parse(params), _BY.parse(params)
        return cls(Period.of(params), column, by, _parse_percentiles(params.get("percentiles")))

    async def select(self, engine: ReadEngine, meter: Meter) -> Selection | None:
        """Return the readings of the period, None if it is empty; raise QueryError."""
        return await select(engine, meter, self.period)

    def scanned(self, selection: Selection) -> int:
        """Return how many readings of a selection are read: all of them."""
        return selection.readings

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
        quantities: _QuantitiesBySplit = defaultdict(_Quantities)
        has_derived = self.column == POWER and await may_derive(engine, selection)
        jobs = self._jobs(engine, selection, has_derived=has_derived)
        async with aclosing(prefetch(jobs)) as results:
            async for groups, seconds in results:
                await in_thread(self._add, quantities, groups, seconds)
        table: list[Row] = []
        for keys in _pieces(quantities):
            table += await in_thread(
                lambda keys=keys: [self._row(key, quantities.pop(key)) for key in keys]
            )
        metadata: Metadata = {
            "column": self.column,
            **await quality_of(engine, selection),
            **(interval_note(selection) if has_derived or len(selection.lengths) > 1 else {}),
        }
        return ResultTable(self.fields, selection.zone, len(table), as_chunks(table), metadata)

    async def _jobs(
        self, engine: ReadEngine, selection: Selection, *, has_derived: bool
    ) -> AsyncGenerator[Coroutine[Any, Any, _Groups]]:
        for part, seconds in selection.by_span():
            for chunk in time_chunks(part, DAY_SECONDS):
                yield self._groups(engine, part, chunk, seconds, has_derived=has_derived)

    async def _groups(
        self,
        engine: ReadEngine,
        selection: Selection,
        chunk: TimeChunk,
        seconds: int | None,
        *,
        has_derived: bool,
    ) -> _Groups:
        """Return the quantities of a chunk for each time of the week and, if split so, month.

        Its readings last so many seconds.
        """
        plan = await plan_scan(engine, selection, CATCH_UP, chunk=chunk)
        needed, more = self.column, "NULL, NULL"
        if has_derived:
            needed = f"COALESCE({POWER}, energy)"
            more = f"GROUP_CONCAT(CASE WHEN {POWER} IS NULL THEN energy END), NULL"
        if self.column == POWER_FACTOR:
            needed = f"COALESCE({POWER_FACTOR}, energy, reactive_energy)"
            more = "SUM(energy), SUM(reactive_energy)"
        where = plan.where & Condition(f"{needed} IS NOT NULL")
        local = f"({engine.dialect.year_0_seconds('utc')} + {chunk.offset})"
        weeks = engine.dialect.int_div(local, WEEK_SECONDS)
        key = f"{local} - {weeks} * {WEEK_SECONDS}"
        if _MONTH in SPLITS[self.by]:
            key += f" + CAST(SUBSTR(date, 6, 2) AS SIGNED INTEGER) * {WEEK_SECONDS}"
        groups = await engine.fetch(
            f"SELECT {key} AS number, GROUP_CONCAT({self.column}), {more} FROM {plan.table}"
            f" WHERE {where.text} GROUP BY number",
            where.args,
        )
        return groups, seconds

    def _add(
        self, quantities: _QuantitiesBySplit, groups: Iterable[_Group], seconds: int | None
    ) -> None:
        for number, *values in groups:
            month, second = divmod(number, WEEK_SECONDS)
            day, time = divmod(second, DAY_SECONDS)
            weekday = (day + _FIRST_WEEKDAY) % 7
            split = tuple(_SPLIT[field](month, weekday) for field in SPLITS[self.by])
            quantities[*split, time].add(self.column, seconds, *values)

    def _row(self, key: tuple[int, ...], quantities: _Quantities) -> Row:
        *split, time = key
        more: Row = ()
        if self.column == POWER:
            more = (quantities.derived,)
        if self.column == POWER_FACTOR:
            more = (power_factor(quantities.active, quantities.reactive),)
        return (
            *(_named(field, value) for field, value in zip(SPLITS[self.by], split, strict=True)),
            f"{time // 3600:02}:{time // 60 % 60:02}:{time % 60:02}",
            len(quantities),
            quantities.mean,
            *self._ranked(quantities),
            *more,
        )

    def _ranked(self, quantities: _Quantities) -> Sequence[int | None]:
        """Return the minimum, the maximum and the percentiles."""
        lengths = quantities.lengths
        if not lengths:
            return [None] * (2 + len(self.percentiles))
        if len(lengths) == 1:
            ranked = sorted_in_parts(quantities.values(lengths[0]))
            ranks = (nearest_rank(percent, len(ranked)) for percent in self.percentiles)
            return ranked[0], ranked[-1], *(ranked[rank - 1] for rank in ranks)
        # Numbers that are in the order of the quantities, and tell the interval, too.
        each = [
            value * len(lengths) + place
            for place, seconds in enumerate(lengths)
            for value in quantities.values(seconds)
        ]
        pairs = [divmod(number, len(lengths)) for number in sorted_in_parts(each)]
        least, greatest = pairs[0][0], pairs[-1][0]
        if None in lengths:
            return least, greatest, *([None] * len(self.percentiles))
        elapsed = [*accumulate(lengths[place] or 0 for _, place in pairs)]
        return (
            *(least, greatest),
            *(
                pairs[bisect_left(elapsed, nearest_rank(percent, elapsed[-1]))][0]
                for percent in self.percentiles
            ),
        )


def _numbers(texts: bytes) -> Iterable[int]:
    return map(int, texts.replace(b".", b"").split(b","))


def _total(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)


def _pieces(quantities: _QuantitiesBySplit) -> Iterator[list[tuple[int, ...]]]:
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
