"""The parts that figures are made of: aggregates of readings, and how to merge them."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from domain.fixed_point import divide_rounded
from domain.flags import FLAGS, Flag
from domain.time.time_zone import HOUR_SECONDS
from storage.backends.dialect import ANY_VALUE, MAX_SECONDS, YEAR_0_TO_1970_SECONDS, Dialect
from storage.figures.result import Field, FieldType

AggregatePart = tuple[str, str]
"""What figures are made of: an aggregate function and its operand."""

PartValues = Sequence[int | None]
"""The values of some parts, in their order."""

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

_MERGED: dict[str, Callable[[Iterable[int]], int]] = {
    SUM: sum,
    COUNT: sum,
    MIN: min,
    MAX: max,
    GREATEST: max,
}


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
