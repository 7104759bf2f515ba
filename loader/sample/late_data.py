"""Late data: readings of a day that are missing or estimated until a second delivery.

Every fourth day of a meter has two deliveries. The first lacks some hours and has estimates in the
hour before them. The second adds the missing hours, corrects the estimates and repeats the hour
before the estimates unchanged.
"""

from datetime import date
from random import Random
from typing import NamedTuple

from loader.sample.fleet import SampleMeter
from loader.sample.meter_day import DayReadings

_EVERY_DAYS = 4
_MAX_HOURS = 4


class LateHours(NamedTuple):
    """The first late hour of a day and the one after the last, counted from midnight."""

    first: int
    end: int


def late_hours(meter: SampleMeter, day: date) -> LateHours | None:
    """Return the late hours of a day; None if it has one delivery."""
    if (meter.number + day.toordinal()) % _EVERY_DAYS:
        return None
    random = Random(f"{meter.seed} {meter.number} {day.toordinal()} late").random  # noqa: S311 - not for secrets
    first = 2 + int(17 * random())
    return LateHours(first, first + 1 + int(_MAX_HOURS * random()))


def first_delivery(readings: DayReadings, late: LateHours, interval: int) -> DayReadings:
    """Return the readings of a day that arrive in time."""
    per_hour = 3600 // interval
    first, end = late.first * per_hour, late.end * per_hour
    delivered = readings.copy()
    for index in range(first - per_hour, first):
        if values := readings[index]:
            delivered[index] = (round(values[0] * 1100 + 1) / 1000, *values[1:])
    delivered[first:end] = [None] * (end - first)
    return delivered


def second_delivery(readings: DayReadings, late: LateHours, interval: int) -> DayReadings:
    """Return the readings of a day that arrive later."""
    per_hour = 3600 // interval
    hours = range((late.first - 2) * per_hour, late.end * per_hour)
    return [values if index in hours else None for index, values in enumerate(readings)]
