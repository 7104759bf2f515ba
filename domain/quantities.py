"""The quantities of a reading.

A reading is what a meter wrote for one interval: the local time at which the interval starts
and its quantities, each a decimal of at most ten digits before the point and five after it,
or missing. Eight of them are those of a Monitoring report; energy may have been exported, too.
"""

from dataclasses import dataclass
from enum import Enum

DECIMALS = 5
INTEGER_DIGITS = 10
MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""Month names as reports write them."""


class AggregationRule(Enum):
    """How the values of several intervals are aggregated."""

    TOTAL = "the sum: energy adds up over time"
    LEVEL = "mean, least and greatest: a state that was measured in each interval"
    DEMAND = "the greatest and when it was: each interval holds the greatest of its own already"
    RATIO = "worked out anew from the sums of active and reactive energy: ratios don't add up"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity: its name in the database and in JSON, and its title in reports."""

    name: str
    title: str
    unit: str
    rule: AggregationRule
    report_unit: str | None = None

    @property
    def header(self) -> str:
        """The column's name in a report's header."""
        return f"{self.title} ({self.report_unit or self.unit})"

    @property
    def result_unit(self) -> str:
        """Its unit in answers that name units: 1 of a ratio."""
        return "1" if self.rule is AggregationRule.RATIO else self.unit

    @property
    def comment(self) -> str:
        """The column's comment in the database."""
        return f"{self.title} ({self.unit})"


QUANTITIES = (
    Quantity("energy", "Energy", "kWh", AggregationRule.TOTAL),
    Quantity("reactive_energy", "Reactive energy", "kVArh", AggregationRule.TOTAL),
    Quantity("power", "Power", "kW", AggregationRule.LEVEL),
    Quantity("maximeter", "Maximeter", "kW", AggregationRule.DEMAND),
    Quantity("reactive_power", "Reactive power", "kVAr", AggregationRule.LEVEL),
    Quantity("voltage", "Voltage", "V", AggregationRule.LEVEL),
    Quantity("intensity", "Intensity", "A", AggregationRule.LEVEL),
    Quantity("power_factor", "Power factor", "Fi", AggregationRule.RATIO, report_unit="φ"),
)
QUANTITY_NAMES = tuple(column.name for column in QUANTITIES)

EXPORTED_QUANTITIES = (
    Quantity("exported_energy", "Exported energy", "kWh", AggregationRule.TOTAL),
    Quantity(
        "exported_reactive_energy", "Exported reactive energy", "kVArh", AggregationRule.TOTAL
    ),
)
"""What a meter measured in the other direction: quantities of their own, never subtracted."""

ALL_QUANTITIES = (*QUANTITIES, *EXPORTED_QUANTITIES)
ALL_QUANTITY_NAMES = tuple(column.name for column in ALL_QUANTITIES)

RECORD_KEYS = tuple(sorted(("id", "date", *QUANTITY_NAMES)))
"""The keys of a record in a response, in their documented order."""
