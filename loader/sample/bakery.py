"""The sample report of one meter: `elecdata sample > Monitoring_report.csv`.

The readings are synthetic: a seeded generator makes up the meter of a bakery, whose ovens run
before dawn, whose shop is open by day and which rests on Sundays. It uses more in winter than in
summer, its capacitors make reactive power negative under load, and its meter at times averages a
dead phase into the voltage. Only the `DOCUMENTED` readings are those of a real meter, so that the
examples in the documentation hold on the sample.

Like a real report, it has its faults, which return every 11,716 readings:
- `GAPS`: twelve stretches, 113 readings in all, without any value. The register counts on
  meanwhile, so the energy after a gap is a catch-up that holds the consumption of the whole gap.
- `IMPLAUSIBLE_READINGS`: six energies far beyond what the maximeter of their own interval allows.
- About one reading in 2,000 with no voltage although current flows.

Any length, start, zone and interval can be had. Dates are local: an hour that the clocks skip is
left out, an hour that they repeat stands twice. The same options give the same bytes everywhere.
"""

from collections.abc import Iterator
from datetime import date
from itertools import chain, repeat
from math import sqrt
from random import Random
from zoneinfo import ZoneInfo

from loader.sample.local_days import daily_curve, local_days, seasonal_factor
from loader.sample.rows import EMPTY_VALUES, HEADER_LINE, ROW

DEFAULT_READINGS = 11_716
DEFAULT_START = date(2019, 8, 1)
SEED = 2019
TIMEZONE = "Europe/Madrid"
INTERVAL = 900

DOCUMENTED = {
    1: "1 Aug 2019 00:00:00,1.211,0.200,5.156,5.306,-8.382,121.955,53.003,0.857",
    2: "1 Aug 2019 00:15:00,1.299,0.300,5.297,6.215,-8.295,121.135,57.352,0.047",
    5: "1 Aug 2019 01:00:00,1.710,0.610,9.423,14.644,-10.102,122.010,78.312,0.869",
    100: "2 Aug 2019 00:45:00,3.201,0.200,11.448,14.157,-13.400,121.335,93.346,0.073",
    3937: "11 Sep 2019 00:00:00,5.800,0.000,23.216,23.351,-16.682,185.969,129.175,0.873",
    3941: "11 Sep 2019 01:00:00,4.500,0.200,17.239,20.322,-7.561,186.711,89.683,0.898",
    4073: "12 Sep 2019 10:00:00,0.899,0.600,3.537,4.125,2.395,184.096,18.779,0.957",
    4074: "12 Sep 2019 10:15:00,1.301,1.000,6.658,11.758,5.206,183.938,37.313,0.952",
    4075: "12 Sep 2019 10:30:00,2.699,1.099,10.534,11.580,-1.087,183.783,64.512,0.952",
}  # fmt: skip
"""The readings that the documentation shows, by id; each is used if its date has its id."""

GAPS = {
    1254: 1, 2011: 2, 2903: 1, 4690: 1, 5322: 5, 5334: 1,
    6409: 1, 7148: 5, 7155: 2, 8800: 1, 10053: 92, 11090: 1,
}  # fmt: skip
"""The first id of each gap, and the number of its readings."""

IMPLAUSIBLE_READINGS = {799: 60, 2440: 24, 5017: 110, 6890: 16, 9212: 260, 11377: 35}
"""The id of each implausible energy, and its factor."""

MISSING_READINGS = frozenset(
    chain.from_iterable(range(i, i + length) for i, length in GAPS.items())
)

# kW at each full hour
WORKING_DAY = (
    21, 22, 23, 23, 24, 25, 26, 24, 18, 14, 13, 13, 12, 11, 10, 10, 11, 11, 12, 11, 10, 12, 16, 19,
)  # fmt: skip
SATURDAY = (
    21, 22, 24, 25, 26, 27, 28, 25, 19, 15, 14, 14, 13, 11, 8, 6, 5, 5, 5, 5, 5, 5, 5, 5,
)  # fmt: skip
SUNDAY = (5, 5, 5, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 4, 4, 4, 4, 5, 5, 6, 9, 15)
WEEK = (*repeat(WORKING_DAY, 5), SATURDAY, SUNDAY)
SEASON = (1.2, 1.15, 1.05, 0.95, 0.85, 0.75, 0.7, 0.6, 0.9, 1.05, 1.15, 1.2)  # each 1st of a month
VOLTS = (236, 236, 243, 236, 236, 184, 184, 236, 243, 236, 119)  # each week, over and over


def report(
    readings: int = DEFAULT_READINGS,
    *,
    start: date = DEFAULT_START,
    seed: int = SEED,
    timezone: str = TIMEZONE,
    interval: int = INTERVAL,
) -> Iterator[str]:
    """Yield the report in blocks of whole lines: the header, then day by day, in constant memory.

    `interval` is in seconds and divides an hour.
    """
    yield HEADER_LINE
    random = Random(seed).random  # noqa: S311 - not for secrets; the one stream stable for ever
    curves = {hours: daily_curve(hours, interval) for hours in set(WEEK)}
    watt_hours = interval / 3.6  # of 1 kW
    step = min(max(interval // 9, 1), 100)  # resolution of the registers in Wh
    jitters = (0, step // 100, step // 10)
    active = reactive = 0.0
    last_active = last_reactive = number = 0
    wander = 0.0

    for day, times in local_days(start, ZoneInfo(timezone), interval):
        if number >= readings:
            return
        curve = curves[WEEK[day.weekday()]]
        scale = seasonal_factor(day, SEASON) * (0.93 + 0.14 * random())
        volts = VOLTS[day.toordinal() // 7 % len(VOLTS)]
        lines = []
        for local, slot in times[: readings - number]:
            number += 1
            position = (number - 1) % DEFAULT_READINGS + 1

            wander = 0.9 * wander + 0.16 * (random() - 0.5)
            power = curve[slot] * scale * (1 + wander)
            reactive_power = 3 - 0.5 * power + 6 * (random() - 0.5)
            active += power * watt_hours * (0.97 + 0.06 * random())
            reactive += (max(reactive_power, 0) + 1.6 * random()) * watt_hours
            if position in MISSING_READINGS:
                lines.append(f"{local}{EMPTY_VALUES}")
                continue

            jitter = jitters[int(3 * random())]
            register = int(active) // step * step + jitter
            energy = (register - last_active) / 1000 * IMPLAUSIBLE_READINGS.get(position, 1)
            last_active = register
            register = int(reactive) // step * step
            reactive_energy = (register - last_reactive) / 1000
            last_reactive = register

            spread = random()
            # products, as pow() may differ by platform
            peak = spread * spread * spread
            maximeter = power * (1.002 + 0.015 * spread) + 5 * peak * peak * peak
            spread = random()
            voltage = volts + 4 * spread if spread > 0.0005 else 0
            apparent = sqrt(power * power + reactive_power * reactive_power)
            intensity = apparent * (4.4 + 0.2 * random())
            power_factor = power / apparent * (1 - 0.03 * random())
            values = (
                local, energy, reactive_energy, power, maximeter,
                reactive_power, voltage, intensity, power_factor,
            )  # fmt: skip
            lines.append(ROW % values)
            if number in DOCUMENTED and DOCUMENTED[number].startswith(f"{local},"):
                lines[-1] = f"{DOCUMENTED[number]}\n"
        yield "".join(lines)
