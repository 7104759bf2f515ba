"""Profiles: statistics of a quantity by time of day."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from domain.columns import Columns, Integers
from domain.fixed_point import power_factor
from domain.flags import CATCH_UP
from domain.parameters import Parameter, Params, csv_pattern, either
from domain.quantities import ALL_QUANTITIES, EXPORTED_QUANTITIES
from domain.readings_query import QueryError
from domain.time.time_zone import DAY_SECONDS, TimeZone
from storage.backends.base import ReadEngine
from storage.backends.derived import DERIVED_ENERGY
from storage.columns.aggregates import group_starts, group_sums
from storage.columns.derived import derived_column
from storage.columns.statistics import Statistics, StatisticsByKey
from storage.common.turns import in_thread, in_turns
from storage.figures.aggregation_rules import POWER_DERIVED
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
from storage.figures.scan import selected_columns
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
_FACTOR_ENERGIES = ("energy", "reactive_energy")
_NO_ENERGIES: Sequence[int | None] = (None, None)
_ENERGIES = (*_FACTOR_ENERGIES, *EXPORTED_COLUMNS)
_UNITS = {quantity.name: quantity.result_unit for quantity in ALL_QUANTITIES}
_USUAL_PERCENTILES = (5, 25, 50, 75, 95)
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
BY = either(
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

PERCENTILES = Parameter(
    "percentiles",
    "Percentiles, whole numbers from 1 to 100; each is an observed value.",
    ",".join(map(str, _USUAL_PERCENTILES)),
    csv_pattern("100|[1-9][0-9]?"),
)

_WORKING_DAY = 4
"""The weekday that stands for Monday to Friday."""
_FIRST_WEEKDAY = 3
"""The weekday of the first day of 1970, a Thursday."""
_MONTHS = 12

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Profile:
    """A query for a column by local time of day, split by month or kind of day."""

    period: Period
    column: str
    by: str
    percentiles: tuple[int, ...]

    parameters: ClassVar[Sequence[Parameter]] = (
        *(_COLUMN, BY, PERCENTILES),
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
        column, by = _COLUMN.parse(params), BY.parse(params)
        return cls(Period.of(params), column, by, parse_percents(params.get("percentiles")))

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
        has_derived = self.column == POWER and await may_derive(engine, selection)
        times = _TimesOfDay(self, selection.zone, has_derived=has_derived)
        for part, seconds in selection.by_span():
            readings = selected_columns(engine, part, times.names, CATCH_UP)
            async with aclosing(readings):
                async for columns in readings:
                    await in_thread(times.add, columns, seconds)
        table = await times.rows()
        metadata: Metadata = {
            "column": self.column,
            **await quality_of(engine, selection),
            **(interval_note(selection) if has_derived or len(selection.lengths) > 1 else {}),
        }
        return ResultTable(self.fields, selection.zone, len(table), as_chunks(table), metadata)


class _TimesOfDay:
    """The quantities of a profile at each time of day of each split."""

    def __init__(self, profile: Profile, zone: TimeZone, *, has_derived: bool) -> None:
        self._column = profile.column
        self._zone = zone
        self._has_derived = has_derived
        """Whether readings may have a power that is derived from energy."""
        self._split = DaySplit(profile.by)
        days = [[self._split.of(month, day) for day in range(7)] for month in range(1, _MONTHS + 1)]
        self._splits = sorted({each for month in days for each in month})
        self._places = np.array([[self._splits.index(each) for each in month] for month in days])
        """The place of a day's split by month and weekday."""
        self._statistics = StatisticsByKey(profile.percentiles)
        self._without: set[int] = set()
        """Times at which there are readings without a quantity."""
        self._energies: dict[int, list[int | None]] = {}
        """Sums of energy and reactive energy."""
        self._nothing = (0, *([None] * (3 + len(profile.percentiles))))

    @property
    def names(self) -> Sequence[str]:
        """The columns that are needed."""
        if self._column == POWER_FACTOR:
            return (POWER_FACTOR, *_FACTOR_ENERGIES)
        return (POWER, "energy") if self._has_derived else (self._column,)

    def add(self, columns: Columns, seconds: int | None) -> None:
        """Take in readings that last so many seconds, which are in order and no catch-ups."""
        keys = self._keys(columns.utc)
        column = columns.quantities[self._column]
        is_known = column.present
        self._statistics.add(keys[is_known], column.only_known, seconds)
        if self._has_derived:
            energy = derived_column(columns, DERIVED_ENERGY)
            is_derived = energy.present
            if seconds is None:
                self._without.update(np.unique(keys[is_derived]).tolist())
            else:
                self._statistics.add(
                    *(keys[is_derived], energy.only_known, seconds), are_energies=True
                )
        if self._column == POWER_FACTOR:
            self._add_energies(keys, columns)

    async def rows(self) -> list[Row]:
        """Return the rows of all times, in order."""
        statistics = await self._statistics.all()
        keys = sorted({*statistics, *self._without, *self._energies})
        return [self._row(key, statistics.get(key)) async for key in in_turns(keys)]

    def _keys(self, utc: Integers) -> Integers:
        """Return numbers that tell the split and the time of day, in their order."""
        local = utc + self._zone.offsets(utc)
        days = local // DAY_SECONDS
        first = int(days.min())
        every = np.arange(first, int(days.max()) + 1)
        months = every.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % _MONTHS
        splits = self._places[months, (every + _FIRST_WEEKDAY) % 7]
        numbers: Integers = (splits[days - first] - days) * DAY_SECONDS + local
        return numbers

    def _add_energies(self, keys: Integers, columns: Columns) -> None:
        order = keys.argsort(kind="stable")
        keys = keys[order]
        starts = group_starts(keys)
        sums = (group_sums(columns.quantities[name][order], starts) for name in _FACTOR_ENERGIES)
        for key, *energies in zip(keys[starts].tolist(), *sums, strict=True):
            if any(energy is not None for energy in energies):
                before = self._energies.get(key, _NO_ENERGIES)
                self._energies[key] = [*map(_total, before, energies)]

    def _row(self, key: int, statistics: Statistics | None) -> Row:
        place, time = divmod(key, DAY_SECONDS)
        values = self._nothing
        if statistics is not None:
            values = (
                *(statistics.count, statistics.mean, statistics.least, statistics.greatest),
                *statistics.percentiles,
            )
        more: Row = ()
        if self._column == POWER:
            more = (statistics.derived if statistics else 0,)
        if self._column == POWER_FACTOR:
            more = (power_factor(*self._energies.get(key, _NO_ENERGIES)),)
        return (
            *self._split.named(self._splits[place]),
            f"{time // 3600:02}:{time // 60 % 60:02}:{time % 60:02}",
            *values,
            *more,
        )


def _total(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)


def nearest_rank(percent: int, count: int) -> int:
    """Return the rank of a percentile among sorted values: ceil(percent / 100 * count)."""
    return -(-percent * count // 100)


_SPLIT: dict[Field, Callable[[int, int], int]] = {
    _DAY_TYPE: lambda _, weekday: max(weekday, _WORKING_DAY),
    _WEEKDAY: lambda _, weekday: weekday,
    _MONTH: lambda month, _: month,
}
"""The value of each split field, by month and weekday, in the order of the result."""


@dataclass(frozen=True, slots=True)
class DaySplit:
    """How days are grouped, see `SPLITS`."""

    by: str

    def of(self, month: int, weekday: int) -> tuple[int, ...]:
        """Return the group of a day, in the order of the result; weekdays begin with Monday's 0."""
        return tuple(_SPLIT[each](month, weekday) for each in SPLITS[self.by])

    def named(self, group: Sequence[int]) -> Row:
        """Return the values of the fields of a group."""
        return tuple(
            _named(each, value) for each, value in zip(SPLITS[self.by], group, strict=True)
        )


def _named(field: Field, value: int) -> int | str:
    if field is _MONTH:
        return value
    if field is _DAY_TYPE and value == _WORKING_DAY:
        return "working_day"
    return _WEEKDAYS[value]


def parse_percents(text: str | None) -> tuple[int, ...]:
    """Return percentiles such as `5,50,95`, by default the usual ones; raise QueryError."""
    if text is None:
        return _USUAL_PERCENTILES
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
