"""What is derived from a single reading, as SQL: power from energy, kinds of reactive power.

The names are those of columns of the table `days`.
"""

from domain.flags import CATCH_UP

DERIVED_ENERGY = "derived_energy"
"""The energy of a reading whose power is energy over the hours of its interval."""

INDUCTIVE_POWER, CAPACITIVE_POWER = "inductive_power", "capacitive_power"


def derived_operand(name: str, readings: str) -> str:
    """Return the SQL of a derived quantity of rows of `readings`; of others, their column's name.

    A reading with energy has a derived power if none was measured, unless it is a catch-up, whose
    energy is of more than its interval. Reactive power counts where energy is taken and not given,
    as the registers of quadrants I (inductive) and IV (capacitive) do, see IEC 62056-6-1.
    """
    power, reactive = f"{readings}.power", f"{readings}.reactive_power"
    if name == DERIVED_ENERGY:
        caught_up = (
            f"SELECT 1 FROM flags AS g WHERE g.meter_id = {readings}.meter_id"
            f" AND g.reading_id = {readings}.id AND g.flags & {CATCH_UP.bit} <> 0"
        )
        return f"CASE WHEN {power} IS NULL AND NOT EXISTS ({caught_up}) THEN {readings}.energy END"
    if name == INDUCTIVE_POWER:
        return f"CASE WHEN {power} < 0 THEN NULL WHEN {reactive} <= 0 THEN 0 ELSE {reactive} END"
    if name == CAPACITIVE_POWER:
        return f"CASE WHEN {power} < 0 THEN NULL WHEN {reactive} >= 0 THEN 0 ELSE -{reactive} END"
    return name
