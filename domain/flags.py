"""Quality flags of readings, and the rules behind them.

Flags are computed when readings are imported and stored beside them, so that everybody gets the
same judgement. A reading is never changed or dropped because of one.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of a reading: its name in responses and its bit in the database."""

    name: str
    bit: int
    means: str
    """What is true of the reading."""
    use: str
    """How sums, peaks and profiles treat the reading."""
    source: str
    """Where the rule comes from."""


MISSING = Flag(
    "missing",
    1,
    "the meter wrote no quantity at all",
    "Counts as absent; it is never taken for zero.",
    "CalTRACK 2.0, 2.2.1.3: missing is what is marked as NULL or the like; ESPI's "
    "QualityOfReading has no value for what is not there",
)
CATCH_UP = Flag(
    "catch_up",
    2,
    "energy after a gap that is more than its own interval allows and no more than the gap does: "
    "it holds what was used in the gap as well",
    "Stays in totals, which would lack the gap's energy without it; left out of peaks and "
    "profiles, which would take it for a quarter of an hour's own.",
    "CalTRACK 2.0, 2.2.2.2: a period without a read of its own is combined with the next one",
)
IMPLAUSIBLE = Flag(
    "implausible",
    4,
    "more energy than the interval's own maximeter allows",
    "Stays with quality=raw; left out with quality=clean, which says how much that was.",
    "Energy is mean demand times time, and a mean is no greater than the maximum; CalTRACK 2.0, "
    "2.3.6: extreme values are flagged, not dropped; ESPI (NAESB REQ.21) QualityOfReading 10, "
    "questionable: failed one or more checks",
)
ZERO_VOLTAGE = Flag(
    "zero_voltage",
    8,
    "no voltage while current flows",
    "Stays everywhere; the voltage cannot be right.",
    "Current needs a voltage; ESPI (NAESB REQ.21) QualityOfReading 10, questionable",
)
REPEATED_HOUR = Flag(
    "repeated_hour",
    16,
    "its local time stands twice, since clocks were put back",
    "Stays everywhere: a fact, not a fault.",
    "IANA time zone database; PEP 495; CalTRACK 2.0, 2.3.3: clock changes are to be handled",
)

FLAGS = (MISSING, CATCH_UP, IMPLAUSIBLE, ZERO_VOLTAGE, REPEATED_HOUR)
