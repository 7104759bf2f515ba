"""Exports for other programs: the loader, pyarrow, DuckDB; long ones, and broken ones."""

import asyncio
import io
import tracemalloc
from collections.abc import AsyncGenerator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from aiohttp import ClientPayloadError

from domain.quantities import QUANTITY_NAMES
from domain.record_layout import Encoding, RecordLayout
from server.formats.base import ReadingsOptions
from server.formats.parquet import ROW_GROUP_ROWS, Parquet
from storage.common.errors import Unreachable
from storage.imports.import_writer import ImportResult
from storage.readings.page_store import PAGE_READINGS
from storage.readings.reader import ReadingsResult
from tests.support.app_client import Api, Serve, about_readings, make_pages_small
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.reference_readings import load, readings_of_days

FORMATS = ("json", "ndjson", "csv", "parquet")

# Both clock changes, and days that came late, one of them newest first.
READINGS = readings_of_days("2019-10-26", "2019-10-27", "2019-10-28", "-2019-03-31", "2019-10-25")


async def body(api: Api, route: str = "getData", **params: str) -> bytes:
    async with await api.request(route, params) as response:
        assert response.status == 200
        return await response.read()


# The loader


async def test_export_loads_again_unchanged(serve: Serve, database: DatabaseFixture) -> None:
    await load(database, READINGS)
    api = await serve(database)
    before = await database.records()
    exported = await body(api, format="csv")
    (summary,) = await database.load(database.file(exported))
    assert summary.imported is not None
    assert replace(summary.imported, flags={}, intervals=()) == ImportResult(0, 0, len(READINGS), 0)
    assert await database.records() == before
    assert await body(api, format="csv") == exported


async def test_export_makes_the_same_database_elsewhere(
    serve: Serve, sample: DatabaseFixture, tmp_path: Path
) -> None:
    api = await serve(sample)
    with SqliteDatabase(tmp_path) as other:
        await other.load(other.file(await body(api, format="csv")))
        assert await other.records() == await sample.records()


# Parquet


async def test_parquet_holds_what_json_says_in_the_zone_of_the_meter(
    serve: Serve, sample: DatabaseFixture, tmp_path: Path
) -> None:
    api = await serve(sample, ELECDATA_METER__TIMEZONE="America/New_York")
    records = await api.records("getData", columns="id,date,flags," + ",".join(QUANTITY_NAMES))
    file = tmp_path / "readings.parquet"
    file.write_bytes(
        await body(api, format="parquet", columns="id,date,flags," + ",".join(QUANTITY_NAMES))
    )
    schema = pyarrow.parquet.read_schema(file)
    assert schema.field("id").type == pa.int64()
    assert schema.field("date").type == pa.timestamp("ms", "Europe/Madrid")
    assert schema.field("flags").type == pa.string()
    assert {schema.field(name).type for name in QUANTITY_NAMES} == {pa.decimal128(15, 5)}
    for column in (*QUANTITY_NAMES, "id", "flags"):
        typed = pyarrow.parquet.read_table(file, columns=[column])[column].to_pylist()
        texts = [record[column] for record in records]
        assert [None if value is None else str(value) for value in typed] == texts
    instants = await api.records("getData", columns="date", time="utc")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(
            f"SELECT strftime(date, '%Y-%m-%dT%H:%M:%SZ'), CAST(energy AS VARCHAR), id"
            f" FROM '{file}' ORDER BY file_row_number"
        ).fetchall()
        (total,) = connection.execute(f"SELECT sum(energy) FROM '{file}'").fetchall()[0]
    assert rows == [
        (instant["date"], record["energy"], int(record["id"] or 0))
        for instant, record in zip(instants, records, strict=True)
    ]
    assert total == sum(Decimal(record["energy"] or 0) for record in records)


async def test_parquet_has_instants_in_utc_on_request(api: Api) -> None:
    for time, zone in (("local", "Europe/Madrid"), ("offset", "Europe/Madrid"), ("utc", "UTC")):
        answer = await body(api, "getDataById", id="5", format="parquet", time=time)
        schema = pyarrow.parquet.read_schema(io.BytesIO(answer))
        assert schema.field("date").type == pa.timestamp("ms", zone)


async def test_parquet_takes_the_memory_of_a_few_row_groups() -> None:
    layout = RecordLayout.of(
        ("id", "date", *QUANTITY_NAMES), Encoding.CSV_TYPED, RecordLayout().time, numbers=False
    )
    row = "{},{},{}\n"
    page = "".join(
        row.format(
            number, 1564610400 + 900 * number, ",".join([f"{number}.12345"] * len(QUANTITY_NAMES))
        )
        for number in range(PAGE_READINGS)
    ).encode()

    async def repeated(pages: int) -> AsyncGenerator[bytes]:
        for _ in range(pages):
            yield page

    pages = 120
    group = len(page) * (ROW_GROUP_ROWS // PAGE_READINGS + 1)
    held = 0
    tracemalloc.start()
    result = ReadingsResult(pages * PAGE_READINGS, repeated(pages), lambda: None)
    async for part in Parquet().readings(result, ReadingsOptions(layout, "UTC", {})):
        held = max(held, len(part) + pa.total_allocated_bytes())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(peak, held) < 3 * group < pages * len(page) / 2


# Failures


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("ttl", ["0", "600"])
async def test_failure_in_mid_stream_cuts_the_answer(
    serve: Serve,
    sample: DatabaseFixture,
    monkeypatch: pytest.MonkeyPatch,
    format_name: str,
    ttl: str,
) -> None:
    make_pages_small(monkeypatch, 50)
    monkeypatch.setattr("server.formats.parquet.ROW_GROUP_ROWS", 100)
    api = await serve(sample, ELECDATA_CACHE__TTL=ttl)
    whole = await body(api, format=format_name)
    failing = await serve(sample, ELECDATA_CACHE__TTL=ttl)

    async def fail(sql: str) -> str:
        if about_readings(sql) and failing.engine.readings_asked == 20:
            raise Unreachable("gone")
        return sql

    failing.engine.step_in = fail
    response = await failing.request("getData", {"format": format_name})
    assert response.status == 200
    assert len(await response.content.readany()) < len(whole)
    with pytest.raises(ClientPayloadError):
        await response.read()
    failing.engine.step_in = None
    assert await body(failing, format=format_name) == whole


@pytest.mark.parametrize("format_name", FORMATS)
async def test_failure_before_the_first_page_is_json(api: Api, format_name: str) -> None:
    async def fail(sql: str) -> str:
        if about_readings(sql):
            raise Unreachable("gone")
        return sql

    api.engine.step_in = fail
    status, answer = await api.get("getData", {"format": format_name})
    assert (status, answer["statusCode"]) == (503, "503")


# Equal requests


@pytest.mark.parametrize("format_name", FORMATS)
async def test_equal_requests_at_once_ask_once(api: Api, format_name: str) -> None:
    gate = asyncio.Event()

    async def wait(sql: str) -> str:
        if about_readings(sql):
            await gate.wait()
        return sql

    api.engine.step_in = wait
    params = {"date": "2019-09-11%", "format": format_name, "limit": "50"}
    requests = [asyncio.create_task(api.request("getDataByDate", params)) for _ in range(20)]
    await api.followed(20)
    gate.set()
    responses = await asyncio.gather(*requests)
    bodies = {await response.read() for response in responses}
    assert len(bodies) == 1
    assert len({response.headers["Link"] for response in responses}) == 1
    assert api.engine.readings_asked <= 3  # how many there are, where the part ends, and which
