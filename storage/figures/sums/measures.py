"""The columns of a query: what each is aggregated to, and the values made of the parts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domain.columns import Column, Integers
from domain.quantities import QUANTITIES, AggregationRule, Quantity
from domain.readings_query import QueryError
from domain.record_layout import FLAGS_COLUMN
from domain.time.time_zone import HOUR_SECONDS
from storage.backends.derived import CAPACITIVE_POWER, DERIVED_ENERGY, INDUCTIVE_POWER
from storage.columns.aggregates import as_list, maxima, minima, sums
from storage.columns.arithmetic import (
    added,
    greatest,
    least,
    means,
    power_factors,
    product,
    quotient,
    ratios,
)
from storage.figures.aggregation_rules import (
    COUNT,
    GREATEST,
    MAX,
    MIN,
    POWER_DERIVED,
    REACTIVE_FIELDS,
    SUM,
    AggregatePart,
    PartsByLength,
)
from storage.figures.result import Field, FieldType, Value
from storage.figures.sums.column_parts import Parts, at_of, merged_parts, of_part_values


@dataclass(frozen=True, slots=True)
class BucketParts:
    """The parts of the readings of some buckets."""

    whole: Parts
    """Those of all readings of a bucket."""
    by_length: Parts
    """Those of its readings of one interval."""
    seconds: Integers
    """The interval of each of these groups, 0 if it is unknown."""
    starts: Integers
    """Where the groups of each bucket begin."""

    @classmethod
    def of(cls, by_length: Parts, seconds: Integers, starts: Integers) -> "BucketParts":
        """Merge the parts of the intervals of each bucket."""
        return cls(merged_parts(by_length, starts), by_length, seconds, starts)

    @property
    def is_uniform(self) -> bool:
        """Whether the readings of each bucket have one interval."""
        return len(self.starts) == len(self.seconds)

    def over(self, values: Integers) -> Integers:
        """Return the sums over the intervals of each bucket."""
        return values if self.is_uniform else sums(Column(values), self.starts).values


class Measures:
    """The columns of a query: the aggregates they need, and the fields they give."""

    def __init__(
        self, columns: Sequence[Quantity], *, has_flags: bool = False, has_derived: bool = True
    ) -> None:
        self.has_flags = has_flags
        """Whether readings with each flag are counted too."""
        self.has_energy = any(column.name == "energy" for column in columns)
        names = [column.name for column in columns]
        self.key = ",".join([*names, FLAGS_COLUMN] if has_flags else names)
        self.fields = [field for column in columns for field in _fields(column)]
        self._columns = columns
        parts = (part for column in columns for part in _parts(column))
        self.parts = list(
            dict.fromkeys(part for part in parts if has_derived or part[1] != DERIVED_ENERGY)
        )

    @property
    def may_derive(self) -> bool:
        """Whether a value may be made of energies instead of measured powers."""
        return any(column == DERIVED_ENERGY for _, column in self.parts)

    def without_derived(self) -> "Measures":
        """Return the same columns, for readings all of whose powers were measured."""
        return Measures(self._columns, has_flags=self.has_flags, has_derived=False)

    def columns(self, buckets: BucketParts) -> list[Column]:
        """Return the values of the fields; those that take an unknown interval are missing.

        Means of several intervals are those over time.
        """
        return [
            values
            for column in self._columns
            for values in _VALUES.get(column.name, _BY_RULE[column.rule])(column.name, buckets)
        ]

    def values(self, by_length: PartsByLength) -> list[Value]:
        """Return the same for one bucket, by the intervals of its readings."""
        parts = of_part_values([*by_length.values()], self.parts)
        seconds = np.array([length or 0 for length in by_length])
        buckets = BucketParts.of(parts, seconds, np.zeros(1, np.int64))
        return [as_list(column)[0] for column in self.columns(buckets)]


def parse_measures(text: str | None, quantities: Sequence[Quantity] = QUANTITIES) -> Measures:
    """Parse columns such as `energy,power` of some quantities; raise QueryError.

    By default these are all but the exported ones.
    """
    if text is None:
        return Measures(QUANTITIES)
    known = {column.name: column for column in quantities}
    names = [name.strip(" ") for name in text.split(",")]
    for name in names:
        if name not in known and name != FLAGS_COLUMN:
            raise QueryError(
                "columns",
                f"expected some of {', '.join((*known, FLAGS_COLUMN))}, got {name[:40]!a}",
            )
    return Measures(
        [column for column in quantities if column.name in names], has_flags=FLAGS_COLUMN in names
    )


def _total(name: str, buckets: BucketParts) -> Iterator[Column]:
    yield buckets.whole[SUM, name]


def _demand(name: str, buckets: BucketParts) -> Iterator[Column]:
    yield buckets.whole[GREATEST, name]
    yield buckets.whole[at_of((GREATEST, name))]


def _level(name: str, buckets: BucketParts) -> Iterator[Column]:
    yield _mean_over_time(name, buckets)
    yield buckets.whole[MIN, name]
    yield buckets.whole[MAX, name]


def _reactive_power(name: str, buckets: BucketParts) -> Iterator[Column]:
    yield from _level(name, buckets)
    for kind in (INDUCTIVE_POWER, CAPACITIVE_POWER):
        yield _times_hours(kind, buckets)


def _power(name: str, buckets: BucketParts) -> Iterator[Column]:
    """Yield the mean, the least and the greatest power, and how many were made of energies."""
    groups, seconds = buckets.by_length, buckets.seconds
    if (SUM, DERIVED_ENERGY) not in groups or not groups[COUNT, DERIVED_ENERGY].values.any():
        yield from _level(name, buckets)
        yield Column(np.zeros(len(buckets.starts), np.int64))
        return
    is_known = seconds > 0
    powers, energies = groups[SUM, name].values, groups[SUM, DERIVED_ENERGY].values
    number = groups[COUNT, DERIVED_ENERGY].values
    counts = groups[COUNT, name].values + number
    # Both times the seconds of an interval, those of unknown ones being 0.
    weighed = product(powers, seconds)
    weighed = added(weighed, product(np.where(is_known, energies, 0), HOUR_SECONDS))
    average = means(buckets.over(weighed), buckets.over(product(counts, seconds)))
    if not is_known.all():
        unknown = buckets.over(np.where(is_known, 0, counts))
        measured = buckets.over(np.where(is_known, 0, groups[COUNT, name].values))
        only_unknown = means(buckets.over(np.where(is_known, 0, powers)), measured)
        average = Column(
            np.where(unknown > 0, only_unknown.values, average.values),
            np.where(unknown > 0, only_unknown.present & ~average.present, average.present),
        )
    yield average
    yield least(buckets.whole[MIN, name], _derived_power(MIN, minima, buckets))
    yield greatest(buckets.whole[MAX, name], _derived_power(MAX, maxima, buckets))
    yield Column(buckets.over(np.where(is_known, number, 0)))


def _derived_power(
    function: str, extreme: Callable[[Column, Integers], Column], buckets: BucketParts
) -> Column:
    """Return the least or greatest power that was made of an energy."""
    energies, seconds = buckets.by_length[function, DERIVED_ENERGY], buckets.seconds
    powers = quotient(product(energies.values, HOUR_SECONDS), np.maximum(seconds, 1))
    return extreme(Column(powers, energies.present & (seconds > 0)), buckets.starts)


def _power_factor(name: str, buckets: BucketParts) -> Iterator[Column]:
    active, reactive = buckets.whole[SUM, "energy"], buckets.whole[SUM, "reactive_energy"]
    yield power_factors(active, reactive)
    yield _mean_over_time(name, buckets)
    yield ratios(reactive, active)


def _mean_over_time(name: str, buckets: BucketParts) -> Column:
    """Return the mean of a quantity; that of readings of known and unknown interval is missing."""
    totals, counts = buckets.by_length[SUM, name].values, buckets.by_length[COUNT, name].values
    if buckets.is_uniform:
        return means(totals, counts)
    seconds = np.maximum(buckets.seconds, 1)
    weighed, weight = product(totals, seconds), product(counts, seconds)
    average = means(buckets.over(weighed), buckets.over(weight))
    is_unknown = buckets.seconds == 0
    if not is_unknown.any():
        return average
    unknown = buckets.over(np.where(is_unknown, counts, 0))
    known = buckets.over(np.where(is_unknown, 0, counts))
    return Column(average.values, average.present & ((unknown == 0) | (known == 0)))


def _times_hours(name: str, buckets: BucketParts) -> Column:
    """Return powers times the hours of their intervals, missing if one of these is unknown."""
    powers, seconds = buckets.by_length[SUM, name], buckets.seconds
    over_time = quotient(buckets.over(product(powers.values, seconds)), HOUR_SECONDS)
    is_unknown = powers.present & (seconds == 0)
    known = buckets.whole[SUM, name].present & (buckets.over(is_unknown.astype(np.int64)) == 0)
    return Column(over_time, known)


_Values = Callable[[str, BucketParts], Iterator[Column]]

_BY_RULE: Mapping[AggregationRule, _Values] = {
    AggregationRule.TOTAL: _total,
    AggregationRule.LEVEL: _level,
    AggregationRule.DEMAND: _demand,
    AggregationRule.RATIO: _power_factor,
}
_VALUES: Mapping[str, _Values] = {"power": _power, "reactive_power": _reactive_power}
"""The quantities that others are derived of."""


def _parts(column: Quantity) -> list[AggregatePart]:
    match column.rule:
        case AggregationRule.TOTAL:
            return [(SUM, column.name)]
        case AggregationRule.LEVEL:
            level = [(function, column.name) for function in (SUM, COUNT, MIN, MAX)]
            return level + _DERIVED_PARTS.get(column.name, [])
        case AggregationRule.DEMAND:
            return [(GREATEST, column.name)]
        case AggregationRule.RATIO:
            return [
                *((SUM, "energy"), (SUM, "reactive_energy")),
                *((SUM, column.name), (COUNT, column.name)),
            ]


_DERIVED_PARTS: dict[str, list[AggregatePart]] = {
    "power": [(function, DERIVED_ENERGY) for function in (SUM, COUNT, MIN, MAX)],
    "reactive_power": [(SUM, INDUCTIVE_POWER), (SUM, CAPACITIVE_POWER)],
}
"""What else is summed up with a quantity."""

_DERIVED_FIELDS = {"power": [POWER_DERIVED], "reactive_power": [*REACTIVE_FIELDS]}


def _fields(column: Quantity) -> list[Field]:
    name, title, unit = column.name, column.title, column.unit

    def quantity(suffix: str, means: str, own_unit: str = column.result_unit) -> Field:
        return Field(name + suffix, FieldType.QUANTITY, means, own_unit)

    match column.rule:
        case AggregationRule.TOTAL:
            return [quantity("", f"{title}, sum ({unit})")]
        case AggregationRule.LEVEL:
            return [
                quantity("_mean", f"{title}, mean, nulls ignored ({unit})"),
                quantity("_min", f"{title}, minimum ({unit})"),
                quantity("_max", f"{title}, maximum ({unit})"),
                *_DERIVED_FIELDS.get(name, []),
            ]
        case AggregationRule.DEMAND:
            return [
                quantity("", f"{title}, maximum ({unit})"),
                Field(f"{name}_date", FieldType.INSTANT, f"{title}: the first reading with it"),
            ]
        case AggregationRule.RATIO:
            return [
                quantity(
                    "_of_energy",
                    "Power factor from energy: kWh over the root of kWh² + kVArh² of the sums",
                ),
                quantity("_mean", "Power factor, mean of the meter's own values, nulls ignored"),
                Field(
                    "reactive_energy_ratio",
                    FieldType.QUANTITY,
                    "Reactive energy over energy, of the sums (kVArh/kWh)",
                    "kVArh/kWh",
                ),
            ]
