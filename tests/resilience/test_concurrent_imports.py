"""Two loaders and fifty streams at once."""

import asyncio
import sys

import pytest
from aiohttp import ClientPayloadError

from tests.resilience.clients import Asking
from tests.resilience.readings import assert_kept_whole, numbered_report
from tests.server.process.test_server_command import Server
from tests.support.databases import DatabaseFixture
from tests.support.paths import ROOT
from tests.support.promises import Tried

pytestmark = [pytest.mark.promise("Bad nights"), pytest.mark.trust]

STREAMS = 50
COUNT = 9000
FIRST = (1, 100_001, 200_001)


async def load(database: DatabaseFixture, report: str) -> int:
    """The exit status of a loader."""
    loader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loader", "--quiet", "--allow-corrections"),
        *("--config", str(database.config), report),
        cwd=ROOT,
    )
    return await loader.wait()


async def test_two_loaders_and_fifty_streams_at_once(
    database: DatabaseFixture, tried: Tried
) -> None:
    """Both imports are written, one after the other; each answer is of one of the three, or cut."""
    reports = [database.file(numbered_report(COUNT, n), f"report-{n}.csv") for n in FIRST]
    await database.load(reports[0])
    await database.admit("rick")
    server = await asyncio.to_thread(lambda: Server(database.config, ELECDATA_CACHE__TTL="0"))
    whole = cut = 0
    with server:
        port = await asyncio.to_thread(server.port)
        loading = True

        async def stream(asking: Asking) -> None:
            nonlocal whole, cut
            while loading:
                try:
                    body = await asking.ask("getData")
                except ClientPayloadError:
                    cut += 1
                    continue
                records = body["values"]["records"]
                assert [int(record["id"]) for record in records] == list(range(1, COUNT + 1))
                numbers = {float(record["energy"]) - int(record["id"]) + 1 for record in records}
                assert len(numbers) == 1
                assert numbers <= set(FIRST)
                whole += 1

        async with Asking(port) as asking, asyncio.TaskGroup() as group:
            for _ in range(STREAMS):
                group.create_task(stream(asking))
            while not whole:
                await asyncio.sleep(0.05)
            statuses = await asyncio.gather(*(load(database, report) for report in reports[1:]))
            loading = False
        assert statuses == [0, 0]
        assert await asyncio.to_thread(server.stop) == 0
    rows = await database.rows("SELECT MIN(energy) FROM readings")
    least = round(rows[0][0] / (100_000 if database.kind == "sqlite" else 1))
    assert least in FIRST[1:]
    await assert_kept_whole(database, COUNT, least)
    assert (await database.rows("SELECT COUNT(*) FROM imports"))[0][0] == len(FIRST)
    tried(
        f"Two loaders and fifty streams at once, {database.kind}",
        whole + cut,
        f"both imports written; {whole} answers whole, {cut} visibly cut",
    )
