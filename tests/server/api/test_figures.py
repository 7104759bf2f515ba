"""The routes of what is worked out from readings, over HTTP."""

import asyncio
import csv
import gzip
import io
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.support.app_client import Api, Serve, about_readings
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.legacy_database import BEFORE_INTERVALS, BEFORE_SESSIONS, make_older
from tests.support.mariadb import MariaDB
from tests.support.reference_figures import CASES, loaded
from tests.support.report_factory import numbered, quarters, report

QUESTIONS = [
    ("getAggregate", {"interval": "15m"}),
    ("getAggregate", {"interval": "hour", "quality": "clean"}),
    ("getAggregate", {"interval": "week", "timezone": "Asia/Kolkata"}),
    ("getProfile", {"by": "both"}),
    ("getPeaks", {"number": "20"}),
    ("getQuality", {"list": "gaps"}),
    ("getQuality", {"list": "flagged"}),
    ("getQuality", {"list": "days"}),
]
OCTOBER = {"interval": "day", "date": "2019-10-26", "end_date": "2019-10-27 23:45"}


async def test_both_databases_answer_alike_to_the_byte(
    serve: Serve, mariadb: MariaDB, tmp_path: Path
) -> None:
    bodies: list[list[bytes]] = []
    for make in (lambda: SqliteDatabase(tmp_path), lambda: MariadbDatabase(tmp_path, mariadb)):
        with make() as database:
            await asyncio.to_thread(loaded, CASES["autumn"], database)
            api = await serve(database)
            bodies.append([])
            for route, params in QUESTIONS:
                async with await api.request(route, params) as response:
                    assert response.status == 200
                    bodies[-1].append(await response.read())
    assert bodies[0] == bodies[1]
    assert all(json.loads(body)["values"]["numrecs"] > 1 for body in bodies[0])


@pytest.mark.parametrize("headers", [{}, {"Cache-Control": "no-cache"}])
async def test_figures_that_an_import_overtakes_are_worked_out_again(
    serve: Serve, database: DatabaseFixture, headers: dict[str, str]
) -> None:
    days = [report(*numbered(quarters(day, 96))) for day in ("2019-08-01", "2019-08-02")]
    await database.load(days[0])
    api = await serve(database)

    async def import_meanwhile(sql: str) -> str:
        if about_readings(sql):
            api.engine.step_in = None
            await asyncio.to_thread(lambda: asyncio.run(database.load(days[1])))
        return sql

    api.engine.step_in = import_meanwhile
    query = {"interval": "day", "columns": "energy"}
    status, body = await api.get("getAggregate", query, headers=headers)
    assert (status, body["values"]["numrecs"]) == (200, 2)


async def test_sums_of_a_day_are_those_of_its_readings(api: Api) -> None:
    readings = await api.records("getDataByDate", date="2019-10-27%")
    _, day = await api.records("getAggregate", **OCTOBER)
    assert day["date"] == "2019-10-27T00:00:00+02:00"
    assert day["end"] == "2019-10-28T00:00:00+01:00"
    assert day["expected"] == day["present"] == "100"
    assert day["energy"] == str(sum(Decimal(r["energy"] or 0) for r in readings))
    assert (
        day["maximeter"] == max(readings, key=lambda r: Decimal(r["maximeter"] or 0))["maximeter"]
    )


async def test_repeated_hour_is_two_records(api: Api) -> None:
    bounds = {"date": "2019-10-27 02:00", "end_date": "2019-10-27 03:00", "end": "exclusive"}
    records = await api.records("getAggregate", interval="hour", **bounds)
    assert [record["date"] for record in records] == [
        "2019-10-27T02:00:00+02:00",
        "2019-10-27T02:00:00+01:00",
    ]


@pytest.mark.parametrize(
    ("time", "dates"),
    [
        ("utc", ["2019-10-25T22:00:00Z", "2019-10-26T22:00:00Z"]),
        ("local", ["2019-10-26 00:00:00", "2019-10-27 00:00:00"]),
        ("offset", ["2019-10-26T00:00:00+02:00", "2019-10-27T00:00:00+02:00"]),
    ],
)
async def test_dates_are_written_in_the_requested_style(
    api: Api, time: str, dates: list[str]
) -> None:
    records = await api.records("getAggregate", **OCTOBER, time=time)
    assert [record["date"] for record in records] == dates


async def test_numbers_have_the_digits_of_the_texts(api: Api) -> None:
    for route, params in QUESTIONS:
        async with await api.request(route, {**params, "values": "number"}) as response:
            body = await response.text()
        numbers = json.loads(body, parse_float=str, parse_int=str)["values"]["records"]
        assert numbers == await api.records(route, **params)


async def test_every_format_tells_the_same(api: Api) -> None:
    for route, params in QUESTIONS:
        records = await api.records(route, **params)
        async with await api.request(route, {**params, "format": "ndjson"}) as response:
            assert response.content_type == "application/x-ndjson"
            *lines, last = (await response.text()).splitlines()
        assert [json.loads(line) for line in lines] == records
        assert json.loads(last)["numrecs"] == len(records)
        async with await api.request(route, params, headers={"Accept": "text/csv"}) as response:
            assert response.content_type == "text/csv"
            assert response.headers["Content-Disposition"] == f'attachment; filename="{route}.csv"'
            rows = list(csv.DictReader(io.StringIO(await response.text(), newline="")))
        assert rows == [{k: v or "" for k, v in record.items()} for record in records]


@pytest.mark.parametrize(("time", "zone"), [("offset", "Europe/Madrid"), ("utc", "UTC")])
async def test_parquet_has_typed_columns_and_tells_the_same(
    api: Api, tmp_path: Path, time: str, zone: str
) -> None:
    """Sums have room for all their digits; texts may be missing."""
    file = tmp_path / "figures.parquet"
    for route, params in [*QUESTIONS[2:], ("getSummary", {}), ("getQuality", {"date": "2030"})]:
        records = await api.records(route, **params, time="utc")
        accept = {"Accept": "application/vnd.apache.parquet"}
        async with await api.request(route, {**params, "time": time}, headers=accept) as response:
            assert response.content_type == "application/vnd.apache.parquet"
            disposition = response.headers["Content-Disposition"]
            assert disposition == f'attachment; filename="{route}.parquet"'
            file.write_bytes(await response.read())
        table = pa.parquet.read_table(file)
        kinds = {str(kind) for kind in table.schema.types}
        shown = params.get("timezone", zone) if time == "offset" and records else "UTC"
        assert kinds <= {"decimal128(38, 5)", "int64", f"timestamp[ms, tz={shown}]", "string"}
        for name, kind in zip(table.schema.names, table.schema.types, strict=True):
            if pa.types.is_timestamp(kind):
                place = table.schema.get_field_index(name)
                instants = table[name].cast(pa.timestamp("ms", "UTC"))
                table = table.set_column(place, name, instants)
        told = [
            {name: None if value is None else written(value) for name, value in row.items()}
            for row in table.to_pylist()
        ]
        assert told == records
        counted = duckdb.sql(f"SELECT count(*) FROM '{file}'")
        assert counted is not None
        assert counted.fetchall() == [(len(records),)]


def written(value: object) -> str:
    """A value of a table as JSON has it, instants in UTC."""
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else str(value)


async def test_clean_answer_says_what_was_left_out(serve: Serve, database: DatabaseFixture) -> None:
    await asyncio.to_thread(loaded, CASES["autumn"], database)
    api = await serve(database)
    for how in ({}, {"values": "number"}):
        async with await api.request("getPeaks", {"quality": "clean", **how}) as response:
            left_out = json.loads(await response.read(), parse_float=str, parse_int=str)["values"][
                "left_out"
            ]
            assert response.headers["X-Left-Out-Readings"] == left_out["readings"]
            assert response.headers["X-Left-Out-Energy"] == left_out["energy"]
            assert int(left_out["readings"]) > 3


async def test_response_is_cached_conditional_and_compressed(api: Api) -> None:
    for route, params in QUESTIONS:
        async with await api.request(route, params) as response:
            etag, body = response.headers["ETag"], await response.read()
        await api.settled()
        asked = len(api.engine.statements)
        async with await api.request(route, params, headers={"If-None-Match": etag}) as response:
            assert response.status == 304
        headers = {"Accept-Encoding": "gzip"}
        async with await api.request(
            route, params, headers=headers, auto_decompress=False
        ) as response:
            assert gzip.decompress(await response.read()) == body
        again = api.engine.statements[asked:]
        assert not [statement for statement in again if about_readings(statement)]


async def test_parameters_may_come_by_post(api: Api) -> None:
    expected = await api.records("getAggregate", **OCTOBER)
    for carrier in ({"json": OCTOBER}, {"data": OCTOBER}):
        status, body = await api.get("getAggregate", method="POST", **carrier)
        assert status == 200
        assert body["values"]["records"] == expected


@pytest.mark.parametrize(
    ("route", "params", "message"),
    [
        ("getAggregate", {}, "interval: missing"),
        ("getAggregate", {"interval": "hour", "date": "1890"}, "interval: expected at most"),
        ("getAggregate", {"interval": "day", "timezone": "Mars/X"}, "timezone: expected a name"),
        ("getAggregate", {"interval": "day", "date": "2019-13"}, "date: expected a time like"),
        ("getProfile", {"column": "voltage"}, "column: expected power or energy"),
        ("getProfile", {"by": "hour"}, "by: expected day_type or month"),
        ("getPeaks", {"number": "many"}, "number: expected a whole number"),
        ("getPeaks", {"format": "xml"}, "format: expected any of json, ndjson, csv, parquet"),
        ("getSummary", {"time": "mine"}, "time: expected offset or utc or local"),
        ("getQuality", {"list": "x"}, "list: expected gaps or flagged or days"),
        ("getQuality", {"quality": "clean"}, "'quality': unknown parameter"),
    ],
)
async def test_wrong_parameter_is_named(
    api: Api, route: str, params: dict[str, str], message: str
) -> None:
    for method in ("GET", "POST"):
        status, body = await api.get(route, params, method=method)
        assert status == 400
        assert body["message"].startswith(message)


async def test_meter_is_described_from_its_first_to_its_last_reading(api: Api) -> None:
    """The same as all readings have it, at the cost of none of them."""
    [meter] = await api.records("getMeter")
    [summary] = await api.records("getSummary")
    assert meter == {
        "first_reading": "2019-08-01T00:00:00+02:00",
        "last_reading": "2019-11-30T23:45:00+01:00",
        "end": "2019-12-01T00:00:00+01:00",
        "timezone": "Europe/Madrid",
        "interval_seconds": "900",
        "intervals": "900 from 2019-08-01T00:00:00+02:00",
        "identifier": None,
        "meter": "main",
        "name": None,
    }
    assert {name: meter[name] for name in meter.keys() & summary.keys()}.items() <= summary.items()


async def test_summary_of_the_sample_counts_its_gaps(api: Api) -> None:
    [summary] = await api.records("getSummary")
    gaps = await api.records("getQuality")
    missing = sum(int(gap["readings"] or 0) for gap in gaps)
    assert (len(gaps), missing) == (12, 113)
    assert int(summary["expected"] or 0) - int(summary["present"] or 0) == missing


@pytest.mark.parametrize("following", [BEFORE_SESSIONS, BEFORE_INTERVALS])
async def test_every_route_answers_or_says_to_run_the_loader_when_the_layout_is_older(
    serve: Serve, database: DatabaseFixture, following: str
) -> None:
    await asyncio.to_thread(loaded, CASES["autumn"], database)
    await database.rows("UPDATE meters SET interval_seconds = NULL")
    await database.admit("rick")
    await asyncio.to_thread(make_older, database, following)
    api = await serve(database)
    for route in ("getMeter", "getSummary", "getPeaks", "getProfile", "getQuality", "getAggregate"):
        params = {"interval": "day"} if route == "getAggregate" else {}
        status, body = await api.get(route, params)
        assert status == 503, route
        assert body["message"].endswith(
            "older layout that lacks this: the loader has to be run first"
        )
    assert (await api.get("getData"))[0] == 200
    status, body = await api.get("getMeters")
    if following == BEFORE_SESSIONS:
        assert status == 503
    else:
        assert [meter["interval_seconds"] for meter in body["values"]["records"]] == [None]
        assert (await api.get("getData", {"time": "utc"}))[0] == 200


async def test_files_say_that_the_interval_is_unknown(
    serve: Serve, database: DatabaseFixture
) -> None:
    """The second time from the cache, too; two readings tell no interval."""
    await database.load(report(*numbered(quarters("2019-08-01", 2))))
    api = await serve(database)
    params = {"interval": "day", "format": "csv"}
    for _ in range(2):
        async with await api.request("getAggregate", params) as response:
            assert response.headers["X-Interval"] == "unknown"
    await database.load(report(*numbered(quarters("2019-08-01", 96))))
    async with await api.request("getAggregate", params) as response:
        assert response.status == 200
        assert "X-Interval" not in response.headers


async def test_clean_period_without_implausible_readings_leaves_nothing_out(api: Api) -> None:
    params = {"interval": "day", "date": "2019-09-02", "end_date": "2019-09-02", "quality": "clean"}
    _, body = await api.get("getAggregate", params)
    assert body["values"]["left_out"] == {"readings": "0", "energy": "0.00000"}
