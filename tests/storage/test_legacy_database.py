"""A database that the original's importer made, served before any loader of ours touched it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from storage.readings.page_store import PAGE_READINGS
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture, MariadbDatabase
from tests.support.legacy_database import make_original
from tests.support.mariadb import MariaDB
from tests.support.paths import SAMPLE

READINGS = 11716
OUTDATED = "The database has an older layout that lacks this: the loader has to be run first"
LONG_IDS = ",".join(map(str, range(1, PAGE_READINGS + 500)))

DATA_REQUESTS: list[tuple[str, Mapping[str, str], int]] = [
    ("getData", {}, READINGS),
    ("getData", {"order": "desc"}, READINGS),
    ("getData", {"limit": "5000"}, 5000),
    ("getDataById", {"id": "5,100,99999"}, 2),
    ("getDataById", {"id": LONG_IDS}, PAGE_READINGS + 499),
    ("getDataByDate", {"date": "2019-09-11%"}, 96),
    ("getDataByDate", {"date": "2019-08%"}, 2976),
    ("getDataByDate", {"date": "%:00:00"}, 2929),
    ("getDataByRange", {"date": "2019-08-01", "end_date": "2019-08-06 04:45:00"}, 500),
    ("getDataByRange", {"date": "2019-08-15", "end_date": "2019-11"}, 7492),
]
CURSOR = re.compile(rb'"next":"[^"]*"')
FIGURES = ["getMeter", "getSummary", "getPeaks", "getProfile", "getQuality"]


@pytest.fixture(scope="module")
def legacy(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariadbDatabase]:
    """A database of the original's importer and its account; for tests that only read."""
    with MariadbDatabase(tmp_path_factory.mktemp("legacy"), mariadb) as database:
        make_original(database, SAMPLE)
        reader = f"'{database.reader_user}'@'localhost'"
        database.run(f"CREATE USER {reader} IDENTIFIED BY 'reads only'")
        database.run(f"GRANT SELECT ON {database.name}.* TO {reader}")
        yield database
        assert database.run("SHOW TABLES") == (("consumpdata",), ("users",))


@pytest.fixture
async def api(serve: Serve, legacy: MariadbDatabase) -> Api:
    """The application over it; the token is of a login."""
    api = await serve(legacy)
    status, body = await api.login("rick", "morty")
    assert status == 200
    api.token = body["value_token"]
    return api


async def body(api: Api, route: str, params: Mapping[str, str]) -> bytes:
    method, place = ("POST", "data") if len(params.get("id", "")) > 1000 else ("GET", "params")
    async with await api.request(route, method=method, **{place: params}) as response:
        content = await response.read()
        assert response.status == 200, content[:500]
        return content


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
async def test_every_data_route_answers_as_over_a_database_of_our_loader(
    api: Api, serve: Serve, sample: DatabaseFixture, form: str
) -> None:
    ours = await serve(sample)
    ours.token = (await ours.login("rick", "morty"))[1]["value_token"]
    for route, given, count in DATA_REQUESTS:
        params = {**given, "format": form}
        content = await body(api, route, params)
        assert content.count(b"{" if form != "csv" else b"\r\n") >= count
        expected = await body(ours, route, params)
        # A cursor names a state of one database.
        content, expected = (CURSOR.sub(b"", each) for each in (content, expected))
        assert content == expected


@pytest.mark.parametrize(
    ("route", "params"),
    [
        ("getData", {"format": "parquet"}),
        ("getData", {"time": "utc"}),
        ("getDataByDate", {"date": "2019%", "time": "offset"}),
        ("getData", {"quality": "clean"}),
        ("getData", {"meter": "main"}),
        ("getDataById", {"id": "5", "columns": "id,flags"}),
        *((route, {}) for route in FIGURES),
        ("getAggregate", {"interval": "day"}),
    ],
)
async def test_what_needs_a_newer_schema_says_so(
    api: Api, route: str, params: Mapping[str, str]
) -> None:
    async with await api.request(route, params) as response:
        assert (response.status, (await response.json())["message"]) == (503, OUTDATED)


async def test_account_with_rights_on_single_tables_is_served(
    serve: Serve, mariadb: MariaDB, tmp_path: Path
) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        make_original(database, SAMPLE)
        reader = f"'{database.reader_user}'@'localhost'"
        database.run(f"CREATE USER {reader} IDENTIFIED BY 'reads only'")
        for table in ("consumpdata", "users"):
            database.run(f"GRANT SELECT ON {database.name}.{table} TO {reader}")
        api = await serve(database)
        assert len(await api.records("getData")) == READINGS
        await database.load(SAMPLE)
        api = await serve(database)
        api.token = (await api.login("rick", "morty"))[1]["value_token"]
        assert len(await api.records("getData", quality="clean", limit="5")) == 5
        database.run(f"REVOKE SELECT ON {database.name}.schema_version FROM {reader}")
        api = await serve(database)  # which must not take the database for the original's
        assert (await api.get("getData"))[0] == 503
