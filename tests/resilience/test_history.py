"""Readings that the loader and others change, and clients that hold every answer against them."""

import asyncio
from collections import Counter

import pytest
from aiohttp import ClientSession

from tests.server.process.test_server_command import Server
from tests.support.app_client import Serve, token
from tests.support.databases import DatabaseFixture
from tests.support.history import History, Witness
from tests.support.promises import Tried

READINGS = 150
WITNESSES = 6


async def witnessed(history: History, port: int, changes: int) -> str:
    """Change the readings while clients ask; say what they were told."""
    tags: dict[str, object] = {}
    outcomes: Counter[str] = Counter()
    done: Counter[str] = Counter()
    is_over = False
    async with (
        ClientSession(f"http://127.0.0.1:{port}", headers={"SESSION": token()}) as session,
        asyncio.TaskGroup() as group,
    ):

        async def watch(seed: int) -> None:
            witness = Witness(history, session, seed, outcomes, tags)
            while not is_over:
                await witness.ask()

        for seed in range(WITNESSES):
            group.create_task(watch(seed))
        for _ in range(changes):
            seen = outcomes.total()
            done[await history.change()] += 1
            while outcomes.total() < seen + 2:  # an answer at least to what is there now
                await asyncio.sleep(0.001)
        is_over = True
    assert outcomes["whole"] > changes
    assert outcomes["walk"] > 0
    assert outcomes["unchanged"] > 0
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"{changes} changes ({dict(done)}): {told}"


@pytest.mark.promise("Bad nights")
async def test_every_answer_is_one_of_the_contents_that_it_may_be(
    serve: Serve, database: DatabaseFixture
) -> None:
    history = History(database, 1)
    await history.begin(READINGS)
    api = await serve(database)
    await witnessed(history, api.port, 25)


@pytest.mark.promise("Bad nights", by_test=True)
@pytest.mark.trust
async def test_every_answer_of_two_workers_is_one_of_the_contents_that_it_may_be(
    database: DatabaseFixture, tried: Tried
) -> None:
    history = History(database, 2)
    await history.begin(READINGS)
    await database.admit("rick")
    server = await asyncio.to_thread(lambda: Server(database.config, ELECDATA_SERVER__WORKERS="2"))
    with server:
        port = await asyncio.to_thread(server.port)
        told = await witnessed(history, port, 500)
        assert await asyncio.to_thread(server.stop) == 0
    tried(f"Readings that change while they are read, {database.kind}", 500, told)
