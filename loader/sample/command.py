"""The command `elecdata sample`."""

import sys
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from click.core import ParameterSource

from cli.commands import EscapingCommand
from cli.error_boundary import report_unexpected
from cli.printing import print_line
from loader.rows.reader import FIRST_YEAR, LAST_YEAR
from loader.sample.bakery import (
    DEFAULT_READINGS,
    DEFAULT_START,
    INTERVAL,
    SEED,
    TIMEZONE,
    report,
)
from loader.sample.delivery import write_fleet
from loader.sample.fleet import MAX_METERS, Fleet

_FLEET_ONLY = ("days", "output", "one_file", "late")
_ONE_METER_ONLY = ("readings", "interval")


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
    help="Seed of the random generator; the same seed gives the same reports.",
)
@click.option(
    "--timezone",
    callback=_zone,
    default=TIMEZONE,
    show_default=True,
    metavar="ZONE",
    help="Time zone of the local times in the report; of a fleet, that of most meters.",
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
@click.option(
    "--meters",
    type=click.IntRange(1, MAX_METERS),
    metavar="NUMBER",
    help="Write a fleet of this many meters to a folder.",
)
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="NUMBER",
    help="Number of days of a fleet.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="fleet",
    show_default=True,
    metavar="FOLDER",
    help="Folder of a fleet, new or empty.",
)
@click.option(
    "--one-file",
    is_flag=True,
    help="Write one report of all meters, in the format distributor-hourly.",
)
@click.option(
    "--late",
    is_flag=True,
    help="Deliver some readings of a fleet late, in the folder late/.",
)
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
@click.pass_context
def main(
    context: click.Context,
    readings: int,
    start: datetime,
    seed: int,
    timezone: str,
    interval: int,
    meters: int | None,
    days: int,
    output: Path,
    *,
    one_file: bool,
    late: bool,
    debug: bool,
) -> None:
    """Write a synthetic report of one meter to standard output, or those of a fleet to a folder.

    The meter is that of a bakery; its report has gaps and errors.

    A fleet consists of households, solar homes, shops and factories. Most meters are in the time
    zone of --timezone, some in Atlantic/Canary and Asia/Kolkata; most have a reading every 15
    minutes, some every half hour or hour. Some readings and some values are missing. Solar homes
    import less around noon; what they export is not in the reports. The folder has meters.csv, a
    list of the meters with made-up CUPS, and reports/ with a report of each meter; its name begins
    with the meter's id, such as m000001_2019-08-01.csv. With --one-file, reports/ has only
    all-meters.csv, which is hourly.

    With --late, reports/ lacks some hours and has estimates in others. The reports in late/ add the
    missing hours, correct the estimates and repeat some readings, newest day first and unordered
    within a day. Load them after the others.

    The same seed gives the same meters and readings, whatever --meters, --start and --days are: a
    later start gives the fleet's next delivery.

    \b
    Examples:
      elecdata sample > Monitoring_report.csv
      elecdata sample --readings 1000000 --start 1997-01-01 | gzip > million.csv.gz
      elecdata sample --interval 3600 --timezone America/New_York --seed 7 > hours.csv
      elecdata sample --meters 100 --days 30 --late --output fleet
      elecdata sample --meters 10000 --one-file --output day

    \b
    Status: 0 success, 1 failure, 2 wrong command line.
    """
    _refuse_others(context, is_fleet=meters is not None)
    with report_unexpected(debug=debug):
        if meters is None:
            _print(
                report(
                    readings, start=start.date(), seed=seed, timezone=timezone, interval=interval
                )
            )
            return
        dates = _dates(start.date(), days)
        _make_folder(output)
        written = write_fleet(
            output, Fleet(meters, seed, timezone), dates, with_late_data=late, in_one_file=one_file
        )
        later = f" and {written.late} late ones" if late else ""
        print_line(f"OK - {meters} meters, {written.in_time} readings{later} written to {output}")


def _refuse_others(context: click.Context, *, is_fleet: bool) -> None:
    """Raise UsageError if an option is given that is for the other use of the command."""
    for option in context.command.params:
        assert option.name is not None
        if context.get_parameter_source(option.name) is ParameterSource.DEFAULT:
            continue
        if not is_fleet and option.name in _FLEET_ONLY:
            raise click.UsageError(f"{option.opts[0]} is for a fleet: add --meters")
        if is_fleet and option.name in _ONE_METER_ONLY:
            raise click.UsageError(f"{option.opts[0]} is for one meter: leave out --meters")


def _print(blocks: Iterable[str]) -> None:
    try:
        for block in blocks:
            sys.stdout.buffer.write(block.encode())
        sys.stdout.flush()
    except OverflowError as error:
        raise click.ClickException("the dates are outside the years 1 to 9999") from error


def _dates(start: date, days: int) -> list[date]:
    """Return the dates of a fleet's readings, all of which a report may have."""
    first, end = date(FIRST_YEAR, 1, 1), date(LAST_YEAR + 1, 1, 1)
    if start < first or days > (end - start).days:
        raise click.ClickException(f"the dates are outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return [start + timedelta(days=number) for number in range(days)]


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise click.ClickException(f"{folder}: is not empty: give another --output")
