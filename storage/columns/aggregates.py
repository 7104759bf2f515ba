"""Exact aggregates of arrays by groups of neighbours."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from domain.columns import Column, Integers, Truths

SAFE = 2**62
"""Below it, a sum or a product of 64-bit integers, and twice that, cannot overflow."""

_LOW_BITS = 31
_GREATEST = np.iinfo(np.int64).max


def group_starts(keys: Integers | Truths) -> Integers:
    """Return where the groups of equal neighbours begin."""
    if not len(keys):
        return np.zeros(0, np.int64)
    return np.concatenate(([0], np.flatnonzero(keys[1:] != keys[:-1]) + 1))


def group_sizes(starts: Integers, length: int) -> Integers:
    """Return how many elements each group has."""
    return np.diff(starts, append=length)


def magnitude(values: Integers) -> int:
    """Return the greatest absolute value, 0 of none."""
    return max(abs(int(values.min())), abs(int(values.max()))) if len(values) else 0


def as_large(values: Integers) -> Integers:
    """Return the same integers without a limit, as objects of Python: exact, but slow."""
    return cast("Integers", values.astype(object))


def integers(values: Sequence[int]) -> Integers:
    """Return integers of Python as an array, as objects if some exceed 64 bits."""
    if any(abs(value) > _GREATEST for value in values):
        return np.array(values, object)
    return np.array(values, np.int64)


def sums(column: Column, starts: Integers) -> Column:
    """Return the sum of each group."""
    return Column(_sums(column.values, starts), _known(column, starts))


def counts(column: Column, starts: Integers) -> Column:
    """Return how many values each group has."""
    if column.known is None or not len(starts):
        return Column(group_sizes(starts, len(column.values)))
    return Column(np.add.reduceat(column.known, starts, dtype=np.int64))


def minima(column: Column, starts: Integers) -> Column:
    """Return the least value of each group."""
    return _extreme(column, starts, np.minimum, _GREATEST)


def maxima(column: Column, starts: Integers) -> Column:
    """Return the greatest value of each group."""
    return _extreme(column, starts, np.maximum, -_GREATEST)


def first_greatest(column: Column, starts: Integers) -> Integers:
    """Return where each group has its greatest value first; any place in one without a value."""
    if not len(starts):
        return starts
    values = column.values
    if column.known is not None:
        values = np.where(column.known, values, -_GREATEST)
    greatest = np.maximum.reduceat(values, starts)
    is_greatest = values == np.repeat(greatest, group_sizes(starts, len(values)))
    places = np.flatnonzero(is_greatest)
    return places[np.searchsorted(places, starts)]


def as_list(column: Column) -> list[int | None]:
    """Return the values of a column, None for missing ones."""
    values: list[int | None] = column.values.tolist()
    if column.known is not None:
        for place in np.flatnonzero(~column.known).tolist():
            values[place] = None
    return values


def group_sums(column: Column, starts: Integers) -> Sequence[int | None]:
    """Return the sum of each group, None of one without a value."""
    return as_list(sums(column, starts))


def exact_sums(values: Integers, starts: Integers) -> Sequence[int]:
    """Return the sum of each group, however large it is."""
    found: list[int] = _sums(values, starts).tolist()
    return found


def group_counts(column: Column, starts: Integers) -> Sequence[int]:
    """Return how many values each group has."""
    found: list[int] = counts(column, starts).values.tolist()
    return found


def first_maxima(column: Column, starts: Integers) -> Sequence[int]:
    """Return where each group has its greatest value first; any place in one without a value."""
    found: list[int] = first_greatest(column, starts).tolist()
    return found


def _sums(values: Integers, starts: Integers) -> Integers:
    """Return the sum of each group, as objects where some exceed 64 bits."""
    if not len(starts):
        return np.zeros(0, np.int64)
    if values.dtype == object:
        return _sums_of(values, starts)
    if magnitude(values) * len(values) < SAFE:
        return _sums_of(values, starts)
    high = as_large(_sums_of(values >> _LOW_BITS, starts))
    low = _sums_of(values & (2**_LOW_BITS - 1), starts)
    return cast("Integers", (high << _LOW_BITS) + low)


def _sums_of(values: Integers, starts: Integers) -> Integers:
    return cast("Integers", np.add.reduceat(values, starts))


def _extreme(column: Column, starts: Integers, function: np.ufunc, otherwise: int) -> Column:
    if not len(starts):
        return Column(starts)
    known = _known(column, starts)
    values = column.values
    if column.known is not None:
        values = np.where(column.known, values, otherwise)
    found: Integers = function.reduceat(values, starts)
    return Column(found if known is None else np.where(known, found, 0), known)


def _known(column: Column, starts: Integers) -> Truths | None:
    """Return which groups have a value, None if all have one."""
    if column.known is None or not len(starts):
        return None
    known: Truths = np.logical_or.reduceat(column.known, starts)
    return None if known.all() else known
