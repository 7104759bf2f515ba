"""Memory of cached, shared and long responses: counted as it is, and within its bound."""

import asyncio
import gc
import logging
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice, permutations

import pytest

from server.cache.entry import CacheEntry
from server.cache.in_flight import InFlightResponse
from server.cache.store import CACHE, BoundedMemoryCache, HeldEntries
from server.transport.streaming import STREAM_STATISTICS
from storage.common.deflate import deflate_block
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.slow_client import limited, small_buffers, stalled  # noqa: F401 - a fixture

pytestmark = pytest.mark.one_database
LONG = [pytest.mark.trust, pytest.mark.promise("Bad input")]

MIB = 2**20
COLUMNS = ("id", "date", "energy", "reactive_energy", "power", "maximeter")


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """Returns the bytes that Python has allocated since the test began and not freed."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()

    def grown() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    yield grown
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("blocks", "metadata"),
    [(1, {}), (3, {"X-Next": "n" * 100, "X-Left-Out-Readings": "12"}), (8, {})],
    ids=["one block", "metadata", "many blocks"],
)
async def test_bound_counts_what_small_entries_take(
    traced: Callable[[], int], blocks: int, metadata: dict[str, str]
) -> None:
    cache = BoundedMemoryCache(64 * MIB, HeldEntries())
    for number in range(2000):
        parts = [deflate_block(f"record {number} {part}".encode()) for part in range(blocks)]
        own = {name: f"{value}{number}" for name, value in metadata.items()}
        await cache.set(f"{number:032x}", CacheEntry.of(parts, own), ttl=60)
    assert 0.9 < cache.bytes / traced() < 1.25


async def test_long_lists_of_ids_leave_no_memory_behind(
    api: Api, traced: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    # pytest would keep each line of the log, and with it the request.
    caplog.set_level(logging.WARNING, "access")
    ids, count = 9000, 30
    lists = [range(10**9 + number * ids, 10**9 + (number + 1) * ids) for number in range(count)]
    for each in lists:
        text = ",".join(map(str, each))
        status, _ = await api.get("getDataById", method="POST", json={"id": text})
        assert status == 200
    await api.settled()
    api.engine.statements.clear()
    assert traced() < count * len(text) / 4


def held_bytes() -> int:
    """The bytes of all responses that this process holds, each counted once."""
    bodies: dict[int, int] = {}
    for each in gc.get_objects():
        if isinstance(each, InFlightResponse | CacheEntry):
            for block in each.blocks:
                body = memoryview(block.deflated).obj
                assert isinstance(body, bytes)
                bodies[id(body)] = len(body)
        if isinstance(each, CacheEntry) and each.plain is not None:
            bodies[id(each.plain)] = len(each.plain)
    return sum(bodies.values())


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize(
    "source",
    ["in flight", *(pytest.param(each, marks=LONG) for each in ("memory", "redis"))],
)
async def test_readers_that_stall_hold_no_more_than_the_bound(
    serve: Serve, sample: DatabaseFixture, request: pytest.FixtureRequest, source: str
) -> None:
    """The cache's room and a quarter; readers beyond are served from the database, to the end."""
    gc.collect()
    before, bound = held_bytes(), MIB
    url = request.getfixturevalue("redis_url") if source == "redis" else "memory://"
    api = await serve(sample, ELECDATA_CACHE__MAX_BYTES=str(bound), ELECDATA_CACHE__URL=url)
    *paths, last = [
        f"getData?limit=5000&columns={','.join(order)}"
        for order in islice(permutations(COLUMNS), 17)
    ]
    with ExitStack() as clients:
        for path in paths:
            if source != "in flight":
                assert len(await api.records(path)) == 5000
                await api.settled()
            clients.enter_context(await stalled(api, api.head(path)))
            await api.settled()
            assert api.app[CACHE].bytes <= bound
        gc.collect()
        assert bound / 10 < held_bytes() - before < bound * 5 / 4
        for _ in range(2):
            asked = api.engine.readings_asked
            assert len(await api.records(last)) == 5000
            assert api.engine.readings_asked > asked
    while api.app[STREAM_STATISTICS].active:
        await asyncio.sleep(0)
    gc.collect()
    assert held_bytes() - before <= api.app[CACHE].bytes


@pytest.mark.usefixtures("small_buffers")
async def test_slow_reader_of_one_response_keeps_no_other_from_the_cache(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, ELECDATA_CACHE__MAX_BYTES=str(MIB))
    with await stalled(api, api.head("getData?limit=5000&order=desc")):
        await api.settled()
        for limit in ("10", "2000"):
            assert len(await api.records("getData", limit=limit)) == int(limit)
            await api.settled()
            asked = api.engine.readings_asked
            assert len(await api.records("getData", limit=limit)) == int(limit)
            assert api.engine.readings_asked == asked
    while api.app[STREAM_STATISTICS].active:
        await asyncio.sleep(0)
