"""Readings of several meters as one stream, by meter and time."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet
import pytest

from tests.conftest import fresh
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.reference_readings import load, readings_of_days
from tests.support.report_factory import report, row

MAIN = readings_of_days("2019-09-03", "2019-09-02")
OTHER = ["2019-09-02T00:00:00+02:00", "2019-09-02T00:15:00+02:00", "2019-09-02T00:30:00+02:00"]
EXPECTED = [
    *(("b.c", start) for start in OTHER),
    *(("main", each.local.isoformat()) for each in sorted(MAIN, key=lambda each: each.instant)),
]


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def two(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseFixture]:
    """A database with the meters main and b.c, for tests that only read."""
    with fresh(request, tmp_path_factory.mktemp("two")) as database:
        asyncio.run(fill(database))
        yield database


async def fill(database: DatabaseFixture) -> None:
    await load(database, MAIN)
    rows = [row(f"02 Sep 2019 00:{minute}:00", f"{minute}.5") for minute in ("00", "15", "30")]
    await database.load(report(*rows), meter="b.c", register=True)


@pytest.fixture
async def both(serve: Serve, two: DatabaseFixture) -> Api:
    return await serve(two)


def told(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(record["meter"], record["start"]) for record in records]


async def test_meters_follow_each_other_in_every_format(both: Api) -> None:
    params = {"meter": "main,b.c", "fields": "start"}
    document = await both.document("readings", **params)
    assert told(document["data"]) == EXPECTED
    counts = [(each["meter"], each["count"]) for each in document["meta"]["meters"]]
    assert counts == [("b.c", 3), ("main", len(MAIN))]
    bodies = {}
    for name in ("ndjson", "csv", "parquet"):
        async with await both.v1("readings", params | {"format": name}) as response:
            assert response.status == 200
            bodies[name] = await response.read()
    assert told([json.loads(line) for line in bodies["ndjson"].splitlines()]) == EXPECTED
    assert told([*csv.DictReader(io.StringIO(bodies["csv"].decode()))]) == EXPECTED
    rows = pyarrow.parquet.read_table(io.BytesIO(bodies["parquet"])).to_pylist()
    instants = [(each["meter"], each["start"].timestamp()) for each in rows]
    expected = [each.instant.timestamp() for each in sorted(MAIN, key=lambda each: each.instant)]
    assert [at for meter, at in instants if meter == "main"] == expected
    assert len(rows) == len(EXPECTED)


async def test_decimal_commas_leave_the_names_of_meters_alone(both: Api) -> None:
    params = {"meter": "b.c", "fields": "energy", "format": "csv", "dialect": "excel-es"}
    async with await both.v1("readings", params) as response:
        text = (await response.read()).decode("utf-8-sig")
    assert text.splitlines() == ["meter;energy", "b.c;0,50000", "b.c;15,50000", "b.c;30,50000"]


@pytest.mark.parametrize("limit", ["2", "3", "100"])
async def test_cursor_resumes_within_and_between_meters(both: Api, limit: str) -> None:
    found = []
    url = f"/v1/readings?meter=b.c,main&fields=start&limit={limit}"
    async for document in both.pages(url, most=150):
        found += told(document["data"])
    assert found == EXPECTED


async def test_answer_is_cached_until_any_of_the_meters_changes(
    serve: Serve, database: DatabaseFixture
) -> None:
    await fill(database)
    api = await serve(database)
    tags = []
    for _ in range(2):
        async with await api.v1("readings", {"meter": "main,b.c"}) as response:
            tags.append(response.headers["ETag"])
        async with await api.v1(
            "readings", {"meter": "main,b.c"}, headers={"If-None-Match": tags[-1]}
        ) as response:
            assert response.status == 304
        await database.load(report(row("05 Sep 2019 00:45:00", "1")), meter="main")
    assert tags[0] != tags[1]


async def test_meters_that_nobody_may_see_are_named(
    serve: Serve, database: DatabaseFixture
) -> None:
    await fill(database)
    api = await serve(database)
    database.run("DELETE FROM grants")
    database.run(
        "INSERT INTO grants (user, id, meter_id, permission, granted_by, granted)"
        " SELECT 'rick', 1, id, 'read', 'beth', 0 FROM meters WHERE public_id = 'main'"
    )
    database.run("UPDATE access SET changes = changes + 1")
    for meters, hidden in (("main,b.c", "b.c"), ("main,none", "none"), ("b.c,main", "b.c")):
        async with await api.v1("readings", {"meter": meters}) as response:
            assert response.status == 404
            assert (await response.json())["detail"] == f"meter: there is no meter {hidden}"
    assert len((await api.document("readings", meter="main"))["data"]) == len(MAIN)
    for meters, detail in (("main,", "meter: expected a public id"), ("", "meter: expected a")):
        async with await api.v1("readings", {"meter": meters}) as response:
            assert response.status == 400
            assert (await response.json())["detail"].startswith(detail)
