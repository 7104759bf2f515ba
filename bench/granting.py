"""Grants each meter of a database to several users: `python -m bench.granting USER ...`."""

import asyncio
import sys

from settings import load_settings
from storage.factory import open_importer


async def grant(users: list[str]) -> None:
    """Give each user a grant for each meter, in place of the grants that they have."""
    database = open_importer(load_settings())
    try:
        await database.engine.is_prepared()
        await database.engine.begin_change()
        mark = database.engine.dialect.placeholder
        for user in users:
            await database.engine.execute(f"DELETE FROM grants WHERE user = {mark}", (user,))
            await database.engine.execute(
                "INSERT INTO grants (user, id, meter_id, permission, granted_by, granted)"
                f" SELECT {mark}, id, id, 'read', '', 0 FROM meters",
                (user,),
            )
        await database.engine.execute("UPDATE access SET changes = changes + 1")
        await database.engine.commit()
    finally:
        await database.engine.close()


if __name__ == "__main__":
    asyncio.run(grant(sys.argv[1:]))
