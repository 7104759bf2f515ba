"""The response cache: fewer queries, never stale data, never more memory than allowed."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientPayloadError

from server.api.responder import Responder
from server.cache.entry import CacheEntry
from server.cache.in_flight import InFlightResponse
from server.cache.store import CACHE, ResponseCache
from settings import CacheSettings
from storage.common.deflate import deflate_block
from storage.common.errors import Unreachable
from tests.support.app_client import Api, Serve, about_readings, make_pages_small
from tests.support.databases import DatabaseFixture
from tests.support.redis_server import Redis
from tests.support.report_factory import numbered, quarters, report

MOMENTS = quarters("2019-08-01", 20)
KEY = b"a key that only the tests know"
ANSWER = CacheEntry.of([deflate_block(b"an answer")], {})


@pytest.fixture
def gate(api: Api) -> asyncio.Event:
    """Holds back statements about readings until it is set."""
    gate = asyncio.Event()

    async def wait(sql: str) -> str:
        if about_readings(sql):
            await gate.wait()
        return sql

    api.engine.step_in = wait
    return gate


async def etag(api: Api, path: str = "getDataById?id=5") -> str:
    async with await api.request(path) as response:
        return response.headers["ETag"]


@asynccontextmanager
async def in_redis(url: str, **more: object) -> AsyncIterator[ResponseCache]:
    cache = ResponseCache(CacheSettings.model_validate({"url": url, **more}), KEY)
    try:
        yield cache
    finally:
        await cache.close()


# Fewer queries


async def test_cached_response_costs_no_query_of_readings(api: Api) -> None:
    first = await api.get("getDataById", {"id": "5,100"})
    asked = api.engine.readings_asked
    assert await api.get("getDataById", {"id": "5,100"}) == first
    assert api.engine.readings_asked == asked


async def test_requests_that_mean_the_same_share_an_answer(api: Api) -> None:
    await api.get("getDataById", {"id": "5,100"})
    asked = api.engine.readings_asked
    for ids in ("100,5", " 5 ,100,5", "005,100,99999999999"):
        await api.get("getDataById", {"id": ids})
    await api.get("getDataById", method="POST", json={"id": "5,100"})
    assert api.engine.readings_asked == asked


async def test_answers_are_shared_by_tokens(api: Api) -> None:
    await api.get("getDataById", {"id": "5"})
    asked = api.engine.readings_asked
    api.token = (await api.login("rick", "morty"))[1]["value_token"]
    assert (await api.get("getDataById", {"id": "5"}))[0] == 200
    assert api.engine.readings_asked == asked


async def test_cached_response_still_requires_a_token(api: Api) -> None:
    await api.get("getDataById", {"id": "5"})
    api.token = "forged"
    assert (await api.get("getDataById", {"id": "5"}))[0] == 406


async def test_a_thousand_equal_requests_at_once_ask_once(api: Api, gate: asyncio.Event) -> None:
    requests = [
        asyncio.create_task(api.get("getDataByDate", {"date": "2019-09-11%"})) for _ in range(1000)
    ]
    await api.followed(100)  # the client opens no more connections than that
    gate.set()
    answers = await asyncio.gather(*requests)
    assert api.engine.readings_asked <= 2  # how many there are, and which
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][1]["values"]["numrecs"] == 96


async def test_error_reaches_all_who_wait_and_is_not_cached(api: Api) -> None:
    async def fail(sql: str) -> str:
        if about_readings(sql):
            raise Unreachable("gone")
        return sql

    api.engine.step_in = fail
    requests = [api.get("getDataById", {"id": "5"}) for _ in range(20)]
    assert {status for status, _ in await asyncio.gather(*requests)} == {503}
    api.engine.step_in = None
    assert (await api.get("getDataById", {"id": "5"}))[0] == 200


async def test_followers_stay_when_the_first_client_leaves(api: Api, gate: asyncio.Event) -> None:
    first = asyncio.create_task(api.get("getDataById", {"id": "5"}))
    await api.followed(1)
    second = asyncio.create_task(api.get("getDataById", {"id": "5"}))
    await api.followed(2)
    first.cancel()
    await api.followed(1)
    gate.set()
    assert (await second)[0] == 200
    assert api.engine.readings_asked == 1


async def test_query_that_nobody_waits_for_is_given_up(api: Api, gate: asyncio.Event) -> None:
    requests = [asyncio.create_task(api.get("getDataById", {"id": "5"})) for _ in range(3)]
    await api.followed(3)
    for request in requests:
        request.cancel()
    await api.followed(0)
    while api.engine.running:
        await asyncio.sleep(0)
    asked = api.engine.readings_asked
    gate.set()
    assert (await api.get("getDataById", {"id": "5"}))[0] == 200
    assert api.engine.readings_asked == asked + 1


# Conditional requests


async def test_etag_is_strong_and_names_the_answer(api: Api) -> None:
    tag = await etag(api)
    assert tag.startswith('"')
    assert await etag(api) == tag
    assert await etag(api, "getDataById?id=05") == tag
    assert await etag(api, "getDataById?id=6") != tag


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', 'W/"other" , W/{}', "*"])
async def test_known_answer_is_not_sent_again(api: Api, form: str) -> None:
    tag = await etag(api)
    asked = api.engine.readings_asked
    headers = {"If-None-Match": form.format(tag)}
    async with await api.request("getDataById?id=5", headers=headers) as response:
        assert response.status == 304
        assert await response.read() == b""
        assert response.headers["ETag"] == tag
    assert api.engine.readings_asked == asked


@pytest.mark.parametrize("known", ['"other"', "", "nonsense", '"'])
async def test_other_answer_is_sent(api: Api, known: str) -> None:
    status, _ = await api.get("getDataById?id=5", headers={"If-None-Match": known})
    assert status == 200


async def test_known_answer_needs_a_token_and_good_parameters(api: Api) -> None:
    headers = {"If-None-Match": "*"}
    assert (await api.get("getDataById?id=x", headers=headers))[0] == 400
    api.token = "forged"
    assert (await api.get("getDataById?id=5", headers=headers))[0] == 406


@pytest.mark.parametrize("control", ["no-cache", "No-Cache", "max-age=0", "no-store, private"])
async def test_client_can_pass_the_cache_by(api: Api, control: str) -> None:
    kept = await api.get("getDataById?id=5")
    asked = api.engine.readings_asked
    fresh = await api.get("getDataById?id=5", headers={"Cache-Control": control})
    assert fresh == kept
    assert api.engine.readings_asked == asked + 1


# An import


async def test_import_is_seen_by_the_next_request(serve: Serve, database: DatabaseFixture) -> None:
    await database.load(report(*numbered(MOMENTS[:10])))
    api = await serve(database)
    tag = await etag(api, "getData")
    assert len(await api.records("getData")) == 10
    for new, first in ((11, 1), (11, 100)):
        await database.load(report(*numbered(MOMENTS[:new], first)))
        records = await api.records("getData")
        assert len(records) == new
        assert records[0]["energy"] == f"{first}.00000"
        known = await api.request("getData", headers={"If-None-Match": tag})
        assert known.status == 200
        assert known.headers["ETag"] != tag


async def test_answer_that_an_import_overtakes_is_begun_anew(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(report(*numbered(MOMENTS[:10])))
    api = await serve(database)

    async def load(sql: str) -> str:
        if api.engine.readings_asked == 1:
            api.engine.step_in = None
            await asyncio.create_task(database.load(report(*numbered(MOMENTS[:10], 100))))
        return sql

    api.engine.step_in = load
    async with await api.request("getData") as response:
        tag, body = response.headers["ETag"], await response.json()
    assert body["values"]["records"][0]["energy"] == "100.00000"
    assert await etag(api, "getData") == tag


async def test_import_into_one_meter_leaves_the_cached_answers_of_others(
    serve: Serve, database: DatabaseFixture
) -> None:
    for meter in ("one", "other"):
        await database.load(report(*numbered(MOMENTS)), meter=meter, register=True)
    api = await serve(database)
    paths = ("getDataById?id=5&", "getData?", "getAggregate?interval=day&", "getSummary?")

    async def answers(meter: str) -> list[tuple[int, Any]]:
        return [await api.get(f"{path}meter={meter}") for path in paths]

    await answers("one")
    before = await answers("other")
    assert {status for status, _ in before} == {200}
    await database.load(report(*numbered(quarters("2019-09-01", 4))), meter="one")
    assert (await answers("one"))[1][1]["values"]["numrecs"] == 24
    asked = len(api.engine.statements)
    assert await answers("other") == before
    more = [sql for sql in api.engine.statements[asked:] if "states AS s" not in sql]
    assert more == []


# Bounds


async def test_answers_of_older_data_leave_memory_with_the_first_of_newer(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(report(*numbered(MOMENTS[:10])))
    api = await serve(database)
    for number in range(1, 9):
        await api.get("getDataById", {"id": str(number)})
        await api.settled()
    kept = api.app[CACHE].bytes
    await database.load(report(*numbered(MOMENTS[:10], 100)))
    await api.get("getDataById", {"id": "1"})
    await api.settled()
    assert 0 < api.app[CACHE].bytes < kept / 4


async def test_oldest_answers_leave_first(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, ELECDATA_CACHE__MAX_BYTES="8000")
    for number in range(1, 9):
        await api.get("getDataById", {"id": str(number)})
        await api.settled()
    asked = api.engine.readings_asked
    await api.get("getDataById", {"id": "8"})
    assert api.engine.readings_asked == asked
    await api.get("getDataById", {"id": "1"})
    assert api.engine.readings_asked == asked + 1


async def test_response_cached_twice_counts_once() -> None:
    cache = ResponseCache(CacheSettings.model_validate({}), KEY)
    for _ in range(2):
        await cache.put("key", ANSWER, meter="main", version="1")
    assert cache.bytes == ANSWER.stored_bytes


async def test_new_version_of_one_meter_leaves_the_responses_of_others() -> None:
    cache = ResponseCache(CacheSettings.model_validate({}), KEY)
    for meter in ("one", "other"):
        for number in range(3):
            await cache.put(f"{meter} {number}", ANSWER, meter=meter, version="1")
    await cache.put("one 3", ANSWER, meter="one", version="2")
    kept = [key for key in ("one 0", "one 3", "other 0", "other 2") if await cache.get(key)]
    assert kept == ["one 3", "other 0", "other 2"]
    assert cache.bytes == 4 * ANSWER.stored_bytes


async def test_answer_too_large_to_keep_is_streamed(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, ELECDATA_CACHE__MAX_BYTES="100000")
    for _ in range(2):
        asked = api.engine.readings_asked
        assert len(await api.records("getData")) == 11716
        assert api.engine.readings_asked > asked
    await api.get("getDataById", {"id": "5"})
    asked = api.engine.readings_asked
    await api.get("getDataById", {"id": "5"})
    assert api.engine.readings_asked == asked


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_answer_too_large_to_keep_is_counted_once(
    serve: Serve, sample: DatabaseFixture, coding: str
) -> None:
    api = await serve(sample, ELECDATA_CACHE__MAX_BYTES="100000")
    api.engine.statements.clear()
    headers = {"Accept-Encoding": coding}
    _, body = await api.get("getDataByDate", {"date": "2019-%"}, headers=headers)
    assert body["values"]["numrecs"] == 11716
    assert sum("COUNT(*)" in sql and "MIN(id)" in sql for sql in api.engine.statements) == 1


async def test_response_of_medium_length_is_cached_plain(api: Api) -> None:
    await api.records("getData", limit="1000")
    await api.settled()
    ((kept, _),) = api.app[CACHE]._backend._cache.values()
    assert not kept.is_small
    assert kept.plain is not None


async def test_answer_leaves_nothing_for_the_collector(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector of cycles runs seldom, and pages are large."""
    begun, begin = [], Responder._launch

    def watched(*args: Any) -> InFlightResponse:
        filling = begin(*args)
        begun.append(weakref.ref(filling))
        return filling

    monkeypatch.setattr(Responder, "_launch", watched)
    gc.disable()
    try:
        for limit in ("1000", "2000"):
            await api.records("getData", limit=limit)
            await api.settled()
        for _ in range(5):
            await asyncio.sleep(0)
        assert [filling() for filling in begun] == [None, None]
    finally:
        gc.enable()


async def test_request_counts_once_as_a_hit_or_a_miss(
    serve: Serve, sample: DatabaseFixture
) -> None:
    """Also one whose like was answered from the cache before, and whose answer has gone."""
    api = await serve(sample, ELECDATA_CACHE__MAX_BYTES="8000")
    for path in ["getDataById?id=5"] * 3 + [f"getDataById?id={n}" for n in range(6, 14)]:
        await api.get(path)
        await api.settled()
    cache = api.app[CACHE]
    before = (cache.hits, cache.misses)
    await api.get("getDataById?id=5")
    assert (cache.hits, cache.misses) == (before[0], before[1] + 1)


@pytest.mark.parametrize(
    ("room", "is_plain"), [("64MiB", True), ("3MiB", False)], ids=["room", "none"]
)
@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
async def test_long_response_is_cached_plain_where_there_is_room(
    serve: Serve, sample: DatabaseFixture, room: str, coding: str, *, is_plain: bool
) -> None:
    api = await serve(sample, ELECDATA_CACHE__MAX_BYTES=room)
    made = await api.records("getData")
    await api.settled()
    memory = api.app[CACHE]._backend
    (kept,) = (value for value, _ in memory._cache.values())
    assert (kept.plain is not None) == is_plain
    assert memory.bytes == kept.stored_bytes <= memory._max_bytes
    asked = api.engine.readings_asked
    async with await api.request("getData", headers={"Accept-Encoding": coding}) as response:
        assert (await response.json())["values"]["records"] == made
        assert ("Content-Length" in response.headers) == (coding != "zstd")
    assert api.engine.readings_asked == asked


async def test_response_is_cached_until_its_ttl(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("server.cache.store.time", SimpleNamespace(monotonic=lambda: clock.now))
    await api.get("getDataById?id=5")
    await api.settled()
    asked = api.engine.readings_asked
    clock.now += 599
    await api.get("getDataById?id=5")
    assert api.engine.readings_asked == asked
    clock.now += 1
    await api.get("getDataById?id=5")
    assert api.engine.readings_asked == asked + 1


async def test_ttl_of_zero_keeps_nothing(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, ELECDATA_CACHE__TTL="0")
    for _ in range(2):
        asked = api.engine.readings_asked
        assert (await api.get("getDataById?id=5"))[0] == 200
        assert api.engine.readings_asked == asked + 1


# Redis


async def test_servers_share_answers_in_redis(
    serve: Serve, sample: DatabaseFixture, redis_url: str
) -> None:
    first = await serve(sample, ELECDATA_CACHE__URL=redis_url)
    second = await serve(sample, ELECDATA_CACHE__URL=redis_url)
    kept = await first.get("getDataById", {"id": "7,8,9"})
    await first.settled()
    assert await second.get("getDataById", {"id": "7,8,9"}) == kept
    assert second.engine.readings_asked == 0


async def test_answers_in_redis_live_for_their_time(redis_url: str) -> None:
    async with in_redis(redis_url, ttl=100) as cache:
        await cache.put("mortal", ANSWER, meter="main", version="1")
        redis = cache._backend.client
        (key,) = await redis.keys("*mortal")
        assert 50_000 < await redis.pttl(key) <= 100_000


async def test_redis_that_is_gone_is_passed_by(
    serve: Serve,
    sample: DatabaseFixture,
    redis_server: Redis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.cache.store._RETRY_AFTER", 0.0)
    with Redis(redis_server.program) as own:
        api = await serve(sample, ELECDATA_CACHE__URL=own.url)
        kept = await api.get("getDataById?id=5")
        own.kill()
        for _ in range(3):
            assert await api.get("getDataById?id=5") == kept
        passed_by = [r for r in caplog.records if "cache is bypassed" in r.getMessage()]
        assert len(passed_by) == 1
        own.start()
        await api.get("getDataById?id=5")
        await api.settled()
        asked = api.engine.readings_asked
        assert await api.get("getDataById?id=5") == kept
        assert api.engine.readings_asked == asked


@pytest.mark.parametrize("first", ["get", "put"])
async def test_redis_that_has_recovered_is_used_for_every_request(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("server.cache.store.time", SimpleNamespace(monotonic=lambda: clock.now))
    async with AsyncExitStack() as stack:
        own = stack.enter_context(Redis(redis_server.program))
        cache = await stack.enter_async_context(in_redis(own.url))
        await cache.put("key", ANSWER, meter="main", version="1")
        own.kill()
        assert await cache.get("key") is None
        own.start()
        clock.now += 5
        if first == "get":
            assert await cache.get("key") is None
        for _ in range(3):
            await cache.put("key", ANSWER, meter="main", version="1")
            kept = await cache.get("key")
            assert kept is not None
            assert kept.plain == ANSWER.plain


# Cut answers


async def test_truncated_response_is_not_cached(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pages_small(monkeypatch, 50)

    async def fail(sql: str) -> str:
        if api.engine.readings_asked == 20:
            raise Unreachable("gone")
        return sql

    api.engine.step_in = fail
    response = await api.request("getData")
    with pytest.raises(ClientPayloadError):
        await response.read()
    api.engine.step_in = None
    assert len(await api.records("getData")) == 11716


async def test_same_words_in_another_format_are_another_question(api: Api) -> None:
    found = []
    for accept in ("application/json", "text/csv", "application/json"):
        async with await api.request(
            "getDataById", {"id": "5"}, headers={"Accept": accept}
        ) as response:
            found.append(response.content_type)
    assert found == ["application/json", "text/csv", "application/json"]
