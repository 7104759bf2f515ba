"""What is derived from single readings, see `storage.backends.derived`, as arrays."""

from math import gcd

import numpy as np

from domain.columns import Column, Columns, Integers
from domain.flags import CATCH_UP
from domain.time.time_zone import HOUR_SECONDS
from storage.backends.derived import CAPACITIVE_POWER, DERIVED_ENERGY, INDUCTIVE_POWER

SOURCES = {
    DERIVED_ENERGY: ("energy", "power"),
    INDUCTIVE_POWER: ("reactive_power", "power"),
    CAPACITIVE_POWER: ("reactive_power", "power"),
}
"""The quantities that each is made of."""


def derived_column(columns: Columns, name: str) -> Column:
    """Return a derived quantity of readings that have its sources; of others, the quantity."""
    if name not in SOURCES:
        return columns.quantities[name]
    source, power = (columns.quantities[each] for each in SOURCES[name])
    if name == DERIVED_ENERGY:
        known = source.present & ~power.present & (columns.flags & CATCH_UP.bit == 0)
        return Column(np.where(known, source.values, 0), known)
    # A missing power counts as one that is not negative.
    values = source.values if name == INDUCTIVE_POWER else -source.values
    known = source.present & (power.values >= 0)
    return Column(np.where(known, np.maximum(values, 0), 0), known)


def powers(energies: Integers, seconds: int) -> Integers:
    """Return energies over the hours of their interval, a half rounded away from zero."""
    divisor = gcd(seconds, HOUR_SECONDS)
    multiple, hours = HOUR_SECONDS // divisor, seconds // divisor
    if hours == 1:
        return energies * multiple
    rounded = (2 * multiple * np.abs(energies) + hours) // (2 * hours)
    return np.where(energies < 0, -rounded, rounded)
