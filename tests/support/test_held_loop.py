"""What holds the loop is measured if it is the service's, and only then."""

import asyncio
import gc
import time

import pytest

from tests.support.app_client import Api
from tests.support.held_loop import BOUND_SECONDS, HeldLoop

SECONDS = BOUND_SECONDS * 1.5


def burn(*_: object) -> str:
    """Use a processor for a while, and return something."""
    end = time.thread_time() + SECONDS
    while time.thread_time() < end:
        pass
    return "x"


@pytest.mark.one_database
@pytest.mark.holds_loop("so that it is seen")
async def test_service_that_holds_the_loop_is_found(
    api: Api, held_loop: HeldLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.middleware.next", burn, raising=False)
    assert (await api.get("ping"))[0] == 200
    assert SECONDS <= held_loop.seconds < SECONDS * 2
    assert "_handle_request" in held_loop.callback


@pytest.mark.one_database
async def test_client_that_holds_the_loop_is_not(api: Api, held_loop: HeldLoop) -> None:
    assert (await api.get("ping"))[0] == 200
    burn()
    asyncio.get_running_loop().call_soon(burn)
    await asyncio.sleep(0)
    assert held_loop.seconds < BOUND_SECONDS


@pytest.mark.one_database
async def test_collection_of_garbage_is_left_out(
    api: Api, held_loop: HeldLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    garbage = [[number] for number in range(200_000)]
    for item in garbage:
        item.append(item)  # type: ignore[arg-type]  # a cycle
    monkeypatch.setattr("server.middleware.next", lambda _: f"x{gc.collect()}", raising=False)
    began = time.thread_time()
    del garbage, item
    assert (await api.get("ping"))[0] == 200
    assert time.thread_time() - began > BOUND_SECONDS
    assert held_loop.seconds < BOUND_SECONDS
