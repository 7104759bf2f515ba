"""Readings of /v1: in the order of time, in every format, page by page."""

import asyncio
import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow.parquet
import pytest
from aiohttp import ClientPayloadError

from domain.quantities import QUANTITY_NAMES
from server.v1.formats import workbook
from server.v1.request import RECORD_COUNT
from tests.conftest import fresh
from tests.support.app_client import Api, Serve, make_pages_small
from tests.support.databases import DatabaseFixture
from tests.support.reference_readings import IMPLAUSIBLE, Reading, load, readings_of_days

# The last two days come before the first, and one of them newest first.
READINGS = readings_of_days("2019-10-27", "2019-10-28", "-2019-03-31", "2019-10-26")
IN_ORDER = sorted(READINGS, key=lambda reading: reading.instant)
EVERYTHING = ("start", *QUANTITY_NAMES, "id", "flags")
PATH = "meters/main/readings"


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseFixture]:
    """A database with `READINGS`, for tests that only read."""
    with fresh(request, tmp_path_factory.mktemp("days")) as database:
        asyncio.run(load(database, READINGS))
        yield database


@pytest.fixture
async def days(serve: Serve, kept: DatabaseFixture) -> Api:
    """The application over `READINGS`."""
    return await serve(kept)


@pytest.fixture
async def changing(serve: Serve, database: DatabaseFixture) -> Api:
    """The application over a database of its own with `READINGS`."""
    await load(database, READINGS)
    return await serve(database)


def modeled(reading: Reading, fields: tuple[str, ...] = EVERYTHING) -> dict[str, Any]:
    """Return the record of a reading."""

    def value(name: str) -> Any:
        if name == "start":
            return reading.local.isoformat()
        if name == "id":
            return reading.id
        text = reading.value(name, "")
        return text if name == "flags" or text is None else Decimal(text)

    return {name: value(name) for name in fields}


async def body(api: Api, **params: str) -> bytes:
    async with await api.v1(PATH, params) as response:
        found = await response.read()
        assert response.status == 200, found
        return found


@pytest.mark.parametrize("page", [7, 4000])
async def test_readings_come_in_the_order_of_time_in_every_format(
    days: Api, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr("storage.readings.time_reader.PAGE_READINGS", page)
    make_pages_small(monkeypatch, page)
    fields = {"fields": ",".join(EVERYTHING)}
    expected = [modeled(reading) for reading in IN_ORDER]

    document = await days.document(PATH, **fields)
    assert document["data"] == expected
    assert document["meta"]["count"] == len(expected)
    lines = (await body(days, **fields, format="ndjson")).decode().splitlines()
    assert [json.loads(line, parse_float=Decimal) for line in lines] == expected
    rows = [*csv.DictReader(io.StringIO((await body(days, **fields, format="csv")).decode()))]
    texts = [
        {name: "" if value is None else str(value) for name, value in record.items()}
        for record in expected
    ]
    assert rows == texts
    table = pyarrow.parquet.read_table(io.BytesIO(await body(days, **fields, format="parquet")))
    assert str(table.schema.field("start").type) == "timestamp[ms, tz=Europe/Madrid]"
    typed = [row | {"start": row["start"].isoformat()} for row in table.to_pylist()]
    assert typed == expected


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2019-10-27", "2019-10-28"),
        ("2019-10-27T01:30:00", None),
        (None, "2019-10-27T02:00:00+01:00"),
        ("2019-10-27T00:30:00Z", "2019-10-27T02:15 01:00"),
        ("2019-03-31T02:30", "2019-10-26T00:00:00.5+02:00"),
    ],
)
@pytest.mark.parametrize("quality", ["raw", "clean"])
async def test_bounds_are_half_open(
    days: Api, start: str | None, end: str | None, quality: str
) -> None:
    """Also instants whose + is not escaped, and local times that clocks skip or repeat."""

    def instant(text: str) -> datetime:
        # 2019-03-31T02:30 does not exist: what is left out of the day begins at 03:00.
        at = datetime.fromisoformat(text.replace(" ", "+").replace("31T02:30", "31T03:00"))
        return at if at.tzinfo else at.replace(tzinfo=READINGS[0].zone)

    met = [
        reading
        for reading in IN_ORDER
        if (start is None or reading.instant >= instant(start))
        and (end is None or reading.instant < instant(end))
    ]
    plausible = [reading for reading in met if not reading.flags & IMPLAUSIBLE]
    left_out = [reading for reading in met if reading.flags & IMPLAUSIBLE]
    assert met
    assert len(met) < len(READINGS)
    bounds = {name: text for name, text in (("from", start), ("to", end)) if text is not None}
    document = await days.document(PATH, **bounds, quality=quality, fields="start,id")
    expected = met if quality == "raw" else plausible
    assert document["data"] == [modeled(reading, ("start", "id")) for reading in expected]
    meta = document["meta"]
    if start is not None:
        assert datetime.fromisoformat(meta["from"]) == instant(start)
    if quality == "clean":
        energy = sum((reading.energy for reading in left_out), Decimal())
        assert meta["left_out"] == {"readings": len(left_out), "energy": energy}


async def test_pages_hold_every_reading_once_although_others_come_meanwhile(
    changing: Api, database: DatabaseFixture
) -> None:
    """Later imports are left out, also where they belong between two pages."""
    found: list[int] = []
    async for document in changing.pages(f"/v1/{PATH}?limit=50&fields=id"):
        found += [record["id"] for record in document["data"]]
        if len(found) == 50:
            await load(database, readings_of_days("2019-10-25"))
    assert found == [reading.id for reading in IN_ORDER]


async def test_cursor_is_refused_when_earlier_pages_were_corrected(
    changing: Api, database: DatabaseFixture
) -> None:
    document = await changing.document(PATH, limit="5")
    database.run("UPDATE readings SET energy = 1 WHERE id = 3")
    async with changing.client.session.get(
        changing.client.make_url(document["links"]["next"]),
        headers={"Authorization": f"Bearer {changing.token}"},
    ) as response:
        assert response.status == 410
        assert response.content_type == "application/problem+json"


async def test_stream_that_fails_does_not_look_complete(
    days: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is reset when the database fails after the first page."""
    monkeypatch.setattr("storage.readings.time_reader.PAGE_READINGS", 100)
    make_pages_small(monkeypatch, 100)

    begun = asyncio.Event()

    async def fail_once_begun(sql: str) -> str:
        if "JSON_ARRAY" in sql or "OFFSET 100" not in sql:
            return sql
        pages.append(sql)
        if len(pages) < 3:
            return sql
        await begun.wait()
        return "SELECT broken"

    pages: list[str] = []
    days.engine.step_in = fail_once_begun
    async with await days.v1(PATH, headers={"Cache-Control": "no-cache"}) as response:
        assert response.status == 200
        begun.set()
        with pytest.raises(ClientPayloadError):
            await response.read()


async def test_dialects_are_for_spreadsheets(days: Api) -> None:
    day = {
        "from": "2019-10-28",
        "to": "2019-10-28T00:30",
        "fields": "start,energy",
        "format": "csv",
    }
    first, second = IN_ORDER[-96:-94]
    energies = [first.value("energy", ""), second.value("energy", "")]
    spanish = (await body(days, **day, dialect="excel-es")).decode("utf-8-sig")
    assert spanish.splitlines() == [
        "start;energy",
        *(
            f"{reading.date};{energy or ''}".replace(".", ",")
            for reading, energy in zip((first, second), energies, strict=True)
        ),
    ]
    english = await body(days, **day, dialect="excel")
    assert english.startswith("\ufeffstart,energy\r\n2019-10-28 00:00:00,".encode())


async def test_workbook_has_local_times_numbers_and_what_they_are(days: Api) -> None:
    day = {"from": "2019-10-28", "to": "2019-10-29", "fields": "start,energy,flags"}
    book = zipfile.ZipFile(io.BytesIO(await body(days, **day, format="xlsx")))
    sheet = book.read("xl/worksheets/sheet1.xml").decode()
    cells = re.findall(r'<c r="([A-Z]+[0-9]+)"[^>]*>(?:<v>|<is><t>)([^<]*)', sheet)
    found = dict(cells)
    assert (found["A1"], found["B1"], found["C1"]) == ("start", "energy", "flags")
    reading = next(each for each in IN_ORDER if each.date == "2019-10-28 00:15:00")
    # Days since 1899-12-30, as spreadsheets count them.
    assert float(found["A3"]) == pytest.approx(43766 + 0.25 / 24)
    assert found.get("B3") == reading.quantities[0]
    about = book.read("xl/worksheets/sheet2.xml").decode()
    assert "Europe/Madrid" in about
    assert await body(days, **day, format="xlsx") == book.fp.getvalue()  # type: ignore[union-attr]


async def test_workbook_is_refused_beyond_the_rows_of_a_sheet(
    days: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "MAX_SHEET_ROWS", len(READINGS))
    async with await days.v1(PATH, {"format": "xlsx"}) as response:
        problem = await response.json()
    assert response.status == 400
    assert problem["detail"].startswith("format: a sheet has room for")


async def test_response_is_cached_conditional_and_compressed(days: Api) -> None:
    for params in ({}, {"limit": "10"}, {"format": "csv", "dialect": "excel-es"}):
        async with await days.v1(PATH, params) as response:
            tag, plain = response.headers["ETag"], await response.read()
            headers = dict(response.headers)
        await days.settled()
        asked = days.engine.readings_asked
        async with await days.v1(PATH, params, headers={"If-None-Match": tag}) as response:
            assert response.status == 304
        for coding in ("gzip", "zstd"):
            async with await days.v1(PATH, params, headers={"Accept-Encoding": coding}) as response:
                assert response.headers["Content-Encoding"] == coding
                assert await response.read() == plain
                assert response.headers.get("Link") == headers.get("Link")
                assert response.headers[RECORD_COUNT] == headers[RECORD_COUNT]
        async with await days.v1(PATH, params, method="HEAD") as response:
            assert response.headers[RECORD_COUNT] == headers[RECORD_COUNT]
        assert days.engine.readings_asked == asked


async def test_lines_end_with_meta_only_if_asked(days: Api) -> None:
    assert await body(days, format="ndjson", **{"from": "2030-01-01"}) == b""
    lines = (await body(days, format="ndjson", summary="line", limit="2")).splitlines()
    last = json.loads(lines[-1])
    assert len(lines) == 3
    assert last["meta"]["count"] == 2
    assert "cursor=" in last["links"]["next"]


@pytest.mark.parametrize(
    ("params", "detail"),
    [
        ({"from": "yesterday"}, "from: expected a day like 2019-09-01"),
        ({"to": "2019-02-30"}, "to: expected a time"),
        ({"from": "2019-10-27", "to": "2019-10-26"}, "to: expected 2019-10-27 00:00:00 (from)"),
        ({"fields": "energy,date"}, "fields: expected any of start, id, energy"),
        ({"fields": "energy,energy"}, "fields: expected each at most once"),
        ({"cursor": "AAAA"}, "cursor: expected that of links.next"),
        ({"date": "2019-10-27"}, "'date': unknown parameter, expected any of from, to, fields"),
        ({"dialect": "excel"}, "dialect: expected format=csv with it, got json"),
        ({"summary": "line", "format": "csv"}, "summary: expected format=ndjson with it, got csv"),
        ({"format": "xml"}, "format: expected any of json, ndjson, csv, parquet, xlsx"),
    ],
)
async def test_wrong_parameter_is_named(api: Api, params: dict[str, str], detail: str) -> None:
    async with await api.v1(PATH, params) as response:
        problem = await response.json()
        assert response.status == 400
        assert response.content_type == "application/problem+json"
    assert problem["detail"].startswith(detail)
