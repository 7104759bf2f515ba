"""A cache server that is gone, frozen, and back."""

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from server.cache import shared, store
from server.cache.shared import SharedCache
from server.cache.store import CACHE
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.redis_server import Redis

pytestmark = pytest.mark.promise("Bad nights", by_test=True)

ASKED = 20
PATIENCE = 0.5
PAUSE = 60.0
LONGEST = 8 * PATIENCE
"""Seconds for an answer that has to do without, on a busy machine."""


@pytest.fixture
def redis(redis_server: Redis) -> Iterator[Redis]:
    """A server of the test's own."""
    with Redis(redis_server.program) as own:
        yield own
        if own.is_running:
            own.thaw()


@pytest.fixture
async def api(
    serve: Serve, sample: DatabaseFixture, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> Api:
    """An application that keeps its answers there."""
    monkeypatch.setattr(shared, "_TIMEOUT", PATIENCE)
    monkeypatch.setitem(shared._CONNECTION, "socket_timeout", PATIENCE)
    monkeypatch.setattr(store, "_RETRY_AFTER", PAUSE)
    return await serve(sample, ELECDATA_CACHE__URL=redis.url)


def gone(redis: Redis) -> None:
    redis.kill()


def frozen(redis: Redis) -> None:
    redis.freeze()


def recover(redis: Redis) -> None:
    if redis.is_running:
        redis.thaw()
    else:
        redis.start()


async def day(api: Api, number: int) -> list[dict[str, str | None]]:
    return await api.records("getDataByDate", date=f"2019-09-{number:02}%")


@pytest.mark.parametrize("fault", [gone, frozen])
async def test_cache_is_passed_by_at_little_cost_and_used_again(
    api: Api, redis: Redis, fault: Callable[[Redis], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen one costs its timeout once; all other requests go past it."""
    expected = [await day(api, number) for number in range(1, ASKED + 1)]
    await api.settled()
    fault(redis)
    assert await day(api, 1) == expected[0]
    began = time.monotonic()
    answers = [await day(api, number) for number in range(1, ASKED + 1)]
    passed = time.monotonic() - began
    assert answers == expected
    assert passed < LONGEST
    for _ in range(3):
        await asyncio.gather(*(day(api, number) for number in range(1, ASKED + 1)))

    await asyncio.to_thread(recover, redis)
    hits = api.app[CACHE].hits
    async with asyncio.timeout(LONGEST):
        while api.app[CACHE].hits == hits:
            monkeypatch.setattr(api.app[CACHE], "_retry_at", 0.0)
            assert await day(api, 1) == expected[0]
            await api.settled()


@pytest.mark.parametrize("fault", [gone, frozen])
async def test_requests_that_come_together_wait_no_longer_than_one(
    api: Api, redis: Redis, fault: Callable[[Redis], None]
) -> None:
    fault(redis)
    began = time.monotonic()
    days = await asyncio.gather(*(day(api, number) for number in range(1, ASKED + 1)))
    assert time.monotonic() - began < PATIENCE + LONGEST
    assert [len(records) for records in days] == [96] * ASKED


async def test_answer_that_came_too_late_is_not_taken_for_another(
    api: Api, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection on which an answer is outstanding is not used again."""
    monkeypatch.setattr(store, "_RETRY_AFTER", 0.0)
    expected = [await day(api, number) for number in range(1, ASKED + 1)]
    await api.settled()
    for number in range(3):
        redis.freeze()
        assert await day(api, number + 1) == expected[number]
        redis.thaw()
        other = (number + 7) % ASKED
        assert await day(api, other + 1) == expected[other]


async def test_server_stops_while_its_cache_is_frozen(api: Api, redis: Redis) -> None:
    assert isinstance(api.app[CACHE]._backend, SharedCache)
    await day(api, 1)
    await api.settled()
    redis.freeze()
    async with asyncio.timeout(LONGEST):
        await api.app[CACHE].close()
