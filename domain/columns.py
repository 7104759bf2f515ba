"""Readings of a meter as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Truths = NDArray[np.bool_]
Bits = NDArray[np.uint8]


MISSING_VALUE: int = np.iinfo(np.int64).min
"""Stands for a missing value among others: no quantity has so many digits."""


@dataclass(frozen=True, slots=True)
class Column:
    """A quantity of some readings, scaled by 10^5."""

    values: Integers
    """0 where there is none."""
    known: Truths | None = None
    """Where there is a value; None if all readings have one."""

    def __getitem__(self, which: Truths | Integers | slice) -> "Column":
        """Return the values of some readings."""
        return Column(self.values[which], None if self.known is None else self.known[which])

    @property
    def present(self) -> Truths:
        """Where there is a value."""
        return np.ones(len(self.values), bool) if self.known is None else self.known

    @property
    def only_known(self) -> Integers:
        """The values that there are."""
        return self.values if self.known is None else self.values[self.known]

    @classmethod
    def of(cls, values: Integers) -> "Column":
        """Return values, MISSING_VALUE where there is none."""
        missing = values == MISSING_VALUE
        if not missing.any():
            return cls(np.ascontiguousarray(values))
        return cls(np.where(missing, 0, values), ~missing)

    @classmethod
    def joined(cls, columns: Sequence["Column"]) -> "Column":
        """Return the values of several groups of readings, one after the other."""
        if all(column.known is None for column in columns):
            return cls(np.concatenate([column.values for column in columns]))
        return cls(
            np.concatenate([column.values for column in columns]),
            np.concatenate([column.present for column in columns]),
        )


@dataclass(frozen=True, slots=True)
class Columns:
    """Some readings of a meter: their instants, seconds since 1970, and some of their quantities.

    All arrays have the same length.
    """

    ids: Integers
    utc: Integers
    quantities: Mapping[str, Column]
    """By the name of the quantity."""
    flags: Bits
    """The bits of a reading's flags."""

    def __len__(self) -> int:
        return len(self.utc)

    def __getitem__(self, which: Truths | Integers | slice) -> Self:
        """Return some of the readings."""
        quantities = {name: column[which] for name, column in self.quantities.items()}
        return type(self)(self.ids[which], self.utc[which], quantities, self.flags[which])

    def without_flags(self, bits: int) -> Self:
        """Return the readings that have none of some flags."""
        if not bits:
            return self
        flagged = (self.flags & np.uint8(bits)) != 0
        return self[~flagged] if flagged.any() else self

    def between(self, start: int, until: int) -> Self:
        """Return the readings from `start` up to, and without, `until`."""
        if not len(self) or (self.utc.min() >= start and self.utc.max() < until):
            return self
        return self[(self.utc >= start) & (self.utc < until)]

    def in_order(self) -> Self:
        """Return the readings in the order of time."""
        if (np.diff(self.utc) > 0).all():
            return self
        return self[np.argsort(self.utc, kind="stable")]

    @classmethod
    def joined(cls, parts: Sequence["Columns"]) -> "Columns":
        """Return the readings of several parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        quantities = {
            name: Column.joined([part.quantities[name] for part in parts])
            for name in parts[0].quantities
        }
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.utc for part in parts]),
            quantities,
            np.concatenate([part.flags for part in parts]),
        )
