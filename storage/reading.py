"""The quantities of a reading: their sole list.

A reading is what a meter wrote for one interval: the local time at which the interval starts
and eight quantities, each a decimal of at most ten digits before the point and five after it,
or missing.
"""

from dataclasses import dataclass
from enum import Enum

DECIMALS = 5
INTEGER_DIGITS = 10
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""As a report has them."""
SCALE = 10**DECIMALS
"""SQLite keeps a quantity as an integer, this many times it, since only integers add up exactly."""


class Rule(Enum):
    """How the values of several intervals become the value of a longer one."""

    TOTAL = "the sum: energy adds up over time"
    LEVEL = "mean, least and greatest: a state that was measured in each interval"
    DEMAND = "the greatest and when it was: each interval holds the greatest of its own already"
    RATIO = "worked out anew from the sums of active and reactive energy: ratios don't add up"


@dataclass(frozen=True, slots=True)
class Column:
    """A quantity: its name in the database and in JSON, and what a report calls it."""

    name: str
    title: str
    unit: str
    rule: Rule
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
    Column("energy", "Energy", "kWh", Rule.TOTAL),
    Column("reactive_energy", "Reactive energy", "kVArh", Rule.TOTAL),
    Column("power", "Power", "kW", Rule.LEVEL),
    Column("maximeter", "Maximeter", "kW", Rule.DEMAND),
    Column("reactive_power", "Reactive power", "kVAr", Rule.LEVEL),
    Column("voltage", "Voltage", "V", Rule.LEVEL),
    Column("intensity", "Intensity", "A", Rule.LEVEL),
    Column("power_factor", "Power factor", "Fi", Rule.RATIO, report_unit="φ"),
)
NAMES = tuple(column.name for column in COLUMNS)

RECORD_KEYS = tuple(sorted(("id", "date", *NAMES)))
"""The keys of a record in an answer, in their documented order."""
