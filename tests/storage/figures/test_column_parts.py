"""Parts of groups of readings from their columns are those of plain reckoning."""

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.columns import Column, Columns
from domain.flags import CATCH_UP, FLAGGED_BITS, ZERO_VOLTAGE
from storage.backends.derived import CAPACITIVE_POWER, DERIVED_ENERGY, INDUCTIVE_POWER
from storage.backends.dialect import ANY_VALUE
from storage.columns.aggregates import as_list
from storage.figures.aggregation_rules import (
    COUNT,
    FLAGGED,
    GREATEST,
    MAX,
    MIN,
    PRESENT,
    SUM,
    AggregatePart,
    flag_part,
    merge_parts,
)
from storage.figures.sums.column_parts import (
    at_of,
    joined_parts,
    merged_parts,
    of_part_values,
    part_names,
    part_values,
    parts_of,
    spread,
)

PARTS: list[AggregatePart] = [
    *((COUNT, "id"), (MIN, "utc"), (MAX, "utc"), PRESENT, FLAGGED, flag_part(ZERO_VOLTAGE)),
    *((function, "power") for function in (SUM, COUNT, MIN, MAX)),
    *((function, DERIVED_ENERGY) for function in (SUM, COUNT, MIN, MAX)),
    *((SUM, INDUCTIVE_POWER), (SUM, CAPACITIVE_POWER), (GREATEST, "maximeter")),
]


@dataclass(frozen=True)
class Reading:
    group: int
    at: int
    flags: int
    values: dict[str, int] = field(default_factory=dict)

    def operand(self, name: str) -> int | None:
        power, reactive = self.values.get("power"), self.values.get("reactive_power")
        if name == DERIVED_ENERGY:
            is_derived = power is None and not self.flags & CATCH_UP.bit
            return self.values.get("energy") if is_derived else None
        if name in (INDUCTIVE_POWER, CAPACITIVE_POWER):
            if reactive is None or (power is not None and power < 0):
                return None
            return max(reactive if name == INDUCTIVE_POWER else -reactive, 0)
        if name == ANY_VALUE:
            return 0 if self.values else None
        return self.at if name == "utc" else self.values.get(name)


amounts = st.one_of(st.integers(-3, 3), st.integers(-(10**15), 10**15))
readings_of_groups = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from([0, 0, CATCH_UP.bit, ZERO_VOLTAGE.bit, CATCH_UP.bit | ZERO_VOLTAGE.bit]),
        st.dictionaries(
            st.sampled_from(["energy", "power", "reactive_power", "maximeter", "exported_energy"]),
            amounts,
        ),
    ),
    min_size=1,
    max_size=30,
).map(
    lambda drawn: [
        Reading(sum(step for step, *_ in drawn[: place + 1]), 900 * place, flags, values)
        for place, (_, flags, values) in enumerate(drawn)
    ]
)


def columns_of(readings: list[Reading]) -> Columns:
    quantities = {}
    for name in part_names(PARTS):
        values = [reading.operand(name) for reading in readings]
        known = None if None not in values else np.array([value is not None for value in values])
        quantities[name] = Column(np.array([value or 0 for value in values], np.int64), known)
    return Columns(
        np.arange(len(readings)),
        np.array([reading.at for reading in readings], np.int64),
        quantities,
        np.array([reading.flags for reading in readings], np.uint8),
    )


def starts_of(readings: list[Reading]) -> "np.typing.NDArray[np.int64]":
    groups = [reading.group for reading in readings]
    return np.array([groups.index(group) for group in sorted({*groups})], np.int64)


def reckoned(readings: list[Reading], part: AggregatePart) -> int | None:
    function, operand = part
    if part == PRESENT:
        return sum(bool(reading.values) for reading in readings)
    if operand == "id":
        return len(readings)
    if part in (FLAGGED, flag_part(ZERO_VOLTAGE)):
        bits = FLAGGED_BITS if part == FLAGGED else ZERO_VOLTAGE.bit
        return sum(bool(reading.flags & bits) for reading in readings)
    known = [(value, r.at) for r in readings if (value := r.operand(operand)) is not None]
    values = [value for value, _ in known]
    match function:
        case "COUNT":
            return len(values)
        case "SUM":
            return sum(values) if values else None
        case "MIN":
            return min(values, default=None)
        case "greatest at":
            return next((at for value, at in known if value == max(values)), None)
    return max(values, default=None)


@given(readings_of_groups)
def test_parts_are_those_of_plain_reckoning_however_large_values_are(
    readings: list[Reading],
) -> None:
    found = parts_of(columns_of(readings), starts_of(readings), PARTS)

    by_group = [[r for r in readings if r.group == group] for group in {r.group for r in readings}]
    assert [*found] == [*PARTS, at_of(PARTS[-1])]
    for part, column in found.items():
        assert as_list(column) == [reckoned(group, part) for group in by_group]


@given(readings_of_groups, st.integers(0, 30))
def test_merged_parts_are_those_of_all_readings_together(readings: list[Reading], cut: int) -> None:
    whole = parts_of(columns_of(readings), np.zeros(1, np.int64), PARTS)
    some = [part for part in (readings[:cut], readings[cut:]) if part]
    pieces = joined_parts([parts_of(columns_of(each), starts_of(each), PARTS) for each in some])

    together = merged_parts(pieces, np.zeros(1, np.int64))

    assert {part: as_list(column) for part, column in together.items()} == {
        part: as_list(column) for part, column in whole.items()
    }
    rows = part_values(pieces, PARTS)
    assert [tuple(merge_parts(PARTS, rows))] == part_values(whole, PARTS)
    assert part_values(of_part_values(rows, PARTS), PARTS) == rows


@given(readings_of_groups)
def test_groups_between_others_have_no_readings(readings: list[Reading]) -> None:
    groups = parts_of(columns_of(readings), starts_of(readings), PARTS)
    count = len(groups[PRESENT].values)

    found = spread(groups, np.arange(count) * 2, 2 * count)

    rows = part_values(found, PARTS)
    assert rows[::2] == part_values(groups, PARTS)
    nothing = tuple(0 if function == COUNT else None for function, _ in PARTS)
    assert {*rows[1::2]} == {nothing}


def test_parts_name_the_columns_that_they_are_made_of() -> None:
    assert part_names([PRESENT, (COUNT, "energy")]) == [ANY_VALUE, "energy"]
    assert part_names([(SUM, DERIVED_ENERGY), FLAGGED]) == ["energy", "power"]
    assert part_names([(MAX, "utc"), (COUNT, "id")]) == []
