"""Crowds that take and give nothing, while others are served as ever."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

import pytest

from tests.resilience.clients import Asking
from tests.server.process.test_server_command import Server, asked, connected
from tests.support.databases import DatabaseFixture
from tests.support.slow_client import limited

pytestmark = [pytest.mark.promise("Bad nights", by_test=True), pytest.mark.trust]

SILENT = 1000
SLOW = 50
SECONDS = 8
REQUESTS = 200
UNCHANGED = 2
"""How many times the median may be, on a machine that does other things too."""


@pytest.fixture
def server(sample: DatabaseFixture) -> Iterator[Server]:
    crowd = str(SILENT + SLOW)
    with Server(
        sample.config,
        ELECDATA_CACHE__TTL="0",
        **limited(request_time=30, connections=crowd, connections_per_address=crowd),
    ) as started:
        started.port()
        yield started


async def latency(port: int) -> float:
    """The median of the seconds that a reading takes."""
    async with Asking(port) as asking:
        for number in range(REQUESTS):
            await asking.ask("getDataById", id=str(number + 1))
    return median(asking.seconds)


async def test_thousand_silent_clients_slow_nobody_down_and_are_let_go(server: Server) -> None:
    port = server.port()
    before = await latency(port)
    with ExitStack() as crowd:
        clients = [crowd.enter_context(connected(port)) for _ in range(SILENT)]
        assert await latency(port) < before * UNCHANGED + 0.01
        deadline = time.monotonic() + 60
        for client in clients:
            client.settimeout(max(0.1, deadline - time.monotonic()))
            assert await asyncio.to_thread(closed, client)
    assert await latency(port) < before * UNCHANGED + 0.01


def closed(client: socket.socket) -> bool:
    """Waits until the server has closed a connection, whatever it says before."""
    while client.recv(4096):
        pass
    return True


async def test_fifty_who_read_a_byte_a_second_slow_nobody_down(server: Server) -> None:
    port = server.port()
    before = await latency(port)
    with ExitStack() as crowd:
        clients = [crowd.enter_context(connected(port)) for _ in range(SLOW)]
        for client in clients:
            asked(client, "/apielec/getData")
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        during = []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for client in clients:
                assert len(client.recv(1)) == 1
            second = asyncio.create_task(asyncio.sleep(1))
            during.append(await latency(port))
            await second
    assert median(during) < before * UNCHANGED + 0.01
    assert await latency(port) < before * UNCHANGED + 0.01
