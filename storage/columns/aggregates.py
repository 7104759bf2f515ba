"""Exact aggregates of arrays by groups of neighbours."""

from collections.abc import Sequence

import numpy as np

from domain.columns import Column, Integers

_SAFE_SUM = 2**62
"""Below it, a sum of 64-bit integers cannot overflow."""

_LOW_BITS = 31


def group_starts(keys: Integers) -> Integers:
    """Return where the groups of equal neighbours begin."""
    if not len(keys):
        return np.zeros(0, np.int64)
    return np.concatenate(([0], np.flatnonzero(keys[1:] != keys[:-1]) + 1))


def group_sums(column: Column, starts: Integers) -> Sequence[int | None]:
    """Return the sum of each group, None of one without a value."""
    return _where_known(column, starts, exact_sums(column.values, starts))


def exact_sums(values: Integers, starts: Integers) -> Sequence[int]:
    """Return the sum of each group, however large it is."""
    if not len(starts):
        return []
    greatest = max(abs(int(values.min())), abs(int(values.max())))
    if greatest * len(values) < _SAFE_SUM:
        sums: list[int] = np.add.reduceat(values, starts).tolist()
        return sums
    high = np.add.reduceat(values >> _LOW_BITS, starts).tolist()
    low = np.add.reduceat(values & (2**_LOW_BITS - 1), starts).tolist()
    return [(upper << _LOW_BITS) + lower for upper, lower in zip(high, low, strict=True)]


def group_counts(column: Column, starts: Integers) -> Sequence[int]:
    """Return how many values each group has."""
    if not len(starts):
        return []
    if column.known is None:
        counts: list[int] = np.diff(np.append(starts, len(column.values))).tolist()
        return counts
    counted: list[int] = np.add.reduceat(column.known, starts, dtype=np.int64).tolist()
    return counted


def group_minima(column: Column, starts: Integers) -> Sequence[int | None]:
    """Return the least value of each group, None of one without a value."""
    return _extreme(column, starts, np.minimum, np.iinfo(np.int64).max)


def group_maxima(column: Column, starts: Integers) -> Sequence[int | None]:
    """Return the greatest value of each group, None of one without a value."""
    return _extreme(column, starts, np.maximum, np.iinfo(np.int64).min)


def first_maxima(column: Column, starts: Integers) -> Sequence[int]:
    """Return where each group has its greatest value first; any place in one without a value."""
    if not len(starts):
        return []
    least = np.iinfo(np.int64).min
    values = column.values
    if column.known is not None:
        values = np.where(column.known, values, least)
    lengths = np.diff(np.append(starts, len(values)))
    is_greatest = values == np.repeat(np.maximum.reduceat(values, starts), lengths)
    places = np.flatnonzero(is_greatest)
    found: list[int] = places[np.searchsorted(places, starts)].tolist()
    return found


def _extreme(
    column: Column, starts: Integers, function: np.ufunc, otherwise: int
) -> Sequence[int | None]:
    if not len(starts):
        return []
    values = column.values
    if column.known is not None:
        values = np.where(column.known, values, otherwise)
    return _where_known(column, starts, function.reduceat(values, starts).tolist())


def _where_known(column: Column, starts: Integers, values: Sequence[int]) -> Sequence[int | None]:
    if column.known is None:
        return values
    known = np.logical_or.reduceat(column.known, starts).tolist() if len(starts) else []
    return [value if is_known else None for value, is_known in zip(values, known, strict=True)]
