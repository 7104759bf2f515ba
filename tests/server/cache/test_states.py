"""Each answer is of one state of the data, pages included, and its ETag names what it contains."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientPayloadError

from tests.support.app_client import Api, Serve, about_readings, make_pages_small
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Bad nights")

MOMENTS = quarters("2019-08-01", 400)
LATER = quarters("2019-09-01", 4)
ONE = "getDataById?id=5"
CHANGE = "UPDATE readings SET energy = NULL WHERE id = 5"
EXPIRED = "after: readings of earlier pages were corrected meanwhile, begin again without after"


@pytest.fixture
async def loaded(database: DatabaseFixture) -> DatabaseFixture:
    """A database with readings whose energy is their number."""
    await database.load(report(*numbered(MOMENTS)))
    return database


def meanwhile(api: Api, database: DatabaseFixture, statement: int, *changes: str) -> None:
    """Runs changes, or imports, before the statement of readings with this number."""
    asked = 0
    left = list(changes)

    async def step_in(sql: str) -> str:
        nonlocal asked
        asked += about_readings(sql)
        if left and about_readings(sql) and asked >= statement:
            change = left.pop(0)
            # In a task of its own, since a loader may block where the server must not.
            work = database.load(change) if "\n" in change else database.rows(change)
            await asyncio.create_task(work)
        return sql

    api.engine.step_in = step_in


async def told(api: Api, path: str, **headers: str) -> tuple[int, str | None, Any]:
    """The status, the tag and the records of an answer."""
    async with await api.request(path, headers=headers) as response:
        body = json.loads(await response.read() or b"{}")
        records = body["values"]["records"] if response.status == 200 else body.get("message")
        return response.status, response.headers.get("ETag"), records


async def test_change_by_hand_is_in_the_next_answer(serve: Serve, loaded: DatabaseFixture) -> None:
    api = await serve(loaded)
    for _ in range(3):  # the last one is a repetition
        _, before, _ = await told(api, ONE)
        await api.settled()
    assert before is not None
    await loaded.rows(CHANGE)
    status, tag, (record,) = await told(api, ONE, **{"If-None-Match": before})
    assert (status, record["energy"]) == (200, None)
    assert tag != before


@pytest.mark.parametrize(
    ("path", "cache"),
    [
        (ONE, {"Cache-Control": "no-cache"}),
        ("getData", {}),
        ("getDataByDate?date=2019-08-01%25", {}),
        ("getData?limit=9", {}),
        ("getSummary", {"Cache-Control": "no-cache"}),
        ("getAggregate?interval=day", {}),
    ],
)
@pytest.mark.parametrize("change", [CHANGE, report(*numbered(LATER, 401))])
async def test_tag_of_an_answer_that_a_change_overtook_is_that_of_its_content(
    serve: Serve, loaded: DatabaseFixture, path: str, change: str, cache: dict[str, str]
) -> None:
    api = await serve(loaded)
    _, before, old = await told(api, path)
    api = await serve(loaded)
    meanwhile(api, loaded, 1, change)
    status, tag, records = await told(api, path, **cache)
    api.engine.step_in = None
    assert status == 200
    fresh = await serve(loaded)
    assert (status, tag, records) == await told(fresh, path)
    assert tag != before
    changes_all = change == CHANGE or path in ("getData", "getSummary", "getAggregate?interval=day")
    assert (records != old) == changes_all


async def test_readings_that_change_all_the_time_are_refused_in_the_end(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    changes = [CHANGE] * 9
    meanwhile(api, loaded, 1, *changes)
    async with await api.request(ONE) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "5"
        assert "change faster" in (await response.json())["message"]
    api.engine.step_in = None
    assert (await api.get(ONE))[0] == 200


@pytest.mark.parametrize("cache", [{}, {"Cache-Control": "no-cache"}], ids=["shared", "direct"])
async def test_long_answer_is_broken_off_by_corrections_and_not_by_later_readings(
    serve: Serve,
    loaded: DatabaseFixture,
    monkeypatch: pytest.MonkeyPatch,
    cache: dict[str, str],
) -> None:
    make_pages_small(monkeypatch, 20)
    api = await serve(loaded)
    meanwhile(api, loaded, 9, report(*numbered(LATER, 401)))
    status, _, records = await told(api, "getData", **cache)
    assert (status, len(records)) == (200, 400)
    meanwhile(api, loaded, 9, CHANGE)
    response = await api.request("getData", headers=cache)
    assert response.status == 200
    with pytest.raises(ClientPayloadError):
        await response.read()


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("route", ["getData", "getDataByDate?date=2019%25", "getDataById"])
async def test_walk_over_pages_sees_the_readings_of_its_first_page(
    serve: Serve, loaded: DatabaseFixture, route: str, order: str
) -> None:
    api = await serve(loaded)
    path, _, given = route.partition("?")
    params = dict([given.replace("%25", "%").split("=")]) if given else {}
    if path == "getDataById":
        params["id"] = ",".join(map(str, range(1, 500)))
    params |= {"limit": "150", "order": order}
    found: list[int] = []
    for number in range(3):
        _, body = await api.get(path, params)
        found += [int(record["id"]) for record in body["values"]["records"]]
        if number < 2:
            params["after"] = body["values"]["next"]
        await loaded.load(report(*numbered(quarters(f"2019-09-0{number + 1}", 50), 401)))
    assert sorted(found) == list(range(1, 401))
    assert "next" not in body["values"]


@pytest.mark.parametrize("change", [CHANGE, report(*numbered(MOMENTS[:3], 9))])
async def test_walk_over_corrected_readings_has_to_begin_again(
    serve: Serve, loaded: DatabaseFixture, change: str
) -> None:
    api = await serve(loaded)
    _, body = await api.get("getData", {"limit": "150"})
    params = {"limit": "150", "after": body["values"]["next"]}
    assert (await api.get("getData", params))[0] == 200
    await (loaded.load(change) if "\n" in change else loaded.rows(change))
    async with await api.request("getData", params) as response:
        assert response.status == 410
        assert response.headers["Cache-Control"] == "no-store"
        assert (await response.json())["message"] == EXPIRED
    _, body = await api.get("getData", {"limit": "150"})
    assert (await api.get("getData", params | {"after": body["values"]["next"]}))[0] == 200


async def test_any_tag_is_no_answer_to_a_request_that_is_wrong(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    for path in ("getAggregate?interval=day&date=1000&end_date=3000", "getData?limit=0"):
        async with await api.request(path, headers={"If-None-Match": "*"}) as response:
            assert response.status == 400
    for path in (ONE, ONE, "getData", "getMeter"):
        async with await api.request(path, headers={"If-None-Match": "*"}) as response:
            assert (response.status, await response.read()) == (304, b"")
            tag = response.headers["ETag"]
        assert (await told(api, path))[1] == tag
        await api.settled()
