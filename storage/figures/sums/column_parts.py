"""The parts of figures, see `AggregatePart`, of groups of readings as arrays."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from domain.columns import Column, Columns, Integers
from domain.flags import FLAGGED_BITS, FLAGS
from domain.quantities import ALL_QUANTITY_NAMES
from storage.backends.dialect import ANY_VALUE, MAX_SECONDS, YEAR_0_TO_1970_SECONDS
from storage.columns.aggregates import (
    as_list,
    counts,
    first_greatest,
    group_sizes,
    integers,
    maxima,
    minima,
    sums,
)
from storage.columns.derived import SOURCES, derived_column
from storage.figures.aggregation_rules import (
    COUNT,
    FLAGGED,
    GREATEST,
    MAX,
    MIN,
    SUM,
    AggregatePart,
    PartValues,
    flag_part,
    split_max,
)

Parts = Mapping[AggregatePart, Column]
"""The value of each part for each of some groups."""

GREATEST_AT = "greatest at"
"""The function of a further part beside each `GREATEST`: when that was first."""

_FUNCTIONS = {SUM: sums, COUNT: counts, MIN: minima, MAX: maxima}
_MERGED = {SUM: sums, COUNT: sums, MIN: minima, MAX: maxima}

_FLAG_BITS = {FLAGGED: FLAGGED_BITS, **{flag_part(flag): flag.bit for flag in FLAGS}}


def at_of(part: AggregatePart) -> AggregatePart:
    """Return the part that is when the greatest value of another was."""
    return GREATEST_AT, part[1]


def part_names(parts: Iterable[AggregatePart]) -> list[str]:
    """Return the names of the columns that parts are made of, see `read_columns`."""
    names = [name for _, operand in parts for name in SOURCES.get(operand, (operand,))]
    return [name for name in dict.fromkeys(names) if name in (*ALL_QUANTITY_NAMES, ANY_VALUE)]


def parts_of(columns: Columns, starts: Integers, parts: Iterable[AggregatePart]) -> Parts:
    """Return the parts of groups of readings, which are in the order of time, by their starts."""
    found: dict[AggregatePart, Column] = {}
    quantities: dict[str, Column] = {}
    for part in parts:
        function, operand = part
        if part in _FLAG_BITS:
            found[part] = _flagged(columns, starts, _FLAG_BITS[part])
        elif operand == "id":
            found[part] = Column(group_sizes(starts, len(columns)))
        else:
            if operand not in quantities:
                quantities[operand] = _operand(columns, operand)
            column = quantities[operand]
            if function == GREATEST:
                places = first_greatest(column, starts)
                found[part] = column[places]
                found[at_of(part)] = Column(columns.utc[places], found[part].known)
            else:
                found[part] = _FUNCTIONS[function](column, starts)
    return found


def joined_parts(several: Sequence[Parts]) -> Parts:
    """Return the parts of several sequences of groups, one after the other."""
    if len(several) == 1:
        return several[0]
    return {part: Column.joined([each[part] for each in several]) for part in several[0]}


def merged_parts(parts: Parts, starts: Integers) -> Parts:
    """Return the parts of groups that are made of neighbouring ones, by the first of each."""
    if not parts or len(starts) == len(next(iter(parts.values())).values):
        return parts
    found: dict[AggregatePart, Column] = {}
    for part, column in parts.items():
        if part[0] == GREATEST:
            places = first_greatest(column, starts)
            found[part], found[at_of(part)] = column[places], parts[at_of(part)][places]
        elif part[0] != GREATEST_AT:
            found[part] = _MERGED[part[0]](column, starts)
    return found


def spread(parts: Parts, places: Integers, length: int) -> Parts:
    """Return the parts of so many groups, some of which are given; the others have no readings."""
    if len(places) == length:
        return parts
    found: dict[AggregatePart, Column] = {}
    for part, column in parts.items():
        values = np.zeros(length, column.values.dtype)
        values[places] = column.values
        known = None
        if part[0] != COUNT:
            known = np.zeros(length, bool)
            known[places] = column.present
        found[part] = Column(values, known)
    return found


def part_values(parts: Parts, wanted: Sequence[AggregatePart]) -> list[PartValues]:
    """Return the same as rows, one for each group, in which a greatest value has its time."""
    columns = []
    for part in wanted:
        values = as_list(parts[part])
        if part[0] == GREATEST:
            times = as_list(parts[at_of(part)])
            values = [_with_time(*each) for each in zip(values, times, strict=True)]
        columns.append(values)
    return [*zip(*columns, strict=True)]


def of_part_values(rows: Sequence[PartValues], parts: Sequence[AggregatePart]) -> Parts:
    """Return parts for what `part_values` returns."""
    found: dict[AggregatePart, Column] = {}
    for part, values in zip(parts, zip(*rows, strict=True), strict=True):
        if part[0] == GREATEST:
            split = [split_max(value) for value in values]
            found[part] = _column([value for value, _ in split])
            found[at_of(part)] = _column([at for _, at in split])
        elif part[0] == COUNT:
            found[part] = _column([value or 0 for value in values])
        else:
            found[part] = _column(values)
    return found


def _column(values: Sequence[int | None]) -> Column:
    known = None if None not in values else np.array([value is not None for value in values])
    return Column(integers([value or 0 for value in values]), known)


def _operand(columns: Columns, name: str) -> Column:
    """Return what an aggregate is of."""
    if name == "utc":
        return Column(columns.utc)
    return derived_column(columns, name)


def _flagged(columns: Columns, starts: Integers, bits: int) -> Column:
    is_flagged = (columns.flags & np.uint8(bits)) != 0
    if not is_flagged.any():
        return Column(np.zeros(len(starts), np.int64))
    return counts(Column(columns.utc, is_flagged), starts)


def _with_time(value: int | None, at: int | None) -> int | None:
    """Return a number that `split_max` splits."""
    if value is None or at is None:
        return None
    return value * MAX_SECONDS + MAX_SECONDS - 1 - at - YEAR_0_TO_1970_SECONDS
