"""Two meters whose readings share ids and instants: neither shows in what is asked of the other."""

import asyncio
import json
from collections.abc import Iterator, Mapping

import pytest

from tests.conftest import fresh
from tests.support.app_client import Api, Serve, about_readings
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report, row

READINGS = 4100
"""More than a page."""

MOMENTS = quarters("2019-08-01", READINGS)
FIRST = {"a": 0, "b": 1_000_000}
"""The least energy of each meter."""


def energy(meter: str, number: int) -> int:
    """The energy of a reading, which no reading of the other meter has; it goes up and down."""
    return FIRST[meter] + number * 1009 % READINGS


async def load(database: DatabaseFixture, meter: str, moments: list[str], first: int) -> None:
    await database.load(report(*numbered(moments, first)), meter=meter, register=True)


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseFixture]:
    """A database of each kind with two meters, for tests that only read."""
    with fresh(request, tmp_path_factory.mktemp("pair")) as database:
        for meter in FIRST:
            lines = [row(at, str(energy(meter, number))) for number, at in enumerate(MOMENTS, 1)]
            asyncio.run(database.load(report(*lines), meter=meter, register=True))
        # They begin with random numbers, which tell meters apart by chance.
        database.run("UPDATE states SET corrections = 5")
        yield database


@pytest.fixture
async def api(serve: Serve, pair: DatabaseFixture) -> Api:
    return await serve(pair)


def energies(meter: str, ids: range) -> list[str]:
    return [f"{energy(meter, number)}.00000" for number in ids]


async def energy_of(api: Api, route: str, **params: str) -> list[str | None]:
    return [record["energy"] for record in await api.records(route, **params)]


@pytest.mark.parametrize("meter", FIRST)
async def test_stored_page_is_that_of_the_meter(api: Api, meter: str) -> None:
    assert await energy_of(api, "getData", meter=meter) == energies(meter, range(1, READINGS + 1))
    assert any("FROM pages" in statement for statement in api.engine.statements)


@pytest.mark.parametrize("meter", FIRST)
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_range_of_ids_is_that_of_the_meter(api: Api, meter: str, order: str) -> None:
    params = {"meter": meter, "order": order, "columns": "energy"}
    found = await energy_of(api, "getData", **params)
    ids = range(1, READINGS + 1)
    assert found == energies(meter, ids if order == "asc" else ids[::-1])
    found = await energy_of(api, "getDataById", id="7,4001,4100,4101", **params)
    wanted = energies(meter, range(7, 8)) + energies(meter, range(4001, 4101, 99))
    assert found == (wanted if order == "asc" else wanted[::-1])


@pytest.mark.parametrize("meter", FIRST)
@pytest.mark.parametrize("bounds", [{}, {"date": "2019-08-01", "end_date": "2019-09-20"}])
async def test_sums_are_those_of_the_meter(api: Api, meter: str, bounds: Mapping[str, str]) -> None:
    """With bounds or without: all readings of a meter need no look at their instants."""
    days = await api.records("getAggregate", interval="year", meter=meter, **bounds)
    [summary] = await api.records("getSummary", meter=meter, **bounds)
    total = sum(energy(meter, number) for number in range(1, READINGS + 1))
    assert [day["energy"] for day in days] == [f"{total}.00000"]
    assert summary["energy"] == f"{total}.00000"
    assert summary["readings"] == summary["present"] == str(READINGS)


async def test_cursor_of_one_meter_is_refused_for_another(api: Api) -> None:
    for order in ("asc", "desc"):
        params = {"limit": "5", "order": order}
        _, body = await api.get("getData", {**params, "meter": "a"})
        after = body["values"]["next"]
        assert (await api.get("getData", {**params, "meter": "a", "after": after}))[0] == 200
        status, refused = await api.get("getData", {**params, "meter": "b", "after": after})
        assert status == 410
        assert "after" in refused["message"]


@pytest.mark.parametrize(
    ("route", "params"),
    [
        ("getData", {"columns": "energy"}),
        ("getDataById", {"id": "5", "columns": "energy"}),
        ("getAggregate", {"interval": "year", "columns": "energy"}),
    ],
)
@pytest.mark.parametrize("bypass", [{}, {"Cache-Control": "no-cache"}])
async def test_equal_requests_for_different_meters_at_once_are_answered_apart(
    api: Api, route: str, params: dict[str, str], bypass: dict[str, str]
) -> None:
    alone = {
        meter: await energy_of(api, route, **params, time="utc", meter=meter) for meter in FIRST
    }
    clients = 3 * len(FIRST)
    asking = 0
    all_asked = asyncio.Event()

    async def wait_for_all(sql: str) -> str:
        if about_readings(sql):
            await all_asked.wait()
        return sql

    async def ask(meter: str) -> list[str | None]:
        nonlocal asking
        asking += 1
        if asking == clients:
            asyncio.get_running_loop().call_later(0.05, all_asked.set)
        async with await api.request(route, {**params, "meter": meter}, headers=bypass) as response:
            assert response.status == 200
            return [
                each["energy"] for each in json.loads(await response.read())["values"]["records"]
            ]

    api.engine.step_in = wait_for_all
    found = await asyncio.gather(*(ask(meter) for meter in [*FIRST] * 3))
    api.engine.step_in = None
    assert found == [alone[meter] for meter in [*FIRST] * 3]
    assert alone["a"] != alone["b"]


async def test_repeated_request_is_answered_of_its_meter(api: Api) -> None:
    """Also where its head is answered as before, without a look at what it asks for."""
    heads = {meter: api.head(f"getDataById?id=5&columns=energy&meter={meter}") for meter in FIRST}
    for _ in range(4):
        for meter, head in heads.items():
            reader, writer = await api.raw(head)
            received = await reader.readuntil(b"}]}}")
            writer.close()
            assert b'"energy":"%d.00000"' % energy(meter, 5) in received
        await api.settled()


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    ("route", "params"), [("getData", {}), ("getDataById", {"id": "1,2,3,4,5,6,7,8"})]
)
async def test_page_that_has_all_of_the_meter_leads_to_none_of_another(
    serve: Serve, database: DatabaseFixture, route: str, params: dict[str, str], order: str
) -> None:
    await load(database, "a", MOMENTS[:4], 1)
    await load(database, "b", MOMENTS[:8], 1001)
    api = await serve(database)
    for meter, following in (("a", False), ("b", True)):
        more = {"meter": meter, "limit": "4", "order": order}
        _, body = await api.get(route, {**params, **more})
        assert body["values"]["numrecs"] == 4
        assert ("next" in body["values"]) == following


# Changes


async def tagged(api: Api, meter: str) -> tuple[str, bytes]:
    """The ETag and the body of an answer, which is cached then."""
    async with await api.request("getData", {"meter": meter}) as response:
        found = response.headers["ETag"], await response.read()
    await api.settled()
    return found


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE readings SET energy = 5 WHERE meter_id = 1 AND id = 2",
        "DELETE FROM readings WHERE meter_id = 1 AND id = 3",
        "UPDATE readings SET id = 9 WHERE meter_id = 1 AND id = 4",
        "UPDATE meters SET name = 'Cellar' WHERE id = 1",
    ],
)
async def test_change_by_hand_moves_the_version_of_its_meter_alone(
    serve: Serve, database: DatabaseFixture, change: str
) -> None:
    for meter, first in FIRST.items():
        await load(database, meter, MOMENTS[:4], first)
    api = await serve(database)
    before = {meter: await tagged(api, meter) for meter in ("b", "a")}
    await database.rows(change)
    asked = api.engine.readings_asked
    assert await tagged(api, "b") == before["b"]
    assert api.engine.readings_asked == asked
    after = await tagged(api, "a")
    assert after[0] != before["a"][0]
    assert (after[1] == before["a"][1]) == change.startswith("UPDATE meters")


async def test_reading_that_changes_its_meter_moves_both_versions(
    serve: Serve, database: DatabaseFixture
) -> None:
    await load(database, "a", MOMENTS[:4], 1)
    await load(database, "b", MOMENTS[4:8], 1001)
    api = await serve(database)
    before = {meter: await tagged(api, meter) for meter in FIRST}
    await database.rows("UPDATE readings SET meter_id = 2, id = 5 WHERE meter_id = 1 AND id = 4")
    for meter, count in (("a", 3), ("b", 5)):
        tag, body = await tagged(api, meter)
        assert tag != before[meter][0]
        assert json.loads(body)["values"]["numrecs"] == count


async def test_import_leaves_flags_of_other_meters(serve: Serve, database: DatabaseFixture) -> None:
    """An import that works flags out anew does so for its own meter."""
    gaps = [line for place, line in enumerate(numbered(MOMENTS[:40], 50)) if place % 3]
    for meter in FIRST:
        await database.load(report(*gaps), meter=meter, register=True)
    api = await serve(database)
    before = await api.records("getQuality", list="flagged", meter="b")
    async with await api.request("getSummary", {"meter": "b"}) as response:
        tag = response.headers["ETag"]
    await load(database, "a", MOMENTS[:40], 1)
    assert await api.records("getQuality", list="flagged", meter="b") == before
    async with await api.request("getSummary", {"meter": "b"}) as response:
        assert response.headers["ETag"] == tag
