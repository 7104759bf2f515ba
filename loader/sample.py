"""Generate the sample report: `python -m loader.sample > Monitoring_report.csv`.

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

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain, repeat
from math import sqrt
from random import Random
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from cli.commands import EscapingCommand
from cli.error_boundary import report_unexpected
from domain.quantities import MONTH_NAMES, QUANTITIES
from loader.formats.monitoring import MONITORING_HEADER

ROW = "%s" + len(QUANTITIES) * ",%.3f" + "\n"  # faster than an f-string
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
    yield f"{','.join(MONITORING_HEADER)}\n"
    random = Random(seed).random  # noqa: S311 - not for secrets; the one stream stable for ever
    curves = {hours: _daily_curve(hours, interval) for hours in set(WEEK)}
    watt_hours = interval / 3.6  # of 1 kW
    step = min(max(interval // 9, 1), 100)  # resolution of the registers in Wh
    missing = "," * len(QUANTITIES) + "\n"
    jitters = (0, step // 100, step // 10)
    active = reactive = 0.0
    last_active = last_reactive = number = 0
    wander = 0.0

    for day, times in _days(start, ZoneInfo(timezone), interval):
        if number >= readings:
            return
        curve = curves[WEEK[day.weekday()]]
        scale = _seasonal_factor(day) * (0.93 + 0.14 * random())
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
                lines.append(f"{local}{missing}")
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


def _days(
    first: date, zone: ZoneInfo, interval: int
) -> Iterator[tuple[date, list[tuple[str, int]]]]:
    """Yield each local day with its times from midnight on, each with its slot in the curve."""
    clock = [
        (f" {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}", slot)
        for slot, second in enumerate(range(0, 86_400, interval))
    ]
    day, start = first, _midnight(first, zone)
    while True:
        tomorrow = day + timedelta(days=1)
        end = _midnight(tomorrow, zone)
        if end - start == timedelta(days=1):
            text = _format_date(day)
            yield day, [(text + time_of_day, slot) for time_of_day, slot in clock]
        else:
            yield day, _times(start, end, zone, interval)
        day, start = tomorrow, end


def _times(start: datetime, end: datetime, zone: ZoneInfo, interval: int) -> list[tuple[str, int]]:
    times = []
    while start < end:
        local = start.astimezone(zone)
        second = local.hour * 3600 + local.minute * 60 + local.second
        times.append((f"{_format_date(local)} {local:%H:%M:%S}", second // interval))
        start += timedelta(seconds=interval)
    return times


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _format_date(day: date) -> str:
    return f"{day.day} {MONTH_NAMES[day.month - 1]} {day.year}"


def _seasonal_factor(day: date) -> float:
    """Return the factor of the time of year on the hourly load."""
    first, second = SEASON[day.month - 1], SEASON[day.month % 12]
    return first + (second - first) * (day.day - 1) / 31


def _daily_curve(hours: Sequence[float], interval: int) -> list[float]:
    """Return the kW at the start of each interval of a day, interpolated between full hours."""
    return [
        hours[hour] + (hours[(hour + 1) % 24] - hours[hour]) * second / 3600
        for hour in range(24)
        for second in range(0, 3600, interval)
    ]


def _zone(_context: click.Context, _option: click.Parameter, name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(f"{name!r} is not an IANA time zone") from error
    return name


def _divisor(_context: click.Context, _option: click.Parameter, seconds: int) -> int:
    if 3600 % seconds:
        raise click.BadParameter(f"{seconds} seconds does not divide an hour")
    return seconds


@click.command(cls=EscapingCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--readings",
    type=click.IntRange(min=0),
    default=DEFAULT_READINGS,
    show_default=True,
    metavar="NUMBER",
    help="Number of readings.",
)
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    default=f"{DEFAULT_START}",
    show_default=True,
    metavar="YYYY-MM-DD",
    help="Date of the first reading, which is at midnight.",
)
@click.option(
    "--seed",
    type=int,
    default=SEED,
    show_default=True,
    metavar="NUMBER",
    help="Seed of the random generator; the same seed gives the same report.",
)
@click.option(
    "--timezone",
    callback=_zone,
    default=TIMEZONE,
    show_default=True,
    metavar="ZONE",
    help="Time zone of the local times in the report.",
)
@click.option(
    "--interval",
    type=click.IntRange(1, 3600),
    callback=_divisor,
    default=INTERVAL,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between readings; must divide an hour.",
)
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
def main(
    readings: int, start: datetime, seed: int, timezone: str, interval: int, *, debug: bool
) -> None:
    """Write a synthetic report to standard output: the load of a bakery, with gaps and errors.

    \b
    Examples:
      elecdata sample > Monitoring_report.csv
      elecdata sample --readings 1000000 --start 1997-01-01 | gzip > million.csv.gz
      elecdata sample --interval 3600 --timezone America/New_York --seed 7 > hours.csv

    \b
    Status: 0 success, 1 failure, 2 wrong command line.
    """
    blocks = report(readings, start=start.date(), seed=seed, timezone=timezone, interval=interval)
    with report_unexpected(debug=debug):
        try:
            for block in blocks:
                sys.stdout.buffer.write(block.encode())
            sys.stdout.flush()
        except OverflowError as error:
            raise click.ClickException("the dates are outside the years 1 to 9999") from error


if __name__ == "__main__":
    main(prog_name="python -m loader.sample")
