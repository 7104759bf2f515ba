"""The aggregation rule of each column: its SQL aggregates, and the values made of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from domain.fixed_point import divide_rounded, power_factor, ratio
from domain.flags import FLAGS, Flag
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


def flag_part(flag: Flag) -> AggregatePart:
    """Return the part that counts the readings with a flag."""
    return COUNT, flag.name


FLAG_PARTS: Sequence[AggregatePart] = tuple(map(flag_part, FLAGS))
"""How many readings have each flag."""

PRESENT: AggregatePart = (COUNT, ANY_VALUE)
"""How many readings have any value."""

_DAY_COLUMNS: dict[AggregatePart, str] = {
    PRESENT: "present",
    FLAGGED: "flagged",
    (COUNT, "id"): "readings",
    (MIN, "utc"): "first_utc",
    (MAX, "utc"): "last_utc",
    **{flag_part(flag): flag.name for flag in FLAGS},
}
"""The columns of the table `days` that are not named after a quantity and its aggregate."""

PartsByLength = Mapping[int | None, PartValues]
"""The parts of readings by the seconds of their interval, None if it is unknown."""

ValuesOf = Callable[[PartValues, PartsByLength], Sequence[Value]]
"""Makes the values of fields from the parts of all readings, and from the same by their length."""

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
            _values_of(column, [self.parts.index(part) for part in parts])
            for column, parts in parts_of.items()
        ]

    @property
    def may_derive(self) -> bool:
        """Whether a value may be made of energies instead of measured powers."""
        return any(column == DERIVED_ENERGY for _, column in self.parts)

    def without_derived(self) -> "Measures":
        """Return the same columns, for readings all of whose powers were measured."""
        return Measures(self._columns, has_flags=self.has_flags, has_derived=False)

    def values(self, parts: PartValues, by_length: PartsByLength) -> list[Value]:
        """Return the values of the fields; those that take an unknown interval are None.

        The parts are those of all readings. Means of several intervals are those over time.
        """
        values: list[Value] = []
        for values_of in self._values_of:
            values += values_of(parts, by_length)
        return values


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


def sql_expression(part: AggregatePart, dialect: Dialect) -> str:
    """Return the SQL of a part."""
    function, column = part
    if function == GREATEST:
        return dialect.max_with_time(column, dialect.year_0_seconds("utc"))
    operand = derived_operand(column, READINGS)
    return f"{function}({dialect.unix_seconds(column) if column == 'utc' else operand})"


def day_expression(part: AggregatePart, dialect: Dialect) -> str:
    """Return the SQL of a part that the table `days` has for each day."""
    function, column = part
    if column == "utc":
        return dialect.unix_seconds(_DAY_COLUMNS[part])
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


def mean_over_time(by_length: PartsByLength, total: int, count: int) -> int | None:
    """Return the mean of a quantity of which the total and the count are at some positions.

    That of readings of known and of unknown interval is unknown.
    """
    if len(by_length) == 1:
        (values,) = by_length.values()
        return mean(values[total], values[count])
    known = {length: values for length, values in by_length.items() if values[count]}
    if None in known:
        return mean(known[None][total], known[None][count]) if len(known) == 1 else None
    weighed = weight = 0
    for seconds, values in known.items():
        weighed += (values[total] or 0) * (seconds or 0)
        weight += (values[count] or 0) * (seconds or 0)
    return mean(weighed, weight)


def reactive_energy(by_length: PartsByLength, power: int) -> int | None:
    """Return reactive powers times the hours of their intervals, in kVArh, scaled.

    Their sums are at a position; None if an interval is unknown.
    """
    over_time: int | None = None
    for seconds, values in by_length.items():
        total = values[power]
        if total is not None:
            if seconds is None:
                return None
            over_time = (over_time or 0) + total * seconds
    return None if over_time is None else divide_rounded(over_time, HOUR_SECONDS)


def _values_of(column: Quantity, at: Sequence[int]) -> ValuesOf:
    """Return what makes the values of a column's fields from the parts at some positions."""
    match column.rule:
        case AggregationRule.TOTAL | AggregationRule.DEMAND:
            (only,) = at
            if column.rule is AggregationRule.TOTAL:
                return lambda parts, _: (parts[only],)
            return lambda parts, _: split_max(parts[only])
        case AggregationRule.RATIO:
            energy, reactive, factors, known = at
            return lambda parts, by_length: (
                power_factor(parts[energy], parts[reactive]),
                mean_over_time(by_length, factors, known),
                ratio(parts[reactive], parts[energy]),
            )
    total, count, least, most, *others = at

    def levels(parts: PartValues, by_length: PartsByLength) -> Sequence[Value]:
        if len(by_length) == 1:
            return mean(parts[total], parts[count]), parts[least], parts[most]
        return mean_over_time(by_length, total, count), parts[least], parts[most]

    if column.name == "power":
        derived = others[0] if others else None
        return lambda parts, by_length: (
            (*levels(parts, by_length), 0)
            if derived is None or parts[derived] is None
            else _powers(parts, by_length, at)
        )
    if not others:
        return levels
    inductive, capacitive = others
    return lambda parts, by_length: (
        *levels(parts, by_length),
        reactive_energy(by_length, inductive),
        reactive_energy(by_length, capacitive),
    )


def _powers(parts: PartValues, by_length: PartsByLength, at: Sequence[int]) -> Sequence[Value]:
    """Return the mean, the least and the greatest power, and how many were made of energies."""
    total, count, least, most, energy, number, energy_least, energy_most = at
    leasts, mosts = [parts[least]], [parts[most]]
    weighed = weight = derived = 0
    for seconds, values in by_length.items():
        if seconds is not None:
            weighed += (values[total] or 0) * seconds + (values[energy] or 0) * HOUR_SECONDS
            weight += ((values[count] or 0) + (values[number] or 0)) * seconds
            derived += values[number] or 0
            leasts.append(power_of(values[energy_least], seconds))
            mosts.append(power_of(values[energy_most], seconds))
    average = mean(weighed, weight)
    unknown = by_length.get(None)
    if unknown is not None and (unknown[count] or unknown[number]):
        average = None if weight else mean(unknown[total], unknown[count])
    return (
        average,
        min((value for value in leasts if value is not None), default=None),
        max((value for value in mosts if value is not None), default=None),
        derived,
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
