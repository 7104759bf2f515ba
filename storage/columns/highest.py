"""The readings of the highest quantities."""

import numpy as np

from domain.columns import Column, Integers


class Highest:
    """Keeps so many readings of the highest quantities, of equal ones the earliest."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._values = np.zeros(0, np.int64)
        self._utc = np.zeros(0, np.int64)
        self._limit: int | None = None
        """What a further quantity must exceed; None while any is among the highest."""

    def add(self, column: Column, utc: Integers) -> None:
        """Take in quantities with their instants, which are after those before, in order."""
        if self._limit is None:
            places = np.flatnonzero(column.present)
        else:
            is_higher = column.values > self._limit
            places = np.flatnonzero(is_higher & column.present)
        self._values = np.concatenate((self._values, column.values[places]))
        self._utc = np.concatenate((self._utc, utc[places]))
        if len(self._values) > 2 * self._count:
            self._drop()

    def in_order(self) -> tuple[Integers, Integers]:
        """Return the quantities, the highest first, and their instants, of equal ones in order."""
        if len(self._values) > self._count:
            self._drop()
        order = np.lexsort((self._utc, -self._values))
        return self._values[order], self._utc[order]

    def _drop(self) -> None:
        """Forget all but the highest."""
        place = len(self._values) - self._count
        limit = self._values.copy()
        limit.partition(place)
        self._limit = int(limit[place])
        is_kept = self._values > self._limit
        equal = np.flatnonzero(self._values == self._limit)
        is_kept[equal[: self._count - np.count_nonzero(is_kept)]] = True
        self._values, self._utc = self._values[is_kept], self._utc[is_kept]
