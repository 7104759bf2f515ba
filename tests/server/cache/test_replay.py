"""Requests that say the same as an earlier one: answered in one step, and never otherwise."""

from typing import Any

import pytest

from server.api.data_request import DataRequest
from server.api.responder import Responder
from server.cache.replay import REPLAY_CACHE
from storage.database import DataState
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report

ONE = "getDataById?id=5"
MOMENTS = quarters("2019-08-01", 20)


@pytest.fixture
def in_full(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions that were read parameter by parameter, or looked up in the cache by them."""
    looked_up: list[str] = []
    named = Responder._key

    def key(responder: Responder, query: DataRequest, state: DataState) -> str:
        looked_up.append(query.key)
        return named(responder, query, state)

    monkeypatch.setattr(Responder, "_key", key)
    return looked_up


async def told(api: Api, path: str = ONE, **options: Any) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer, without what each has anew."""
    async with await api.request(path, **options) as response:
        headers = dict(response.headers)
        for name in ("X-Request-ID", "Date", "Server-Timing"):
            headers.pop(name, None)
        return response.status, headers, await response.read()


async def ask_twice(api: Api, path: str = ONE, **options: Any) -> None:
    """Asks once for an answer to be made, and once for it to be taken from the cache."""
    for _ in range(2):
        await told(api, path, **options)
        await api.settled()


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_same_request_gets_the_same_answer_in_one_step(
    api: Api, in_full: list[str], coding: str
) -> None:
    headers = {"Accept-Encoding": coding}
    await ask_twice(api, headers=headers)
    steps = len(in_full)
    (repeat,) = api.app[REPLAY_CACHE]._replays.values()
    repeated = [await told(api, headers=headers) for _ in range(3)]
    assert len(in_full) == steps
    api.app[REPLAY_CACHE]._replays.clear()
    assert repeated == [await told(api, headers=headers)] * 3
    assert repeated[0][1]["Etag"] == f'"{repeat.key}-{coding}"'


async def test_each_repetition_has_an_id_of_its_own(api: Api) -> None:
    await ask_twice(api)
    ids = [(await api.request(ONE)).headers["X-Request-ID"] for _ in range(3)]
    assert len(set(ids)) == 3


async def test_import_is_seen_by_the_next_repetition(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(report(*numbered(MOMENTS[:10])))
    api = await serve(database)
    await ask_twice(api)
    await database.load(report(*numbered(MOMENTS[:10], 100)))
    (record,) = await api.records(ONE)
    assert record["energy"] == "104.00000"


async def test_token_that_was_given_back_is_refused_its_repetition(api: Api) -> None:
    api.token = (await api.login("rick", "morty"))[1]["value_token"]
    await ask_twice(api)
    async with await api.client.post("/logout", headers={"SESSION": api.token}) as response:
        assert response.status == 200
    assert (await api.get(ONE))[0] == 406


async def test_token_that_has_expired_is_refused_its_repetition(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask_twice(api)
    monkeypatch.setattr("server.security.tokens.time.time", lambda: 2.0**40)
    assert (await api.get(ONE))[0] == 406


async def test_repetitions_count_against_the_limits(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, ELECDATA_LIMITS__REQUESTS_PER_USER="4")
    await ask_twice(api)
    assert [(await api.get(ONE))[0] for _ in range(3)] == [200, 200, 429]


async def test_response_no_longer_cached_is_made_again(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, ELECDATA_CACHE__MAX_BYTES="2000")
    await ask_twice(api)
    for number in range(6, 14):
        await ask_twice(api, f"getDataById?id={number}")
    asked = api.engine.readings_asked
    (record,) = await api.records(ONE)
    assert record["id"] == "5"
    assert api.engine.readings_asked == asked + 1


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"method": "HEAD"}, 200),
        ({"headers": {"If-None-Match": "*"}}, 304),
        ({"headers": {"Accept": "text/csv"}}, 200),
        ({"headers": {"Accept-Encoding": "gzip"}}, 200),
        ({"data": b"id=6"}, 400),
    ],
    ids=["HEAD", "If-None-Match", "Accept", "Accept-Encoding", "body"],
)
async def test_request_that_differs_is_no_repetition(
    api: Api, options: dict[str, Any], status: int
) -> None:
    plain = {"Accept-Encoding": "identity"}
    options = {**options, "headers": plain | options.get("headers", {})}
    await ask_twice(api, **options)
    api.app[REPLAY_CACHE]._replays.clear()
    first = await told(api, **options)
    api.app[REPLAY_CACHE]._replays.clear()
    await ask_twice(api, headers=plain)
    assert await told(api, **options) == first
    assert first[0] == status


async def test_what_is_remembered_of_heads_is_bounded(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.cache.replay._MAX_ENTRIES", 3)
    for number in range(1, 6):
        await ask_twice(api, f"getDataById?id={number}")
    await ask_twice(api, headers={"X-Long": "x" * 5000})
    await ask_twice(api, f"getDataById?id={'5,' * 2500}5")
    await ask_twice(api, headers={"X-Request-ID": "r1"})
    known = api.app[REPLAY_CACHE]._replays
    assert [path for path, _ in known] == [f"/apielec/getDataById?id={n}" for n in (3, 4, 5)]


async def test_long_answer_is_no_repetition(api: Api) -> None:
    for _ in range(3):
        await api.records("getData")
        await api.settled()
    assert not api.app[REPLAY_CACHE]._replays
