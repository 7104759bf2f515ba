"""The readings of the highest quantities."""

import numpy as np

from domain.columns import Column, Integers


class Highest:
    """Keeps so many readings of the highest quantities, of equal ones the earliest."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts: list[tuple[Integers, Integers]] = [(np.zeros(0, np.int64),) * 2]
        """Quantities and their instants; about twice as many as are kept, at most."""
        self._size = 0
        self._limit: int | None = None
        """What a further quantity must exceed; None while any is among the highest."""

    def add(self, column: Column, utc: Integers) -> None:
        """Take in quantities with their instants, which are after those before, in order."""
        if self._limit is None:
            places = np.flatnonzero(column.present)
        else:
            is_higher = column.values > self._limit
            places = np.flatnonzero(is_higher & column.present)
        self._parts.append((column.values[places], utc[places]))
        self._size += len(places)
        if self._size > 2 * self._count:
            self._drop()

    def in_order(self) -> tuple[Integers, Integers]:
        """Return the quantities, the highest first, and their instants, of equal ones in order."""
        values, utc = self._joined()
        order = np.lexsort((utc, -values))[: self._count]
        return values[order], utc[order]

    def last(self) -> int | None:
        """Return the lowest of so many quantities, None if there are not so many."""
        values, _ = self._joined()
        return self._least(values) if len(values) >= self._count else None

    def _drop(self) -> None:
        """Forget all but the highest."""
        values, utc = self._joined()
        self._limit = limit = self._least(values)
        is_kept = values > limit
        equal = np.flatnonzero(values == limit)
        is_kept[equal[: self._count - np.count_nonzero(is_kept)]] = True
        self._parts = [(values[is_kept], utc[is_kept])]
        self._size = self._count

    def _least(self, values: Integers) -> int:
        place = len(values) - self._count
        return int(np.partition(values, place)[place])

    def _joined(self) -> tuple[Integers, Integers]:
        values, utc = zip(*self._parts, strict=True)
        return np.concatenate(values), np.concatenate(utc)
