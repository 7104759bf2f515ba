"""The quantities of a reading: their sole list.

A reading is what a meter wrote for one interval: the local time at which the interval starts
and eight quantities, each a decimal of at most ten digits before the point and five after it,
or missing.
"""

from dataclasses import dataclass

DECIMALS = 5
INTEGER_DIGITS = 10
SCALE = 10**DECIMALS
"""SQLite keeps a quantity as an integer, this many times it, since only integers add up exactly."""


@dataclass(frozen=True, slots=True)
class Column:
    """A quantity: its name in the database and in JSON, and what a report calls it."""

    name: str
    title: str
    unit: str
    report_unit: str | None = None

    @property
    def header(self) -> str:
        """The column's heading in a report."""
        return f"{self.title} ({self.report_unit or self.unit})"

    @property
    def comment(self) -> str:
        """The column's comment in the database."""
        return f"{self.title} ({self.unit})"


COLUMNS = (
    Column("energy", "Energy", "kWh"),
    Column("reactive_energy", "Reactive energy", "kVArh"),
    Column("power", "Power", "kW"),
    Column("maximeter", "Maximeter", "kW"),
    Column("reactive_power", "Reactive power", "kVAr"),
    Column("voltage", "Voltage", "V"),
    Column("intensity", "Intensity", "A"),
    Column("power_factor", "Power factor", "Fi", report_unit="φ"),
)
NAMES = tuple(column.name for column in COLUMNS)

RECORD_KEYS = tuple(sorted(("id", "date", *NAMES)))
"""The keys of a record in an answer, in their documented order."""
