"""Integers by key, of which many are put in order at once."""

import numpy as np

from domain.columns import Integers

MAX_KEY = 2**22 - 2
"""The greatest key; the least is 0. One more, with a value beside it, is less than 2^63."""

_VALUE_BITS = 41
"""Bits of a value beside the key: quantities are up to 2^40, or eleven million units."""

_LEAST = -(2 ** (_VALUE_BITS - 1))
_MASK = 2**_VALUE_BITS - 1

Keyed = tuple[Integers, Integers]
"""Keys, in order, and values, which are in order where their keys are equal."""

_NOTHING: Keyed = (np.zeros(0, np.int64), np.zeros(0, np.int64))


class KeyedValues:
    """Collects values, eight bytes each, and returns them by key, then in order.

    A key and its value are one number, so that one sort is enough. Values that are too large for
    it, which hardly any meter has, are held for themselves.
    """

    def __init__(self) -> None:
        self._numbers = np.zeros(0, np.int64)
        self._count = 0
        self._large: list[Keyed] = []
        self._sorted_large = _NOTHING
        self._taken = self._taken_large = 0

    def add(self, keys: Integers, values: Integers) -> None:
        """Take in values with their keys."""
        is_large = (values < _LEAST) | (values >= -_LEAST)
        if is_large.any():
            self._large.append((keys[is_large], values[is_large]))
            keys, values = keys[~is_large], values[~is_large]
        end = self._count + len(values)
        if end > len(self._numbers):
            # In place where there is room behind it; what is not used yet is no memory.
            self._numbers.resize(end + end // 8, refcheck=False)
        numbers = self._numbers[self._count : end]
        np.left_shift(keys, _VALUE_BITS, out=numbers)
        numbers += values - _LEAST
        self._count = end

    def sort(self) -> None:
        """Put all values in order, once they have been taken in."""
        self._numbers[: self._count].sort()
        if self._large:
            keys, values = (np.concatenate(each) for each in zip(*self._large, strict=True))
            order = np.lexsort((values, keys))
            self._sorted_large = keys[order], values[order]

    def key_after(self, number: int) -> int | None:
        """Return a key behind so many of the values not taken yet, None behind the last one."""
        places = self._taken + number, self._taken_large + number
        keys = []
        if places[0] < self._count:
            keys.append(int(self._numbers[places[0]]) >> _VALUE_BITS)
        large, _ = self._sorted_large
        if places[1] < len(large):
            keys.append(int(large[places[1]]))
        return min(keys, default=None)

    def take(self, end: int) -> Keyed:
        """Return the values not taken yet whose keys are less than one."""
        place = int(self._numbers[: self._count].searchsorted(end << _VALUE_BITS))
        numbers = self._numbers[self._taken : place]
        self._taken = place
        keys, values = numbers >> _VALUE_BITS, (numbers & _MASK) + _LEAST
        large = self._taken_large
        self._taken_large = int(self._sorted_large[0].searchsorted(end))
        if large == self._taken_large:
            return keys, values
        more = slice(large, self._taken_large)
        keys = np.concatenate((keys, self._sorted_large[0][more]))
        values = np.concatenate((values, self._sorted_large[1][more]))
        order = np.lexsort((values, keys))
        return keys[order], values[order]
