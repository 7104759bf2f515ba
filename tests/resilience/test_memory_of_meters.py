"""Server and loader take as much memory with a hundred thousand meters as with one."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession

from storage.meters import MAIN_METER
from tests.loader.test_loader_command import ENVIRON
from tests.server.process.test_server_command import Server
from tests.support.app_client import token
from tests.support.databases import DatabaseFixture
from tests.support.neighbours import add_neighbours, neighbour
from tests.support.paths import ROOT
from tests.support.promises import Tried
from tests.support.report_factory import numbered, quarters, report

pytestmark = [
    pytest.mark.promise("Running it", by_test=True),
    pytest.mark.trust,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read in /proc"),
]

METERS = 100_000
ASKED = 2000
"""Different meters that are asked for."""

ALLOWED = 16
"""MiB more."""

MIB = 2**20
REPORT = report(*numbered(quarters("2019-08-01", 96)))


def resident(server: Server) -> float:
    """The memory of a server in MiB."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


async def served(database: DatabaseFixture, meter: Callable[[int], str]) -> float:
    """The memory of a server after requests for meters by their numbers, in MiB."""
    server = await asyncio.to_thread(lambda: Server(database.config))
    with server:
        port = await asyncio.to_thread(server.port)
        url = f"http://127.0.0.1:{port}/apielec"
        async with ClientSession(headers={"SESSION": token()}) as session:
            for number in range(ASKED):
                # As many answers are cached, and as long ones, whether of one meter or of many.
                address = f"{url}/getDataById?id=1,{number + 1000}&meter={meter(number)}"
                async with session.get(address) as response:
                    assert response.status == 200, await response.text()
                    assert b'"id":"1"' in await response.read()
        memory = resident(server)
        assert await asyncio.to_thread(server.stop) == 0
    return memory


def loaded(database: DatabaseFixture, meter: str) -> float:
    """The most memory of a loader that loads a report into a meter, in MiB."""
    path = database.file(REPORT, f"{meter}.csv")
    command = [sys.executable, "-m", "loader", "--config", str(database.config)]
    process = subprocess.Popen(  # noqa: S603 - this project's own program
        [*command, "--meter", meter, path],
        cwd=ROOT,
        env=ENVIRON,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert not process.returncode
    return usage.ru_maxrss / 1024


async def test_memory_is_that_of_one_meter_with_a_hundred_thousand(
    database: DatabaseFixture, tried: Tried
) -> None:
    await database.load(REPORT)
    await database.admit("rick")
    alone = await served(database, lambda _: MAIN_METER)
    loader_alone = await asyncio.to_thread(loaded, database, MAIN_METER)
    await asyncio.to_thread(add_neighbours, database, range(2, METERS + 1), 1)
    among = await served(database, lambda number: neighbour(2 + number * (METERS // ASKED - 1)))
    loader_among = await asyncio.to_thread(loaded, database, neighbour(METERS // 2))
    print(alone, among, loader_alone, loader_among)  # shown where the test fails
    assert among < alone + ALLOWED
    assert loader_among < loader_alone + ALLOWED
    tried(
        f"A server asked for {ASKED} of {METERS:,} meters, {database.kind}",
        ASKED,
        f"{among:.0f} MiB, {alone:.0f} with one meter; a loader {loader_among:.0f},"
        f" {loader_alone:.0f} with one",
    )
