"""Quality flags of readings, and the rules behind them.

Flags are worked out when readings are imported and stored beside them, so that everybody gets the
same judgement; `estimated` is what the report says. A reading is never changed or dropped because
of one.
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
    rule: str
    """The condition, with `{tolerance}` and `{allowance}` for the meter's settings of quality."""
    source: str
    """Where the rule comes from."""


MISSING = Flag(
    "missing",
    1,
    "the meter recorded no value at all",
    "Counts as not present; it is never treated as zero.",
    "no quantity has a value",
    "CalTRACK 2.0, 2.2.1.3: missing is what is marked as NULL or the like; ESPI's "
    "QualityOfReading has no value for what is not there",
)
CATCH_UP = Flag(
    "catch_up",
    2,
    "energy after a gap that exceeds what one interval allows but not what the gap allows: it "
    "includes the energy of the gap",
    "Included in totals, which need the energy of the gap; excluded from peaks and profiles, "
    "because it is not the energy of one interval.",
    "after a gap, energy > {tolerance} * maximeter * hours of the interval, and not implausible",
    "CalTRACK 2.0, 2.2.2.2: a period without a read of its own is combined with the next one",
)
IMPLAUSIBLE = Flag(
    "implausible",
    4,
    "more energy than the maximeter of the same interval allows",
    "Included with quality=raw; excluded with quality=clean, which reports the excluded energy.",
    "energy > {tolerance} * maximeter * hours since the reading with energy before it"
    " + {allowance} kW * hours of the interval",
    "Energy is mean demand times time, and a mean is no greater than the maximum; CalTRACK 2.0, "
    "2.3.6: extreme values are flagged, not dropped; ESPI (NAESB REQ.21) QualityOfReading 10, "
    "questionable: failed one or more checks",
)
ZERO_VOLTAGE = Flag(
    "zero_voltage",
    8,
    "zero voltage while current flows",
    "Included everywhere; the voltage cannot be right.",
    "voltage = 0 and intensity > 0",
    "Current needs a voltage; ESPI (NAESB REQ.21) QualityOfReading 10, questionable",
)
REPEATED_HOUR = Flag(
    "repeated_hour",
    16,
    "its local time occurs twice, because clocks went back",
    "Included everywhere; this is not an error.",
    "local time that clocks show twice",
    "IANA time zone database; PEP 495; CalTRACK 2.0, 2.3.3: clock changes are to be handled",
)
ESTIMATED = Flag(
    "estimated",
    32,
    "its report says that it was estimated, not measured",
    "Included everywhere.",
    "the report says so",
    "What the sender knows; ESPI (NAESB REQ.21) QualityOfReading 8 and 9, estimated; NEM12 quality"
    " flag E",
)

FLAGS = (MISSING, CATCH_UP, IMPLAUSIBLE, ZERO_VOLTAGE, REPEATED_HOUR, ESTIMATED)

FLAGGED_BITS = CATCH_UP.bit | IMPLAUSIBLE.bit | ZERO_VOLTAGE.bit
"""The flags counted as flagged; a missing reading is not present in the first place."""
