"""Makes a group of all meters of the configured database: `python -m bench.group_of_all NAME`."""

import asyncio
import sys

from settings import load_settings
from storage.access.groups import GroupProperties, MemberProperties
from storage.access.targets import Target
from storage.factory import open_importer


async def make_group(name: str) -> None:
    """Add a group with all meters."""
    database = open_importer(load_settings())
    try:
        async for _ in database.engine.prepare():
            pass
        await database.engine.begin_change()
        await database.groups.add(GroupProperties(name))
        meters = [meter.properties.public_id async for meter in database.directory.listings()]
        for meter in meters:
            await database.groups.add_member(name, MemberProperties(Target(meter)))
        await database.engine.commit()
    finally:
        await database.engine.close()


if __name__ == "__main__":
    asyncio.run(make_group(sys.argv[1]))
