"""Registers the meters of a fleet: `python -m bench.registration meters.csv`."""

import asyncio
import csv
import sys
from pathlib import Path

from settings import load_settings
from storage.factory import open_importer


async def register(list_of_meters: Path) -> None:
    """Create the configured database, with the meters of a table that the sample writes.

    The last one comes first: the first meter of the sample is to lie behind the others.
    """
    database = open_importer(load_settings())
    try:
        async for _ in database.engine.prepare():
            pass
        with list_of_meters.open(newline="", encoding="utf-8") as file:
            meters = list(csv.DictReader(file))
        await database.engine.begin_change()
        for meter in reversed(meters):
            await database.meters.register(
                meter["public_id"], meter["timezone"], meter["identifier"]
            )
        await database.engine.commit()
    finally:
        await database.engine.close()


if __name__ == "__main__":
    asyncio.run(register(Path(sys.argv[1])))
