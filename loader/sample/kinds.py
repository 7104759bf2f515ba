"""The kinds of customers in a sample fleet, with their typical loads."""

from dataclasses import dataclass, replace
from math import sqrt

Hours = tuple[float, ...]
"""A value for each full hour of a day, in local time."""


@dataclass(frozen=True, slots=True)
class CustomerKind:
    """A kind of customer."""

    name: str
    week: tuple[Hours, ...]
    """kW on each day from Monday to Sunday."""
    season: tuple[float, ...]
    """Factor on the load on each 1st of a month."""
    reactive: float
    """kVAr for each kW."""
    volts: float
    phase_factor: float
    """The square root of 3 for three phases, 1 for one."""
    appliance: float = 0
    """kW of an appliance that is on for an interval now and then."""
    has_panels: bool = False
    """Solar panels reduce the import; export cannot be stored yet, so reports do not have it."""


# Lunch and dinner, as they are eaten in Spain.
_WORKING_DAY = (
    0.25, 0.2, 0.2, 0.18, 0.18, 0.2, 0.3, 0.6, 0.55, 0.4, 0.35, 0.4,
    0.5, 0.8, 1.3, 0.9, 0.5, 0.4, 0.5, 0.7, 1.1, 1.6, 1.1, 0.5,
)  # fmt: skip
_WEEKEND = (
    0.4, 0.3, 0.22, 0.2, 0.18, 0.18, 0.2, 0.25, 0.4, 0.7, 0.9, 0.9,
    1, 1.3, 1.8, 1.4, 0.9, 0.7, 0.7, 0.8, 1.2, 1.5, 1.2, 0.7,
)  # fmt: skip
_OPEN = (
    0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 1.5, 5, 6.5, 7,
    7, 6.8, 5.5, 5.5, 6, 7, 7.2, 7, 6, 1.5, 0.9, 0.9,
)  # fmt: skip
_CLOSED = (0.9,) * 24
# Shifts begin at 6 and 14.
_TWO_SHIFTS = (
    18, 18, 18, 18, 18, 40, 170, 185, 190, 180, 190, 185,
    190, 160, 120, 165, 170, 165, 150, 165, 160, 140, 30, 18,
)  # fmt: skip
_ONE_SHIFT = (*_TWO_SHIFTS[:14], 30, *(18,) * 9)
_IDLE = (18.0,) * 24

_HEATED = (1.35, 1.25, 1.1, 0.95, 0.85, 0.9, 1.05, 1.05, 0.9, 0.9, 1.1, 1.3)
_COOLED = (1.05, 1, 0.95, 0.95, 1, 1.1, 1.25, 1.25, 1.1, 1, 0.95, 1.05)
_EVEN = (1, 1.02, 1.02, 1, 1, 1.02, 1, 0.8, 1, 1.02, 1.02, 0.95)

HOUSEHOLD = CustomerKind(
    "household",
    (*(_WORKING_DAY,) * 5, _WEEKEND, _WEEKEND),
    _HEATED,
    reactive=0.2,
    volts=230,
    phase_factor=1,
    appliance=1.8,
)
SOLAR_HOME = replace(HOUSEHOLD, name="solar home", has_panels=True)
SHOP = CustomerKind(
    "shop",
    (*(_OPEN,) * 6, _CLOSED),
    _COOLED,
    reactive=0.35,
    volts=400,
    phase_factor=sqrt(3),
)
FACTORY = CustomerKind(
    "factory",
    (*(_TWO_SHIFTS,) * 5, _ONE_SHIFT, _IDLE),
    _EVEN,
    reactive=0.7,
    volts=400,
    phase_factor=sqrt(3),
)

# kW for each kW of panels at each full hour of a clear day, and its factor on each 1st of a month
SUNLIGHT = (
    0, 0, 0, 0, 0, 0, 0, 0.04, 0.13, 0.27, 0.41, 0.53,
    0.62, 0.67, 0.67, 0.61, 0.5, 0.36, 0.21, 0.09, 0.02, 0, 0, 0,
)  # fmt: skip
SUN_SEASON = (0.5, 0.65, 0.85, 1, 1.1, 1.15, 1.2, 1.15, 1, 0.8, 0.6, 0.5)
