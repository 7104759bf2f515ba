"""Arithmetic of arrays is as exact as that of single integers, however large these are."""

from math import isqrt

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from domain.columns import Column
from domain.fixed_point import SCALE, divide_rounded, power_factor, ratio
from storage.columns.aggregates import as_list, integers
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

numbers = st.one_of(
    st.integers(-50, 50), st.integers(-(10**9), 10**9), st.integers(-(10**20), 10**20)
)
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20)
some = st.lists(st.tuples(st.none() | numbers, st.none() | numbers), min_size=1, max_size=20)


def column(values: list[int | None]) -> Column:
    known = None if None not in values else np.array([value is not None for value in values])
    return Column(integers([value or 0 for value in values]), known)


def both(rows: list[tuple[int | None, int | None]]) -> tuple[Column, Column]:
    return column([one for one, _ in rows]), column([other for _, other in rows])


@given(pairs)
def test_products_sums_and_quotients_are_exact(rows: list[tuple[int, int]]) -> None:
    one, other = (integers([row[place] for row in rows]) for place in (0, 1))
    divisors = integers([abs(divisor) or 1 for _, divisor in rows])

    assert product(one, other).tolist() == [a * b for a, b in rows]
    assert product(one, 3600).tolist() == [a * 3600 for a, _ in rows]
    assert added(one, other).tolist() == [a + b for a, b in rows]
    rounded = [divide_rounded(a, abs(b) or 1) for a, b in rows]
    assert quotient(one, divisors).tolist() == rounded
    assert quotient(one, 7).tolist() == [divide_rounded(a, 7) for a, _ in rows]


@given(st.lists(st.tuples(numbers, st.integers(0, 10**7)), min_size=1, max_size=20))
def test_mean_of_nothing_is_missing(rows: list[tuple[int, int]]) -> None:
    totals, counts = (integers([row[place] for row in rows]) for place in (0, 1))

    found = as_list(means(totals, counts))

    assert found == [divide_rounded(total, count) if count else None for total, count in rows]


@given(some)
@example([(10**20, None), (None, -(10**20))])
@example([(10**5, 0), (-3, 0), (0, 7), (0, 0), (4, 3), (-(10**15), 10**15)])
@example([(12_345 * 10**10, 2 * 10**10), (None, 4), (4, None)])
@example([(0, 2**62), (3, 2**61)])
def test_ratios_of_energies_are_those_of_single_ones(
    rows: list[tuple[int | None, int | None]],
) -> None:
    one, other = both(rows)

    assert as_list(power_factors(one, other)) == [power_factor(a, b) for a, b in rows]
    assert as_list(ratios(one, other)) == [ratio(a, b) for a, b in rows]


def test_factor_next_to_a_half_is_rounded_exactly() -> None:
    """Floating-point numbers do not tell on which side of the half these are."""
    active, twice = 10**15, 24_691
    reactive = isqrt(active**2 * (4 * SCALE**2 - twice**2) // twice**2)
    rows: list[tuple[int | None, int | None]] = [
        (sign * active, reactive + more) for sign in (1, -1) for more in (0, 1)
    ]

    found = as_list(power_factors(*both(rows)))

    assert found == [12_346, 12_345, -12_346, -12_345]
    assert found == [power_factor(a, b) for a, b in rows]


@given(some)
def test_least_and_greatest_are_of_known_values(rows: list[tuple[int | None, int | None]]) -> None:
    one, other = both(rows)
    known = [[value for value in row if value is not None] for row in rows]

    assert as_list(least(one, other)) == [min(values, default=None) for values in known]
    assert as_list(greatest(one, other)) == [max(values, default=None) for values in known]
