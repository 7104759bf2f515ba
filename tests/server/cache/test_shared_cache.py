"""A Redis that is not believed: other programs write to it, and others may answer in its place."""

import asyncio
import logging
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import redis
from redis import Redis as Client

from server.cache import shared
from server.cache.store import CACHE
from server.context import SETTINGS
from server.process.reload import Running
from server.security.signing_keys import SigningKeys
from server.security.tokens import TokenService
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.redis_server import Redis

pytestmark = pytest.mark.one_database

MIB = 2**20
DATABASE = 3
PATHS = (
    *("getDataById?id=5", "getData?limit=3", "getDataByDate?date=2019-09-11%25&quality=clean"),
    "getPeaks?quality=clean",
)
"""Their answers bring all the headers along that a cached answer may have."""

Fault = Callable[[Client, bytes, bytes, bytes], object]
"""Spoils a key, which has a value; the last is the value of another key."""

FAULTS: dict[str, Fault] = {
    "noise": lambda client, key, _value, _other: client.set(key, b"x"),
    "cut": lambda client, key, value, _: client.set(key, value[:-1]),
    "altered": lambda client, key, value, _: client.set(key, value[:-1] + bytes([value[-1] ^ 1])),
    "longer": lambda client, key, value, _: client.set(key, value + b"x"),
    "swapped": lambda client, key, _, other: client.set(key, other),
    "of an earlier version": lambda client, key, value, _: client.set(key, value[32:]),
    "too large": lambda client, key, value, _: client.set(key, value + bytes(MIB)),
    "list": lambda client, key, value, _: client.delete(key) and client.rpush(key, value),
    "hash": lambda client, key, value, _: client.delete(key) and client.hset(key, "a", value),
}


@pytest.fixture
def client(redis_server: Redis) -> Iterator[Client]:
    """A client, for threads, of one of its databases, which is empty."""
    with Client(port=redis_server.port, db=DATABASE) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
async def api(serve: Serve, sample: DatabaseFixture, redis_server: Redis) -> Api:
    """An application that keeps its answers there."""
    url = redis_server.url.removesuffix("0") + str(DATABASE)
    return await serve(sample, ELECDATA_CACHE__URL=url, ELECDATA_CACHE__MAX_BYTES="512KiB")


async def answers(api: Api) -> list[tuple[int, dict[str, str], bytes]]:
    """The status, the headers and the body of all paths, the answers being in the cache then."""
    found = []
    for path in PATHS:
        async with await api.request(path) as response:
            kept = {
                name: value
                for name, value in response.headers.items()
                if name.startswith(("X-Left", "X-Impl", "X-Qual"))
                or name in ("X-Next", "ETag", "Content-Type")
            }
            found.append((response.status, kept, await response.read()))
    await api.settled()
    return found


def spoil(client: Client, fault: Fault) -> None:
    """Spoils all entries."""
    values: dict[bytes, bytes] = {key: client.get(key) for key in client.scan_iter()}  # type: ignore[misc]  # redis cannot tell that nothing is decoded
    assert len(values) == len(PATHS)
    others = [*list(values.values())[1:], *values.values()]
    for (key, value), other in zip(values.items(), others, strict=False):
        fault(client, key, value, other)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_entry_that_is_not_what_was_stored_is_a_miss(
    api: Api, client: Client, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, logged once, and stored anew."""
    expected = await answers(api)
    cache = api.app[CACHE]
    assert await answers(api) == expected
    hits = cache.hits
    assert hits == len(PATHS)
    await asyncio.to_thread(spoil, client, fault)
    assert await answers(api) == expected
    assert (cache.hits, cache.refused) == (hits, len(PATHS))
    lines = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    (line,) = (line for line in lines if line.startswith("cache entries"))
    assert line.startswith("cache entries refused, damaged or written by another program: 1;")
    asked = api.engine.readings_asked
    assert await answers(api) == expected
    assert api.engine.readings_asked == asked
    async with api.client.get("/metrics") as response:
        assert "elecdata_cache_refused_total 4.0" in await response.text()


async def test_another_signing_secret_finds_nothing_and_refuses_nothing(
    api: Api, sample: DatabaseFixture, client: Client
) -> None:
    expected = await answers(api)
    keys = await asyncio.to_thread(lambda: set(client.scan_iter()))
    asked = api.engine.readings_asked
    own = await asyncio.to_thread(lambda: SigningKeys.of(sample.settings))
    running = Running(sample.config, api.app[SETTINGS], own, api.app)
    assert await asyncio.to_thread(running.reload)
    api.token = TokenService(own, 60).issue("rick", 1)
    found = await answers(api)
    assert [body for *_, body in found][::2] == [body for *_, body in expected][::2]
    assert api.engine.readings_asked > asked
    assert api.app[CACHE].refused == 0
    assert len(await asyncio.to_thread(lambda: set(client.scan_iter()) - keys)) == len(PATHS)


# Another server in its place


@asynccontextmanager
async def answering(reply: bytes, times: int = 1) -> AsyncIterator[str]:
    """The URL of a server that answers whatever it is asked with so many times this."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1)
            for _ in range(times):
                writer.write(reply)
                await writer.drain()
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


def test_replies_are_bounded_in_the_release_of_redis_that_was_checked() -> None:
    assert redis.__version__ == "8.1.0", (
        "another release of redis: see that `_bounded_parser` of server/cache/shared.py still"
        " overrides what its parser reads strings with, then name the release here"
    )


@pytest.mark.parametrize(
    ("reply", "times"),
    [
        (b"\0\xff\r\n", 100),
        (b"-ERR no\r\n", 100),
        (b"+OK\r\n", 100),
        (b":5\r\n", 100),
        (b"*1\r\n", 10_000),
        (b"$5\r\nab", 1),
        (b"$-5\r\n", 100),
        (b"$1073741824\r\n" + bytes(MIB), 256),
        (b"", 1),
    ],
    ids=["noise", "error", "text", "number", "nested", "half", "negative", "huge", "silent"],
)
async def test_whatever_answers_in_its_place_is_passed_by(
    serve: Serve,
    sample: DatabaseFixture,
    monkeypatch: pytest.MonkeyPatch,
    reply: bytes,
    times: int,
) -> None:
    monkeypatch.setattr(shared, "_TIMEOUT", 0.5)
    monkeypatch.setitem(shared._CONNECTION, "socket_timeout", 0.5)
    known = await serve(sample, ELECDATA_CACHE__TTL="0")
    expected = await known.get("getDataById?id=5")
    async with answering(reply, times) as url:
        api = await serve(sample, ELECDATA_CACHE__URL=url, ELECDATA_CACHE__MAX_BYTES="512KiB")
        tracemalloc.start()
        try:
            for _ in range(2):
                assert await api.get("getDataById?id=5") == expected
                await api.settled()
            assert tracemalloc.get_traced_memory()[1] < 16 * MIB
        finally:
            tracemalloc.stop()
        assert api.app[CACHE].hits == 0
