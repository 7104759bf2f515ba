"""Write the examples of the OpenAPI document of /v1; `make reference-pages` runs it."""

import asyncio
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from server.v1.openapi import EXAMPLES_FILE
from server.v1.routes import V1_ROUTES
from tests.support.app_client import application, token
from tests.support.databases import BUILDING, SqliteDatabase
from tests.support.paths import SAMPLE

MOST_RECORDS = 3
"""Records of an example; long answers have more."""

_CURSOR = re.compile("cursor=[A-Za-z0-9_=-]+")
_EXPECTED = 96
_FINISHED = "2019-12-01T09:00:00+01:00"


async def answers(client: TestClient[Any, Any], bearer: str) -> dict[str, Any]:
    """Return the answer of each route to its example's parameters, by the names of routes.

    What differs between databases of the sample, such as cursors, is as in the examples.
    """
    found = {}
    for route in V1_ROUTES:
        async with client.get(
            route.path.format(meter="main", group=BUILDING, number=1),
            params=route.example,
            headers={"Authorization": f"Bearer {bearer}"},
        ) as response:
            text = await response.text()
            assert response.status == 200, text
        answer = json.loads(_CURSOR.sub("cursor=AAAAAF1EsmAAAADmtS8", text))
        if not route.is_single:
            answer["data"] = answer["data"][:MOST_RECORDS]
            for record in (*answer["data"], answer["meta"].get("import", {})):
                if "finished" in record:
                    record["finished"] = _FINISHED
                if "gaps" in record:  # on the day when clocks change, some more or less
                    record["expected"] = _EXPECTED
        found[route.name] = answer
    return found


async def main() -> None:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        database = SqliteDatabase(Path(folder))
        await database.load(SAMPLE)
        await database.admit("rick")
        await database.add_group(BUILDING, "main")
        app, _ = application(database)
        async with TestClient(TestServer(app)) as client:
            found = await answers(client, token())
    EXAMPLES_FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
