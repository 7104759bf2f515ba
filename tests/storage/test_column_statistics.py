"""Statistics of arrays are those of plain reckoning, however large the values are."""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.columns import Column
from storage.columns import statistics
from storage.columns.highest import Highest
from storage.columns.keyed_values import MAX_KEY
from storage.columns.statistics import Statistics, StatisticsByKey
from tests.support.reference_figures import rounded

PERCENTS = (1, 5, 50, 100)

Value = tuple[int, int, int | None, bool]
"""A key, a value, how many seconds it lasts, and whether it is an energy that gives a power."""

quantities = st.one_of(st.integers(-3, 3), st.integers(-(10**15), 10**15))
keyed = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, MAX_KEY]),
        quantities,
        st.sampled_from([900, 900, 901, 3600, None]),
        st.booleans(),
    ),
    max_size=60,
).map(lambda drawn: [(*each, last and each[2] is not None) for *each, last in drawn])


def power(value: Value) -> int:
    _, quantity, seconds, is_energy = value
    return rounded(Fraction(quantity * 3600, seconds)) if is_energy and seconds else quantity


def reckoned(values: Sequence[Value]) -> Statistics:
    ranked = sorted(values, key=power)
    powers = [power(value) for value in ranked]
    lengths = {seconds for _, _, seconds, _ in values}
    derived = sum(is_energy for *_, is_energy in values)
    if None in lengths and len(lengths) > 1:
        nothing = [None] * len(PERCENTS)
        return Statistics(len(values), derived, None, powers[0], powers[-1], nothing)
    elapsed = [*accumulate(seconds or 1 for _, _, seconds, _ in ranked)]
    weighed = sum(
        quantity * (3600 if is_energy else seconds or 1)
        for _, quantity, seconds, is_energy in values
    )
    percentiles = [
        next(
            each
            for each, until in zip(powers, elapsed, strict=True)
            if 100 * until >= percent * elapsed[-1]
        )
        for percent in PERCENTS
    ]
    mean = rounded(Fraction(weighed, elapsed[-1]))
    return Statistics(len(values), derived, mean, powers[0], powers[-1], percentiles)


@given(keyed, st.sampled_from([1, 10, 1000]))
async def test_statistics_are_those_of_plain_reckoning(values: list[Value], at_once: int) -> None:
    by_key: dict[int, list[Value]] = defaultdict(list)
    collected = StatisticsByKey(PERCENTS)
    for value in values:
        key, quantity, seconds, is_energy = value
        by_key[key].append(value)
        collected.add(np.array([key]), np.array([quantity]), seconds, are_energies=is_energy)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "PIECE_VALUES", at_once)
        found = await collected.all()

    assert [*found] == sorted(by_key)
    for key, each in found.items():
        wanted = reckoned(by_key[key])
        assert [*each.percentiles] == [*wanted.percentiles]
        assert (each.count, each.derived, each.mean, each.least, each.greatest) == (
            *(wanted.count, wanted.derived, wanted.mean, wanted.least, wanted.greatest),
        )


@given(st.lists(st.none() | quantities, max_size=60), st.integers(1, 20), st.integers(1, 9))
def test_highest_are_the_first_of_all_in_order(
    values: list[int | None], count: int, at_once: int
) -> None:
    highest = Highest(count)
    for at in range(0, len(values), at_once):
        some = values[at : at + at_once]
        quantities = np.array([value or 0 for value in some], np.int64)
        known = np.array([value is not None for value in some], bool)
        highest.add(
            Column(quantities, None if known.all() else known), np.arange(at, at + len(some))
        )

    there = [(at, value) for at, value in enumerate(values) if value is not None]
    ranked = sorted(there, key=lambda each: (-each[1], each[0]))[:count]
    assert highest.last() == (ranked[-1][1] if len(ranked) == count else None)
    found, places = highest.in_order()
    assert [*zip(places.tolist(), found.tolist(), strict=True)] == ranked
