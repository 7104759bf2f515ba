"""The parameter that names the meter: by default it is the only one, or the configured one."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.conftest import fresh
from tests.support.app_client import Serve
from tests.support.databases import DatabaseFixture
from tests.support.neighbours import add_neighbours, neighbour
from tests.support.report_factory import numbered, quarters, report

ROUTES: list[tuple[str, dict[str, str]]] = [
    ("getData", {}),
    ("getDataById", {"id": "1,2"}),
    ("getDataByDate", {"date": "2019-%"}),
    ("getDataByRange", {"date": "2019-08", "end_date": "2019-09"}),
    ("getMeter", {}),
    ("getAggregate", {"interval": "day"}),
    ("getProfile", {"column": "energy"}),
    ("getPeaks", {}),
    ("getSummary", {}),
    ("getQuality", {"list": "days"}),
]
TEXT = report(*numbered(quarters("2019-08-01", 4)))


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def several(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseFixture]:
    """A database of each kind with the meter main and twelve others, for tests that only read."""
    with fresh(request, tmp_path_factory.mktemp("several")) as database:
        asyncio.run(database.load(TEXT))
        add_neighbours(database, range(2, 14))
        yield database


def ways(params: Mapping[str, str]) -> list[dict[str, Any]]:
    """How parameters may come: in the URL, in a form and as JSON."""
    return [
        {"method": "GET", "params": params},
        {"method": "POST", "params": params},
        {"method": "POST", "data": params},
        {"method": "POST", "json": params},
    ]


async def test_only_meter_needs_no_name(serve: Serve, database: DatabaseFixture) -> None:
    await database.load(TEXT)
    api = await serve(database)
    for route, params in ROUTES:
        found = await api.records(route, **params)
        assert found
        assert await api.records(route, **params, meter="main") == found


@pytest.mark.parametrize(("route", "params"), ROUTES)
async def test_one_of_several_meters_has_to_be_named(
    serve: Serve, several: DatabaseFixture, route: str, params: dict[str, str]
) -> None:
    """The choice is of ten at most, in the order of their registration."""
    api = await serve(several)
    some = ", ".join(["main", *(neighbour(number) for number in range(2, 11))])
    for way in ways(params):
        status, body = await api.get(route, **way)
        assert (status, body["message"]) == (400, f"meter: expected one of {some} ...")


async def test_choice_of_few_meters_has_all_of_them(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(TEXT)
    add_neighbours(database, [2, 3])
    status, body = await (await serve(database)).get("getData")
    assert (status, body["message"]) == (400, "meter: expected one of main, n2, n3")


async def test_named_meter_is_that_of_the_answer(serve: Serve, several: DatabaseFixture) -> None:
    api = await serve(several)
    for route, params in ROUTES:
        answers = []
        for meter in ("main", "n2", "n3"):
            found = {str(await api.get(route, **way)) for way in ways({**params, "meter": meter})}
            assert len(found) == 1
            answers.append(found.pop())
        assert all(answer.startswith("(200, ") for answer in answers)
        assert len(set(answers)) == 3, route


async def test_default_meter_is_meant_where_none_is_named(
    serve: Serve, several: DatabaseFixture
) -> None:
    """Its answers are those of its name: they share an entry of the cache."""
    api = await serve(several, ELECDATA_METER__DEFAULT="n5")
    for route, params in ROUTES:
        async with await api.request(route, {**params, "meter": "n5"}) as response:
            tag, body = response.headers["ETag"], await response.read()
        await api.settled()
        asked = api.engine.readings_asked
        for way in ways(params):
            async with await api.request(route, **way) as response:
                assert (response.headers["ETag"], await response.read()) == (tag, body)
        assert api.engine.readings_asked == asked
    [other] = await api.records("getMeter", meter="n6")
    assert other["meter"] == "n6"


async def test_default_meter_that_there_is_not_leaves_the_choice(
    serve: Serve, several: DatabaseFixture
) -> None:
    api = await serve(several, ELECDATA_METER__DEFAULT="gone")
    status, body = await api.get("getData")
    assert status == 400
    assert body["message"].startswith("meter: expected one of main, n2, ")
    assert (await api.get("getData", {"meter": "n2"}))[0] == 200


@pytest.mark.parametrize("name", ["nobody", "MAIN", "Main", "n20", "x" * 64, "1"])
async def test_unknown_meter_is_a_404(serve: Serve, several: DatabaseFixture, name: str) -> None:
    api = await serve(several, ELECDATA_METER__DEFAULT="main")
    for route, params in ROUTES:
        for way in ways({**params, "meter": name}):
            status, body = await api.get(route, **way)
            assert (status, body["message"]) == (404, f"meter: there is no meter {name}")


@pytest.mark.parametrize(
    "name",
    ["", " main", "main ", "ma/in", "_main", "-main", ".", "x" * 65, "máin", "main\n", "'", "*"],
)
async def test_malformed_meter_is_a_400(serve: Serve, several: DatabaseFixture, name: str) -> None:
    api = await serve(several, ELECDATA_METER__DEFAULT="main")
    for way in ways({"meter": name}):
        status, body = await api.get("getData", **way)
        assert status == 400
        assert body["message"].startswith("meter: expected a public id: 1 to 64 letters, digits")


async def test_meter_named_twice_is_a_400(serve: Serve, several: DatabaseFixture) -> None:
    api = await serve(several)
    status, body = await api.get("getData", [("meter", "n2"), ("meter", "n3")])
    assert status == 400
    assert "meter" in body["message"]


async def test_removed_meter_is_a_404_and_the_last_one_is_meant(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(TEXT)
    await database.load(TEXT, meter="second", register=True)
    api = await serve(database)
    for name in ("main", "second"):
        assert (await api.get("getData", {"meter": name}))[0] == 200
    assert (await api.get("getData"))[0] == 400
    for table, key in (("readings", "meter_id"), ("states", "meter_id"), ("meters", "id")):
        await database.rows(f"DELETE FROM {table} WHERE {key} = 2")
    for _ in range(2):
        status, body = await api.get("getData", {"meter": "second"})
        assert (status, body["message"]) == (404, "meter: there is no meter second")
    assert len(await api.records("getData")) == 4


async def test_meter_is_known_as_soon_as_it_is_registered(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(TEXT)
    api = await serve(database)
    assert (await api.get("getData", {"meter": "second"}))[0] == 404
    await database.load(TEXT, meter="second", register=True)
    assert len(await api.records("getData", meter="second")) == 4


async def test_request_that_was_answered_has_to_name_its_meter_once_there_are_several(
    serve: Serve, database: DatabaseFixture
) -> None:
    """Also one whose head equals that of one answered before."""
    await database.load(TEXT)
    api = await serve(database)
    for _ in range(3):
        assert (await api.get("getDataById", {"id": "1"}))[0] == 200
        await api.settled()
    await database.load(TEXT, meter="second", register=True)
    assert (await api.get("getDataById", {"id": "1"}))[0] == 400
    assert (await api.get("getDataById", {"id": "1", "meter": "main"}))[0] == 200


async def test_database_without_meters_has_no_readings_of_any(
    serve: Serve, database: DatabaseFixture
) -> None:
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        await writer.engine.admit_reader()
    api = await serve(database)
    assert await api.records("getData") == []
    assert (await api.get("getData", {"meter": "main"}))[0] == 404
