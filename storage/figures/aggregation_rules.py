"""The aggregation rule of each column: its SQL aggregates, and the values made of them."""

from collections.abc import Callable, Iterable, Sequence

from domain.fixed_point import divide_rounded, power_factor
from domain.flags import FLAGS
from domain.quantities import QUANTITIES, AggregationRule, Quantity
from domain.readings_query import QueryError
from storage.backends.dialect import ANY_VALUE, MAX_SECONDS, YEAR_0_TO_1970_SECONDS, Dialect
from storage.figures.result import Field, FieldType, Value

AggregatePart = tuple[str, str]
"""What the database computes: an aggregate function and its operand."""

PartValues = Sequence[int | None]
"""What it computed, in the order of its parts."""

SUM, COUNT, MIN, MAX, GREATEST = "SUM", "COUNT", "MIN", "MAX", "greatest"

FLAGGED: AggregatePart = (COUNT, "flags")
"""How many readings count as flagged."""

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

_MERGED: dict[str, Callable[[Iterable[int]], int]] = {
    SUM: sum,
    COUNT: sum,
    MIN: min,
    MAX: max,
    GREATEST: max,
}


class Measures:
    """The columns of a query: the aggregates they need, and the fields they give."""

    def __init__(self, columns: Sequence[Quantity]) -> None:
        self._columns = columns
        self.key = ",".join(column.name for column in columns)
        self.fields = [field for column in columns for field in _fields(column)]
        self.parts = list(dict.fromkeys(part for column in columns for part in _parts(column)))
        self._values_of = [
            _VALUES_OF[column.rule](*[self.parts.index(part) for part in _parts(column)])
            for column in columns
        ]

    @property
    def mean_parts(self) -> Sequence[int]:
        """The places of the parts that means are made of."""
        return [
            self.parts.index((function, column.name))
            for column in self._columns
            if column.rule is AggregationRule.LEVEL
            for function in (SUM, COUNT)
        ]

    def values(self, parts: PartValues) -> list[Value]:
        """Return the values of the fields."""
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
        if name not in known:
            raise QueryError("columns", f"expected some of {', '.join(known)}, got {name[:40]!a}")
    return Measures([column for column in QUANTITIES if column.name in names])


def sql_expression(part: AggregatePart, dialect: Dialect) -> str:
    """Return the SQL of a part."""
    function, column = part
    if function == GREATEST:
        return dialect.max_with_time(column, dialect.year_0_seconds("utc"))
    return f"{function}({dialect.year_0_seconds(column) if column == 'utc' else column})"


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


_VALUES_OF: dict[AggregationRule, Callable[..., Callable[[PartValues], Sequence[Value]]]] = {
    AggregationRule.TOTAL: lambda total: lambda parts: (parts[total],),
    AggregationRule.LEVEL: lambda total, count, least, most: (
        lambda parts: (
            mean(parts[total], parts[count]),
            parts[least],
            parts[most],
        )
    ),
    AggregationRule.DEMAND: lambda index: lambda parts: split_max(parts[index]),
    AggregationRule.RATIO: lambda active, reactive: (
        lambda parts: (power_factor(parts[active], parts[reactive]),)
    ),
}
"""Makes the values of a column's fields from the parts at some positions."""


def _parts(column: Quantity) -> list[AggregatePart]:
    match column.rule:
        case AggregationRule.TOTAL:
            return [(SUM, column.name)]
        case AggregationRule.LEVEL:
            return [(function, column.name) for function in (SUM, COUNT, MIN, MAX)]
        case AggregationRule.DEMAND:
            return [(GREATEST, column.name)]
        case AggregationRule.RATIO:
            return [(SUM, "energy"), (SUM, "reactive_energy")]


def _fields(column: Quantity) -> list[Field]:
    name, title, unit = column.name, column.title, column.unit

    def quantity(suffix: str, means: str) -> Field:
        return Field(name + suffix, FieldType.QUANTITY, means)

    match column.rule:
        case AggregationRule.TOTAL:
            return [quantity("", f"{title}, sum ({unit})")]
        case AggregationRule.LEVEL:
            return [
                quantity("_mean", f"{title}, mean, nulls ignored ({unit})"),
                quantity("_min", f"{title}, minimum ({unit})"),
                quantity("_max", f"{title}, maximum ({unit})"),
            ]
        case AggregationRule.DEMAND:
            return [
                quantity("", f"{title}, maximum ({unit})"),
                Field(f"{name}_date", FieldType.INSTANT, f"{title}: the first reading with it"),
            ]
        case AggregationRule.RATIO:
            return [
                quantity("_of_energy", "Active over apparent energy, of the interval's sums (Fi)")
            ]
