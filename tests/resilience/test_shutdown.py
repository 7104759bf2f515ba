"""SIGTERM under load, and workers that are killed under load."""

import asyncio
import os
import signal

import pytest

from tests.resilience.clients import Asking
from tests.server.process.test_server_command import Server, children
from tests.support.databases import DatabaseFixture

pytestmark = pytest.mark.promise("Bad nights", by_test=True)

CLIENTS = 10
ENOUGH = 50
"""Answers after which the service is under load."""


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.trust)])
async def test_sigterm_under_load_loses_no_request(sample: DatabaseFixture, workers: str) -> None:
    """Each is answered in full, or refused before it was sent."""
    server = await asyncio.to_thread(
        lambda: Server(sample.config, ELECDATA_SERVER__WORKERS=workers, ELECDATA_CACHE__TTL="0")
    )
    with server:
        port = await asyncio.to_thread(listening, server, int(workers))
        async with Asking(port) as staying, Asking(port, keeps_alive=False) as coming:
            clients = [
                asyncio.create_task(asking.until_over())
                for asking in (staying, coming)
                for _ in range(CLIENTS)
            ]
            while min(staying.outcomes["whole"], coming.outcomes["whole"]) < ENOUGH:
                await asyncio.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                await asyncio.gather(*clients)
        assert set(staying.outcomes) == {"whole", "refused"}, staying.outcomes
        assert set(coming.outcomes) == {"whole", "refused"}, coming.outcomes
        assert await asyncio.to_thread(server.wait) == 0


@pytest.mark.trust
async def test_others_serve_on_while_a_killed_worker_is_replaced(sample: DatabaseFixture) -> None:
    """Only requests that this worker had, or that came in the moment of its death, are lost."""
    server = await asyncio.to_thread(
        lambda: Server(sample.config, ELECDATA_SERVER__WORKERS="3", ELECDATA_CACHE__TTL="0")
    )
    with server:
        port = await asyncio.to_thread(listening, server, 3)
        async with Asking(port, keeps_alive=False) as asking:
            clients = [asyncio.create_task(asking.until_over()) for _ in range(CLIENTS)]
            for _ in range(2):
                asked = asking.outcomes["whole"]
                while asking.outcomes["whole"] < asked + ENOUGH:
                    await asyncio.sleep(0.01)
                workers = children(server.process)
                os.kill(workers[0], signal.SIGKILL)
                asked = asking.outcomes["whole"]
                while asking.outcomes["whole"] < asked + ENOUGH:
                    await asyncio.sleep(0.01)
                while len(children(server.process)) < 3:
                    await asyncio.sleep(0.01)
            asking.is_over = True
            await asyncio.gather(*clients)
        lost = sum(asking.outcomes.values()) - asking.outcomes["whole"]
        assert asking.outcomes["wrong"] == asking.outcomes["refused"] == 0
        assert lost <= 4 * CLIENTS
        assert await asyncio.to_thread(server.stop) == 0


def listening(server: Server, workers: int) -> int:
    """The port, once all workers listen on it."""
    port = server.port()
    while sum("listening on" in line for line in server.lines) < workers:
        server.lines.append(server._unread.get(timeout=30) or "")
    return port
