"""The rules of quality flags for arrays of readings, in exact integers."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.columns import Bits, Columns, Integers, Truths
from domain.fixed_point import SCALE
from domain.flags import CATCH_UP, IMPLAUSIBLE, MISSING, REPEATED_HOUR, ZERO_VOLTAGE

_SAFE = 2**62
"""Below it, products and differences of 64-bit integers cannot overflow."""


def own_flags(columns: Columns, repeated: Iterable[tuple[int, int]]) -> Bits:
    """Return the flags of readings that depend on no other reading.

    Those that they have stay. `repeated` are the periods whose local times occur twice.
    """
    flags = columns.flags.copy()
    quantities = columns.quantities
    if not any(column.known is None for column in quantities.values()):
        present = np.logical_or.reduce([column.present for column in quantities.values()])
        flags[~present] |= MISSING.bit
    voltage, intensity = quantities["voltage"], quantities["intensity"]
    flags[(voltage.values == 0) & voltage.present & (intensity.values > 0)] |= ZERO_VOLTAGE.bit
    for begin, end in repeated:
        flags[(columns.utc >= begin) & (columns.utc < end)] |= REPEATED_HOUR.bit
    return flags


@dataclass(frozen=True, slots=True)
class EnergyLimit:
    """How much energy is plausible beside a maximeter."""

    tolerance: int
    """In hundredths."""
    allowance: int
    """In hundredths of a kW."""

    def may_exceed(self, columns: Columns, seconds: int) -> Truths:
        """Return where energy may exceed the maximeter of an interval that is no shorter."""
        energy, maximeter = columns.quantities["energy"], columns.quantities["maximeter"]
        factor = Fraction(self.tolerance * seconds, 360_000)
        most = _times(maximeter.values, factor.numerator)
        exceeds = _times(energy.values, factor.denominator) > most
        # A longer interval allows less of a negative one.
        exceeds |= maximeter.values < 0
        return exceeds & energy.present & maximeter.present

    def exceeds(self, energy: int, maximeter: int, seconds: int) -> bool:
        """Return whether an energy exceeds the maximeter in so many seconds."""
        return energy * 360_000 > maximeter * self.tolerance * seconds

    def verdict(self, energy: int, maximeter: int, interval: int, since: int) -> int:
        """Return the bit of the flag of an energy, 0 without one.

        `since` are the seconds since the energy before, if that had the same interval.
        """
        if not self.exceeds(energy, maximeter, interval):
            return 0
        allowed = self.allowance * interval * SCALE
        most = maximeter * self.tolerance * max(since, interval) + allowed
        if energy * 360_000 > most:
            return IMPLAUSIBLE.bit
        return CATCH_UP.bit if since > interval else 0


def _times(values: Integers, factor: int) -> NDArray[Any]:
    """Return exact products."""
    greatest = max(abs(int(values.min())), abs(int(values.max())))
    return values * factor if greatest * factor < _SAFE else values.astype(object) * factor
