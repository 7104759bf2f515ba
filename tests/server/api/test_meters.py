"""getMeters: which meters there are, page by page."""

from collections.abc import Mapping

import pytest

from tests.support.app_client import Api, Document, Serve
from tests.support.databases import DatabaseFixture, MariadbDatabase
from tests.support.legacy_database import make_older
from tests.support.report_factory import numbered, quarters, report
from tests.support.report_formats import DISTRIBUTOR, hourly

QUARTERS = report(*numbered(quarters("2019-08-01", 12)))
HOURS = DISTRIBUTOR + "".join(hourly("02/08/2019", *range(1, 25)))
NAMES = {
    "a-b": "Fábrica Ávila",
    "a.b": "50% off!",
    "a_b": 'The "new" [shop]',
    "axb": "tienda\\sur",
    "b": None,
}


async def add(database: DatabaseFixture, names: Mapping[str, str | None]) -> None:
    """Register meters that have no readings."""
    async with database.writer() as writer:
        place = writer.engine.dialect.placeholder
        assert await writer.engine.is_prepared()
        await writer.engine.begin_change()
        for public_id, name in names.items():
            await writer.meters.register(public_id, "UTC")
            await writer.engine.execute(
                f"UPDATE meters SET name = {place} WHERE public_id = {place}", (name, public_id)
            )
        await writer.engine.commit()


async def listed(api: Api, **params: str) -> list[str | None]:
    return [record["meter"] for record in await api.records("getMeters", **params)]


@pytest.fixture
async def named(serve: Serve, database: DatabaseFixture) -> Api:
    """A service of one meter with readings, and others with names."""
    await database.load(HOURS)
    await add(database, NAMES)
    return await serve(database)


async def test_meters_are_listed_with_what_figures_say_of_each(
    serve: Serve, database: DatabaseFixture
) -> None:
    database.configure(meter={"timezone": "Europe/Madrid"})
    await database.load(QUARTERS)
    await database.load(HOURS, meter="hourly", register=True)
    database.configure(meter={"timezone": "America/New_York"})
    await database.load(report(*numbered(quarters("2019-11-03", 8))), meter="west", register=True)
    api = await serve(database)
    records = await api.records("getMeters")
    assert [record["meter"] for record in records] == ["hourly", "main", "west"]
    for record in records:
        readings = record.pop("readings")
        (meter,) = await api.records("getMeter", meter=str(record["meter"]))
        assert record.items() <= meter.items()
        (summary,) = await api.records("getSummary", meter=str(record["meter"]))
        assert readings == summary["readings"]
    assert records[2]["first_reading"] == "2019-11-03T00:00:00-04:00"


async def test_meter_without_readings_is_listed(named: Api) -> None:
    (record,) = await named.records("getMeters", search="axb")
    assert record == {
        "meter": "axb",
        "name": "tienda\\sur",
        "identifier": None,
        "timezone": "UTC",
        "interval_seconds": None,
        "intervals": None,
        "first_reading": None,
        "last_reading": None,
        "readings": "0",
    }


async def test_meter_in_a_zone_that_this_machine_does_not_know_is_listed_in_utc(
    named: Api, database: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    database.run("UPDATE meters SET timezone = 'Mars/Olympus' WHERE public_id = 'main'")
    status, body = await named.get("getMeter", {"meter": "main"})
    assert (status, "cannot be read just now" in body["message"]) == (503, True)
    assert "the meter main is in the time zone Mars/Olympus, which this machine" in caplog.text
    *_, record = await named.records("getMeters")
    assert record["timezone"] == "Mars/Olympus"
    assert record["first_reading"] == "2019-08-01T22:00:00+00:00"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_pages_follow_each_other_to_the_last(named: Api, method: str) -> None:
    found: list[str] = []
    place: dict[str, str] = {}
    for size in (4, 2):
        carrier = {"params" if method == "GET" else "data": {"limit": "4", **place}}
        async with await named.request("getMeters", method=method, **carrier) as response:
            assert response.headers["Cache-Control"] == "private, no-cache"
            values = (await response.json())["values"]
        assert values["numrecs"] == len(values["records"]) == size
        found += [record["meter"] for record in values["records"]]
        place = {"after": values["next"]} if "next" in values else {}
    assert found == [*sorted(NAMES)[:4], "b", "main"]
    assert not place
    assert await listed(named, limit="2") == ["a-b", "a.b"]


async def test_search_finds_a_text_in_either_case(named: Api) -> None:
    for text, meters in (
        ("ÁVILA", ["a-b"]),
        ("fábrica á", ["a-b"]),
        ("avila", []),
        ("AXB", ["axb"]),
        ("a_b", ["a_b"]),
        ("0%", ["a.b"]),
        ("%", ["a.b"]),
        ("!", ["a.b"]),
        ("[S", ["a_b"]),
        ('"NEW"', ["a_b"]),
        ("\\", ["axb"]),
        ("*", []),
        ("?", []),
        ("'", []),
        ("es00000", ["main"]),
        ("b", ["a-b", "a.b", "a_b", "axb", "b"]),
    ):
        assert await listed(named, search=text) == meters, text


async def test_search_goes_on_after_a_page(named: Api) -> None:
    _, body = await named.get("getMeters", {"search": "B", "limit": "2"})
    assert body["values"]["next"] == "a.b"
    assert await listed(named, search="B", after="a.b") == ["a_b", "axb", "b"]
    assert await listed(named, after="zzz") == []


async def test_default_is_the_meter_of_requests_that_name_none(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(QUARTERS)

    async def default(**environ: str) -> str | None:
        api = await serve(database, **environ)
        _, body = await api.get("getMeters")
        values: Document = body["values"]
        named: str | None = values.get("default")
        status, body = await api.get("getMeter")
        assert status == (400 if named is None else 200)
        if named is not None:
            assert body["values"]["records"][0]["meter"] == named
        return named

    assert await default() == "main"
    await database.load(HOURS, meter="hourly", register=True)
    assert await default() is None
    assert await default(ELECDATA_METER__DEFAULT="hourly") == "hourly"
    assert await default(ELECDATA_METER__DEFAULT="gone") is None


DATA_ROUTES = {
    "getData": {},
    "getDataById": {"id": "1"},
    "getDataByDate": {"date": "2019%"},
    "getDataByRange": {"date": "2019", "end_date": "2020"},
    "getMeter": {},
    "getAggregate": {"interval": "day"},
    "getProfile": {"column": "energy"},
    "getPeaks": {},
    "getSummary": {},
    "getQuality": {"list": "days"},
}


async def test_data_of_several_meters_is_of_the_one_that_is_named(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(QUARTERS)
    await database.load(HOURS, meter="hourly", register=True)
    api = await serve(database)
    for route, params in DATA_ROUTES.items():
        status, body = await api.get(route, params)
        assert (status, body["message"]) == (400, "meter: expected one of main, hourly")
        status, body = await api.get(route, params | {"meter": "gone"})
        assert (status, body["message"]) == (404, "meter: there is no meter gone")
        status, body = await api.get(route, params | {"meter": "no id"})
        assert (status, body["message"][:31]) == (400, "meter: expected a public id: 1 ")
        for method, carrier in (("GET", "params"), ("POST", "data")):
            found = []
            for meter in ("main", "hourly"):
                options = {carrier: params | {"meter": meter}}
                status, body = await api.get(route, method=method, **options)
                assert (status, body["values"]["numrecs"] > 0) == (200, True)
                found.append(body["values"]["records"])
            assert found[0] != found[1]
    await add(database, dict.fromkeys([f"m{number}" for number in range(9)]))
    _, body = await api.get("getMeter")
    names = ", ".join(["main", "hourly", *(f"m{number}" for number in range(8))])
    assert body["message"] == f"meter: expected one of {names} ..."


async def test_readings_that_another_program_changes_count(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(QUARTERS)
    await database.load(HOURS, meter="hourly", register=True)
    api = await serve(database)

    async def span(meter: str) -> tuple[str | None, ...]:
        (record,) = await api.records("getMeters", search=meter)
        return tuple(record[name] for name in ("first_reading", "last_reading", "readings"))

    hourly_span = await span("hourly")
    database.run("DELETE FROM readings WHERE meter_id = 1 AND id IN (1, 12)")
    assert await span("main") == (
        "2019-08-01T00:15:00+02:00",
        "2019-08-01T02:30:00+02:00",
        "10",
    )
    assert await span("hourly") == hourly_span
    # Which fires no trigger on MariaDB.
    is_mariadb = isinstance(database, MariadbDatabase)
    database.run("TRUNCATE TABLE readings" if is_mariadb else "DELETE FROM readings")
    assert await span("main") == await span("hourly") == (None, None, "0")


async def test_page_is_one_statement_that_does_not_sort_all_meters(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(QUARTERS)
    is_mariadb = isinstance(database, MariadbDatabase)
    name = "CONCAT('m', i)" if is_mariadb else "'m' || i"
    numbers = "SELECT 2 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 20000"
    source = f"(WITH RECURSIVE n AS ({numbers}) SELECT i FROM n) AS numbers"
    if is_mariadb:
        source = "(SELECT seq AS i FROM seq_2_to_20000) AS numbers"
    database.run(
        f"INSERT INTO meters (id, public_id, timezone) SELECT i, {name}, 'UTC' FROM {source}"
    )
    database.run(
        "INSERT INTO states (meter_id, version, changes, corrections, readings, last_id)"
        f" SELECT i, 'v', 0, 0, 0, 0 FROM {source}"
    )
    if is_mariadb:
        database.run("ANALYZE TABLE meters, states")
    api = await serve(database)
    await api.get("getMeters")
    api.engine.statements.clear()
    assert len(await listed(api, limit="200")) == 200
    (statement,) = [sql for sql in api.engine.statements if "FROM meters AS m " in sql]
    statement = statement.replace(api.engine.dialect.placeholder, "''")
    explain = "EXPLAIN" if is_mariadb else "EXPLAIN QUERY PLAN"
    plan = str(database.run(f"{explain} {statement}"))
    assert "public_id" in plan
    assert "filesort" not in plan
    assert "TEMP B-TREE" not in plan


async def test_wrong_parameters_are_refused(named: Api) -> None:
    for params, message in (
        ({"limit": "0"}, "limit: expected a whole number from 1 to 1000, got '0'"),
        ({"limit": "1001"}, "limit: expected a whole number from 1 to 1000, got '1001'"),
        ({"after": "a b"}, "after: expected a public id: 1 to 64 letters, digits, '.', '_' or '-'"),
        ({"search": ""}, "search: expected 1 to 100 characters without control characters"),
        ({"search": "a" * 101}, "search: expected 1 to 100 characters"),
        ({"search": "a\n"}, "search: expected 1 to 100 characters"),
        ({"search": "\ud800"}, "search: expected 1 to 100 characters"),
        ({"meter": "main"}, "'meter': unknown parameter, expected any of limit, after, search"),
    ):
        status, body = await named.get("getMeters", method="POST", json=params)
        assert (status, body["message"][: len(message)]) == (400, message)


async def test_list_needs_a_token_and_a_database_that_has_one(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(QUARTERS)
    await database.admit("rick")
    make_older(database)
    api = await serve(database)
    status, body = await api.get("getMeters")
    assert status == 503
    assert body["message"].startswith("The database has an older layout")
    async with await api.client.get("/apielec/getMeters") as response:
        assert response.status == 405
