"""The readings of a sample meter on one day.

The readings of a day depend only on its date, the seed and the meter, so a later start gives a
fleet's next delivery. The meter's register counts on during a gap, so the energy after it is a
catch-up. The first and the last reading of a day are never missing.
"""

from collections.abc import Callable, Sequence
from datetime import date
from math import sqrt
from random import Random

from loader.sample.fleet import SampleMeter
from loader.sample.kinds import SUN_SEASON, SUNLIGHT
from loader.sample.local_days import LocalTime, daily_curve, seasonal_factor

Values = tuple[float, ...]
"""The quantities of a reading, in the order of a report; empty if all are missing."""

DayReadings = list[Values | None]
"""A day's readings in the order of its times, None for one that is missing."""

_OUTAGE_CHANCE, _OUTAGE_HOURS = 0.08, 6
"""Share of days with missing readings, and how many hours they last at most."""

_EMPTY_CHANCE, _EMPTY_READINGS = 0.1, 3
"""Share of days that have readings without values, and how many at most."""

_APPLIANCE_CHANCE = 0.06
"""Share of intervals in which an appliance is on."""

ABSENT, EMPTY = -1, -2
"""Instead of Wh: an hour without readings, and one whose readings have no values."""


def simulate_day(meter: SampleMeter, day: date, times: Sequence[LocalTime]) -> DayReadings:
    """Return the readings at the times of a day."""
    random = Random(f"{meter.seed} {meter.number} {day.toordinal()}").random  # noqa: S311 - not for secrets
    kind = meter.kind
    curve = daily_curve(kind.week[day.weekday()], meter.interval)
    scale = meter.size * seasonal_factor(day, kind.season) * (0.85 + 0.3 * random())
    sunlight = daily_curve(SUNLIGHT, meter.interval)
    panels = 4 * meter.size * seasonal_factor(day, SUN_SEASON) * (0.3 + 0.7 * random())
    missing, empty = _gaps(random, len(times), meter.interval)
    watt_hours = meter.interval / 3.6  # of 1 kW
    active = reactive = wander = 0.0
    last_active = last_reactive = 0
    readings: DayReadings = []
    for index, (_, slot) in enumerate(times):
        wander = 0.8 * wander + 0.3 * (random() - 0.5)
        power = curve[slot] * scale * (1 + wander)
        if random() < _APPLIANCE_CHANCE:
            power += kind.appliance * random()
        if kind.has_panels:
            power = max(power - panels * sunlight[slot] * (0.7 + 0.3 * random()), 0.0)
        reactive_power = power * kind.reactive * (0.8 + 0.4 * random()) + 0.02
        active += power * watt_hours * (0.98 + 0.04 * random())
        reactive += reactive_power * watt_hours
        if index in missing:
            readings.append(None)
            continue
        if index in empty:
            readings.append(())
            continue
        energy, last_active = int(active) - last_active, int(active)
        reactive_energy, last_reactive = int(reactive) - last_reactive, int(reactive)
        apparent = sqrt(power * power + reactive_power * reactive_power)
        voltage = kind.volts * (0.98 + 0.04 * random())
        readings.append(
            (
                energy / 1000,
                reactive_energy / 1000,
                power,
                power * (1.02 + 0.2 * random()) + 0.01,
                reactive_power,
                voltage,
                apparent * 1000 / (voltage * kind.phase_factor),
                power / apparent,
            )
        )
    return readings


def hourly_energies(readings: DayReadings, interval: int) -> list[int]:
    """Return the Wh of each whole hour of a day, or ABSENT or EMPTY."""
    per_hour = 3600 // interval
    return [
        _hourly_energy(readings[first : first + per_hour])
        for first in range(0, len(readings) - per_hour + 1, per_hour)
    ]


def _hourly_energy(readings: DayReadings) -> int:
    energies = [round(values[0] * 1000) for values in readings if values]
    if energies:
        return sum(energies)
    return ABSENT if all(values is None for values in readings) else EMPTY


def _gaps(random: Callable[[], float], readings: int, interval: int) -> tuple[range, range]:
    """Return which readings of a day are missing, and which are there without values."""
    missing = empty = range(0)
    if random() < _OUTAGE_CHANCE:
        missing = _span(random, _OUTAGE_HOURS * 3600 // interval, readings)
    if random() < _EMPTY_CHANCE:
        empty = _span(random, _EMPTY_READINGS, readings)
    return missing, empty


def _span(random: Callable[[], float], longest: int, readings: int) -> range:
    """Return a random span of readings, neither the first of a day nor the last."""
    length = 1 + int(longest * random())
    first = 1 + int(max(readings - length - 1, 0) * random())
    return range(first, min(first + length, readings - 1))
