"""Exact arithmetic of arrays: what might exceed 64 bits is worked out with integers of Python."""

from collections.abc import Callable
from typing import cast

import numpy as np

from domain.columns import Column, Integers, Truths
from domain.fixed_point import SCALE, power_factor
from storage.columns.aggregates import SAFE, as_large, magnitude

_DOUBTFUL = 1e-6
"""The distance from a whole number within which a floating-point number may be on either side."""


def product(values: Integers, factors: Integers | int) -> Integers:
    """Return the products of integers."""
    largest = abs(factors) if isinstance(factors, int) else magnitude(factors)
    return (values if magnitude(values) * largest < SAFE else as_large(values)) * factors


def added(values: Integers, more: Integers) -> Integers:
    """Return the sums of integers."""
    is_safe = magnitude(values) + magnitude(more) < SAFE
    return (values if is_safe else as_large(values)) + more


def quotient(values: Integers, divisors: Integers | int) -> Integers:
    """Return quotients, a half rounded away from zero; the divisors are positive."""
    largest = divisors if isinstance(divisors, int) else magnitude(divisors)
    numbers = values
    if 2 * (magnitude(values) + largest) >= SAFE:
        numbers = as_large(values)
        divisors = divisors if isinstance(divisors, int) else as_large(divisors)
    if len(numbers) and numbers.min() >= 0:
        return cast("Integers", (2 * numbers + divisors) // (2 * divisors))
    rounded = (2 * abs(numbers) + divisors) // (2 * divisors)
    return np.where(numbers < 0, -rounded, rounded)


def means(totals: Integers, counts: Integers) -> Column:
    """Return totals over counts, rounded; missing where a count is 0."""
    return _quotients(totals, counts, counts > 0)


def ratios(numerators: Column, denominators: Column) -> Column:
    """Return quotients, scaled; missing unless both are known and the denominator is positive."""
    known = numerators.present & denominators.present & (denominators.values > 0)
    return _quotients(product(numerators.values, SCALE), denominators.values, known)


def power_factors(active: Column, reactive: Column) -> Column:
    """Return active over apparent energy, scaled, see `power_factor`."""
    known = active.present & reactive.present & ((active.values != 0) | (reactive.values != 0))
    energy = np.where(known, active.values, 1).astype(float)
    other = np.where(known, reactive.values, 0).astype(float)
    apparent = np.hypot(energy, other)
    twice = 2 * SCALE * np.abs(energy) / apparent
    factors = (twice.astype(np.int64) + 1) // 2
    factors = np.where(energy < 0, -factors, factors)
    is_doubtful = known & (np.abs(twice - np.round(twice)) < _DOUBTFUL)
    # Of energy without reactive energy, it is 1.
    is_pure = is_doubtful & (other == 0)
    factors[is_pure] = np.where(energy[is_pure] < 0, -SCALE, SCALE)
    for place in np.flatnonzero(is_doubtful & ~is_pure).tolist():
        factors[place] = power_factor(int(active.values[place]), int(reactive.values[place]))
    return known_only(factors, known)


def known_only(values: Integers, known: Truths) -> Column:
    """Return a column of values some of which are known."""
    if known.all():
        return Column(values)
    return Column(np.where(known, values, 0), known)


def least(column: Column, other: Column) -> Column:
    """Return the lesser of the values that are known."""
    return _chosen(column, other, np.less)


def greatest(column: Column, other: Column) -> Column:
    """Return the greater of the values that are known."""
    return _chosen(column, other, np.greater)


def _chosen(column: Column, other: Column, is_better: Callable[..., Truths]) -> Column:
    is_other = other.present & (~column.present | is_better(other.values, column.values))
    values = np.where(is_other, other.values, column.values)
    return known_only(values, column.present | other.present)


def _quotients(values: Integers, divisors: Integers, known: Truths) -> Column:
    if known.all():
        return Column(quotient(values, divisors))
    return known_only(quotient(values, np.where(known, divisors, 1)), known)
