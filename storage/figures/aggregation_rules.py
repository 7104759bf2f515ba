"""The aggregation rule of each column: its SQL aggregates, and the values made of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from domain.fixed_point import divide_rounded, power_factor, ratio
from domain.flags import FLAGS
from domain.quantities import QUANTITIES, AggregationRule, Quantity
from domain.readings_query import QueryError
from domain.record_layout import FLAGS_COLUMN
from storage.backends.derived import (
    CAPACITIVE_POWER,
    DERIVED_ENERGY,
    INDUCTIVE_POWER,
    derived_operand,
)
from storage.backends.dialect import ANY_VALUE, MAX_SECONDS, YEAR_0_TO_1970_SECONDS, Dialect
from storage.figures.result import Field, FieldType, Value

AggregatePart = tuple[str, str]
"""What the database computes: an aggregate function and its operand."""

PartValues = Sequence[int | None]
"""What it computed, in the order of its parts."""

HOUR_SECONDS = 3600

READINGS = "readings"
"""The table of readings in the statements that sum them up."""

SUM, COUNT, MIN, MAX, GREATEST = "SUM", "COUNT", "MIN", "MAX", "greatest"

FLAGGED: AggregatePart = (COUNT, "flags")
"""How many readings count as flagged."""

FLAG_PARTS: Sequence[AggregatePart] = tuple((COUNT, flag.name) for flag in FLAGS)
"""How many readings have each flag."""

PRESENT: AggregatePart = (COUNT, ANY_VALUE)
"""How many readings have any value."""

_DAY_COLUMNS: dict[AggregatePart, str] = {
    PRESENT: "present",
    FLAGGED: "flagged",
    (COUNT, "id"): "readings",
    (MIN, "utc"): "first_utc",
    (MAX, "utc"): "last_utc",
    **{(COUNT, flag.name): flag.name for flag in FLAGS},
}
"""The columns of the table `days` that are not named after a quantity and its aggregate."""

PartsByLength = Mapping[int | None, PartValues]
"""The parts of readings by the seconds of their interval, None if it is unknown."""

ValuesOf = Callable[[PartsByLength], Sequence[Value]]
"""Makes the values of fields from parts."""

_MERGED: dict[str, Callable[[Iterable[int]], int]] = {
    SUM: sum,
    COUNT: sum,
    MIN: min,
    MAX: max,
    GREATEST: max,
}


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
        parts_of = {
            column: [part for part in _parts(column) if has_derived or part[1] != DERIVED_ENERGY]
            for column in columns
        }
        self.parts = list(dict.fromkeys(part for parts in parts_of.values() for part in parts))
        self._values_of = [
            _values_of(column, [self.parts.index(part) for part in parts], self.parts)
            for column, parts in parts_of.items()
        ]

    @property
    def may_derive(self) -> bool:
        """Whether a value may be made of energies instead of measured powers."""
        return any(column == DERIVED_ENERGY for _, column in self.parts)

    def without_derived(self) -> "Measures":
        """Return the same columns, for readings all of whose powers were measured."""
        return Measures(self._columns, has_flags=self.has_flags, has_derived=False)

    def values(self, parts: PartsByLength) -> list[Value]:
        """Return the values of the fields; those that take an unknown interval are None.

        Means of readings of several intervals are those over time.
        """
        values: list[Value] = []
        for values_of in self._values_of:
            values += values_of(parts)
        return values


def parse_measures(text: str | None) -> Measures:
    """Parse columns such as `energy,power`, by default all; raise QueryError."""
    if text is None:
        return Measures(QUANTITIES)
    known = {column.name: column for column in QUANTITIES}
    names = [name.strip(" ") for name in text.split(",")]
    for name in names:
        if name not in known and name != FLAGS_COLUMN:
            raise QueryError(
                "columns",
                f"expected some of {', '.join((*known, FLAGS_COLUMN))}, got {name[:40]!a}",
            )
    return Measures(
        [column for column in QUANTITIES if column.name in names], has_flags=FLAGS_COLUMN in names
    )


def sql_expression(part: AggregatePart, dialect: Dialect) -> str:
    """Return the SQL of a part."""
    function, column = part
    if function == GREATEST:
        return dialect.max_with_time(column, dialect.year_0_seconds("utc"))
    operand = derived_operand(column, READINGS)
    return f"{function}({dialect.year_0_seconds(column) if column == 'utc' else operand})"


def day_expression(part: AggregatePart, dialect: Dialect) -> str:
    """Return the SQL of a part that the table `days` has for each day."""
    function, column = part
    if column == "utc":
        return dialect.year_0_seconds(_DAY_COLUMNS[part])
    if part in _DAY_COLUMNS:
        return _DAY_COLUMNS[part]
    if function == GREATEST:
        return dialect.with_time(column, dialect.year_0_seconds(f"{column}_utc"))
    return column if function == SUM else f"{column}_{function.lower()}"


def merge_parts(parts: Sequence[AggregatePart], values: Sequence[PartValues]) -> PartValues:
    """Merge the values of some readings with those of others."""
    if len(values) == 1:
        return values[0]
    merged: list[int | None] = []
    for (function, _), column in zip(parts, zip(*values, strict=True), strict=True):
        known = [value for value in column if value is not None]
        merged.append(_MERGED[function](known) if known else None)
    return merged


def split_max(number: int | None) -> tuple[int | None, int | None]:
    """Return the greatest quantity and the first time it was reached."""
    if number is None:
        return None, None
    quantity, rest = divmod(number, MAX_SECONDS)
    return quantity, MAX_SECONDS - 1 - rest - YEAR_0_TO_1970_SECONDS


def mean(total: int | None, count: int | None) -> int | None:
    """Return the mean, a half rounded away from zero."""
    if total is None or not count:
        return None
    return (2 * total + count) // (2 * count) if total >= 0 else divide_rounded(total, count)


def power_of(energy: int | None, interval: int | None) -> int | None:
    """Return energy over the hours of its interval, in kW, scaled; None if either is unknown."""
    if energy is None or not interval:
        return None
    return divide_rounded(energy * HOUR_SECONDS, interval)


def mean_over_time(
    parts: PartsByLength, total: int, count: int, energy: int | None = None, number: int = 0
) -> int | None:
    """Return the mean of a quantity of which the total and the count are at some positions.

    That of power is also of the powers that energies, of such a number, give over their intervals.
    The mean of readings of known and of unknown interval is unknown.
    """
    if len(parts) == 1 and energy is None:
        (values,) = parts.values()
        return mean(values[total], values[count])
    weighed = weight = 0
    unknown: tuple[int | None, int | None] | None = None
    for seconds, values in parts.items():
        if seconds is not None:
            weighed += (values[total] or 0) * seconds
            weight += (values[count] or 0) * seconds
            if energy is not None:
                weighed += (values[energy] or 0) * HOUR_SECONDS
                weight += (values[number] or 0) * seconds
        elif values[count] or (energy is not None and values[number]):
            unknown = values[total], values[count]
    if unknown is None:
        return mean(weighed, weight)
    return None if weight else mean(*unknown)


def reactive_energy(parts: PartsByLength, power: int) -> int | None:
    """Return reactive powers times the hours of their intervals, in kVArh, scaled.

    Their sums are at a position; None if an interval is unknown.
    """
    over_time: int | None = None
    for seconds, values in parts.items():
        total = values[power]
        if total is not None:
            if seconds is None:
                return None
            over_time = (over_time or 0) + total * seconds
    return None if over_time is None else divide_rounded(over_time, HOUR_SECONDS)


def _values_of(column: Quantity, at: Sequence[int], all_parts: Sequence[AggregatePart]) -> ValuesOf:
    """Return what makes the values of a column's fields from the parts at some positions."""

    def merged(parts: PartsByLength, *places: int) -> PartValues:
        return _merged(all_parts, parts, places)

    def ratios(parts: PartsByLength) -> Sequence[Value]:
        *sums, factors, known = at
        active, reactive = merged(parts, *sums)
        mean_factor = mean_over_time(parts, factors, known)
        return power_factor(active, reactive), mean_factor, ratio(reactive, active)

    def levels(parts: PartsByLength) -> Sequence[Value]:
        total, count, least, most, *_ = at
        return (mean_over_time(parts, total, count), *merged(parts, least, most))

    match column.rule:
        case AggregationRule.TOTAL:
            return lambda parts: merged(parts, *at)
        case AggregationRule.DEMAND:
            return lambda parts: split_max(*merged(parts, *at))
        case AggregationRule.RATIO:
            return ratios
    derived = at[4:]
    if column.name == "power":
        return lambda parts: _powers(parts, at) if derived else (*levels(parts), 0)
    return lambda parts: (*levels(parts), *(reactive_energy(parts, place) for place in derived))


def _merged(
    all_parts: Sequence[AggregatePart], parts: PartsByLength, places: Sequence[int]
) -> PartValues:
    """Return the values at some positions, whatever the length."""
    if len(parts) == 1:
        (values,) = parts.values()
        return [values[place] for place in places]
    some = [[values[place] for place in places] for values in parts.values()]
    return merge_parts([all_parts[place] for place in places], some)


def _powers(parts: PartsByLength, at: Sequence[int]) -> Sequence[Value]:
    total, count, least, most, energy, number, energy_least, energy_most = at
    leasts = [values[least] for values in parts.values()]
    leasts += [power_of(values[energy_least], seconds) for seconds, values in parts.items()]
    mosts = [values[most] for values in parts.values()]
    mosts += [power_of(values[energy_most], seconds) for seconds, values in parts.items()]
    return (
        mean_over_time(parts, total, count, energy, number),
        min((value for value in leasts if value is not None), default=None),
        max((value for value in mosts if value is not None), default=None),
        sum(values[number] or 0 for seconds, values in parts.items() if seconds is not None),
    )


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

REACTIVE_FIELDS = (
    Field(
        "reactive_energy_inductive",
        FieldType.QUANTITY,
        "Positive reactive power times the interval, sum (kVArh)",
        "kVArh",
    ),
    Field(
        "reactive_energy_capacitive",
        FieldType.QUANTITY,
        "Negative reactive power times the interval, sum, without the sign (kVArh)",
        "kVArh",
    ),
)
POWER_DERIVED = Field(
    "power_derived",
    FieldType.COUNT,
    "Readings whose power was not measured: it is energy over the hours of the interval",
)
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
