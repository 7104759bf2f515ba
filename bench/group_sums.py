"""Measures sums of a group of all meters: `python -m bench.group_sums --interval day ...`."""

import asyncio
import time

import click

from bench.process import cpu_seconds
from settings import load_settings
from storage.access.groups import GroupProperties, MemberProperties
from storage.access.targets import Target
from storage.database import Database
from storage.factory import open_database, open_importer
from storage.groups.aggregate import GroupAggregate

MIN_REPETITIONS = 5
GROUP = "all"


@click.command()
@click.option("--interval", type=click.Choice(["day", "month"]), required=True)
@click.option("--first", required=True)
@click.option("--last", required=True)
@click.option("--seconds", type=float, required=True, help="How long it is repeated.")
@click.option("--database-pid", type=int, help="The process of the database, if it has one.")
def main(interval: str, first: str, last: str, seconds: float, database_pid: int | None) -> None:
    """Print the milliseconds of a core, here and in the database, for the sums of a group."""
    params = {"interval": interval, "date": first, "end_date": last}
    spent = asyncio.run(_measure(GroupAggregate.of(params), seconds, database_pid))
    click.echo(f"{spent * 1000}")


async def _measure(query: GroupAggregate, seconds: float, database_pid: int | None) -> float:
    await _make_group()
    database = open_database(load_settings())

    def clock() -> float:
        in_database = cpu_seconds(database_pid).values() if database_pid else ()
        return time.process_time() + sum(in_database)

    try:
        if not await _energy(database, query):
            raise click.ClickException("there are no sums of these meters")
        count = 0
        end = time.monotonic() + seconds
        before = clock()
        while count < MIN_REPETITIONS or time.monotonic() < end:
            await _energy(database, query)
            count += 1
        return (clock() - before) / count
    finally:
        await database.close()


async def _energy(database: Database, query: GroupAggregate) -> int:
    """Return the energy of all buckets."""
    state = await database.group_state(GROUP)
    assert state is not None
    table = await database.group_figures(query, state)
    place = [field.name for field in table.fields].index("energy")
    return sum([int(row[place] or 0) async for rows in table.rows for row in rows])


async def _make_group() -> None:
    """Make a group of all meters, unless there is one."""
    database = open_importer(load_settings())
    try:
        if not await database.engine.is_prepared():
            raise click.ClickException("there is no database")
        await database.engine.begin_change()
        if not await database.groups.exists(GROUP):
            await database.groups.add(GroupProperties(GROUP))
            async for meter in database.directory.listings():
                await database.groups.add_member(
                    GROUP, MemberProperties(Target(meter.properties.public_id))
                )
        await database.engine.commit()
    finally:
        await database.engine.close()


if __name__ == "__main__":
    main()
