"""Measures sums of several meters together: `python -m bench.group_sums --interval day ...`."""

import asyncio
import time
from datetime import date, datetime
from typing import Literal

import click

from bench.process import cpu_seconds
from settings import load_settings
from storage.factory import open_database
from storage.figures.days.meters import sums_of_meters

MIN_REPETITIONS = 5


@click.command()
@click.option("--interval", type=click.Choice(["day", "month"]), required=True)
@click.option("--meters", type=int, required=True)
@click.option("--first", type=click.DateTime(["%Y-%m-%d"]), required=True)
@click.option("--last", type=click.DateTime(["%Y-%m-%d"]), required=True)
@click.option("--seconds", type=float, required=True, help="How long it is repeated.")
@click.option("--database-pid", type=int, help="The process of the database, if it has one.")
def main(
    interval: Literal["day", "month"],
    meters: int,
    first: datetime,
    last: datetime,
    seconds: float,
    database_pid: int | None,
) -> None:
    """Print the milliseconds of a core, here and in the database, for the sums of meters."""
    days = first.date(), last.date()
    spent = asyncio.run(_measure(interval, meters, days, seconds, database_pid))
    click.echo(f"{spent * 1000}")


async def _measure(
    interval: Literal["day", "month"],
    meters: int,
    days: tuple[date, date],
    seconds: float,
    database_pid: int | None,
) -> float:
    database = open_database(load_settings())
    ids = range(1, meters + 1)

    def clock() -> float:
        in_database = cpu_seconds(database_pid).values() if database_pid else ()
        return time.process_time() + sum(in_database)

    try:
        sums = await sums_of_meters(database._engine, ids, *days, interval)
        if not sums or sums[0].energy is None:
            raise click.ClickException("there are no sums of these meters")
        count = 0
        end = time.monotonic() + seconds
        before = clock()
        while count < MIN_REPETITIONS or time.monotonic() < end:
            await sums_of_meters(database._engine, ids, *days, interval)
            count += 1
        return (clock() - before) / count
    finally:
        await database.close()


if __name__ == "__main__":
    main()
