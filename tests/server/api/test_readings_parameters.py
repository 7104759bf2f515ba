"""Parameters that every data route has: each alone, combined, and beside a plain model."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from domain.quantities import QUANTITY_NAMES, RECORD_KEYS
from tests.conftest import fresh
from tests.support.app_client import Api, Serve, make_pages_small
from tests.support.databases import DatabaseFixture
from tests.support.legacy_database import make_older
from tests.support.reference_readings import (
    IMPLAUSIBLE,
    Reading,
    load,
    modeled,
    read,
    readings_of_days,
)
from tests.support.report_factory import numbered, quarters, report, row

# Both clock changes, and days that came late, one of them newest first.
READINGS = readings_of_days("2019-10-26", "2019-10-27", "-2019-03-31", "2019-10-25", "2019-03-30")
DEFAULTS = {
    "json": RECORD_KEYS,
    "ndjson": RECORD_KEYS,
    "csv": ("date", *QUANTITY_NAMES),
    "parquet": ("id", "date", *QUANTITY_NAMES),
}
ROUTES: list[tuple[str, dict[str, str]]] = [
    ("getData", {}),
    ("getDataById", {"id": ",".join(map(str, range(7, 500, 3)))}),
    ("getDataByDate", {"date": "%:15:00"}),
    ("getDataByRange", {"date": "2019-03-31 01", "end_date": "2019-10-26 06"}),
]


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def days(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseFixture]:
    """A database of each kind that holds the READINGS; for tests that only read."""
    with fresh(request, tmp_path_factory.mktemp("days")) as loaded:
        asyncio.run(load(loaded, READINGS))
        yield loaded


@pytest.fixture
async def api(serve: Serve, days: DatabaseFixture, monkeypatch: pytest.MonkeyPatch) -> Api:
    make_pages_small(monkeypatch, 50)
    monkeypatch.setattr("server.formats.parquet.ROW_GROUP_ROWS", 128)
    return await serve(days)


def matching(route: str, params: Mapping[str, str]) -> list[Reading]:
    """The readings that a request of ROUTES asks for."""
    if route == "getDataById":
        ids = set(map(int, params["id"].split(",")))
        return [reading for reading in READINGS if reading.id in ids]
    if route == "getDataByDate":
        return [reading for reading in READINGS if reading.date.endswith(":15:00")]
    if route == "getDataByRange":
        return [
            reading
            for reading in READINGS
            if "2019-03-31 01:00:00" <= reading.date <= "2019-10-26 06:00:00"
        ]
    return READINGS


def expected(readings: Sequence[Reading], params: Mapping[str, str]) -> list[tuple[Any, ...]]:
    """Return the records of readings as a request with these parameters gets them."""
    format_name = params.get("format", "json")
    columns = columns_of(params)
    return [
        modeled(
            reading, columns, format_name, params.get("time", "local"), params.get("values", "text")
        )
        for reading in readings
    ]


def columns_of(params: Mapping[str, str]) -> Sequence[str]:
    names = params.get("columns")
    return names.split(",") if names else DEFAULTS[params.get("format", "json")]


async def walked(api: Api, route: str, params: Mapping[str, str]) -> AsyncIterator[Any]:
    """What each part of an answer tells, and its headers."""
    url = URL(f"/apielec/{route}").with_query(params)
    while True:
        async with await api.client.get(url, headers={"SESSION": api.token}) as response:
            assert response.status == 200, await response.text()
            body = await response.read()
            link = response.links["next"]["url"] if "next" in response.links else None
            format_name = params.get("format", "json")
            told = read(body, format_name, columns_of(params))
            if format_name in ("json", "ndjson"):
                assert told.facts["numrecs"] == len(told.records)
                assert told.facts.get("next") == response.headers.get("X-Next")
            yield told, response.headers
        if link is None:
            assert "X-Next" not in response.headers
            return
        assert isinstance(link, URL)
        assert link.query["after"] == response.headers["X-Next"]
        assert api.token not in str(link)
        url = link.relative()


# Against the model


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """A request with any of the parameters."""
    route, own = draw(st.sampled_from(ROUTES))
    chosen = {
        "columns": draw(
            st.lists(
                st.sampled_from(("id", "date", "flags", *QUANTITY_NAMES)), min_size=1, unique=True
            )
        ),
        "format": [draw(st.sampled_from(list(DEFAULTS)))],
        "time": [draw(st.sampled_from(["local", "utc", "offset"]))],
        "values": [draw(st.sampled_from(["text", "number"]))],
        "order": [draw(st.sampled_from(["asc", "desc"]))],
        "quality": [draw(st.sampled_from(["raw", "clean"]))],
        "limit": [str(draw(st.sampled_from([40, 51, 160, 1000])))],
    }
    names = draw(st.sets(st.sampled_from(list(chosen))))
    return route, own | {name: ",".join(chosen[name]) for name in chosen if name in names}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(request=requests())
async def test_answer_is_what_the_model_says(api: Api, request: tuple[str, dict[str, str]]) -> None:
    route, params = request
    readings = matching(route, params)
    if params.get("order") == "desc":
        readings = readings[::-1]
    left_out: list[Reading] = []
    if params.get("quality") == "clean":
        left_out = [reading for reading in readings if reading.flags & IMPLAUSIBLE]
        readings = [reading for reading in readings if not reading.flags & IMPLAUSIBLE]
    records, count, energy = [], 0, Decimal(0)
    async for told, headers in walked(api, route, params):
        records += told.records
        if params.get("quality") == "clean":
            count += int(headers["X-Left-Out-Readings"])
            energy += Decimal(headers["X-Left-Out-Energy"])
            if told.facts:
                facts = told.facts["left_out"]
                assert str(facts["readings"]) == headers["X-Left-Out-Readings"]
                assert facts["energy"] == headers["X-Left-Out-Energy"]
    assert records == expected(readings, params)
    assert (count, energy) == (len(left_out), sum(reading.energy for reading in left_out))


@pytest.mark.parametrize("format_name", DEFAULTS)
@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
async def test_every_format_comes_in_every_coding(api: Api, format_name: str, coding: str) -> None:
    for control in ("no-cache", "private", "private"):
        headers = {"Accept-Encoding": coding, "Cache-Control": control}
        async with await api.request(
            "getData", {"format": format_name}, headers=headers
        ) as response:
            assert response.headers.get("Content-Encoding", "identity") == coding
            assert response.headers["Vary"] == "Accept-Encoding"
            told = read(await response.read(), format_name, DEFAULTS[format_name])
            assert told.records == expected(READINGS, {"format": format_name})
        await api.settled()


# Texts


async def test_numbers_are_written_exactly_as_they_are_stored(api: Api) -> None:
    params = {"id": "1,2", "values": "number", "columns": "id,energy,power"}
    async with await api.request("getDataById", params) as response:
        text = await response.text()
    first, second = READINGS[:2]
    assert text.endswith(
        f'"records":[{{"id":1,"energy":{first.quantities[0]},"power":{first.quantities[2]}}},'
        f'{{"id":2,"energy":{second.quantities[0]},"power":{second.quantities[2]}}}]}}}}'
    )


@pytest.mark.parametrize(
    ("time", "dates"),
    [
        ("local", ["2019-10-27 02:45:00", "2019-10-27 02:00:00"]),
        ("utc", ["2019-10-27T00:45:00Z", "2019-10-27T01:00:00Z"]),
        ("offset", ["2019-10-27T02:45:00+02:00", "2019-10-27T02:00:00+01:00"]),
    ],
)
async def test_time_tells_the_passes_of_the_repeated_hour_apart(
    api: Api, time: str, dates: list[str]
) -> None:
    records = await api.records("getDataByDate", date="2019-10-27%", time=time, columns="date")
    assert [record["date"] for record in records[11:13]] == dates


async def test_offset_in_utc_is_written_with_a_plus(
    serve: Serve, database: DatabaseFixture
) -> None:
    database.configure(meter={"timezone": "UTC"})
    await database.load(report(row("1 Aug 2019 00:00:00", "1")))
    (found,) = await (await serve(database)).records("getData", time="offset")
    assert found["date"] == "2019-08-01T00:00:00+00:00"


async def test_lines_end_with_the_count(api: Api) -> None:
    for ids, count in (("5,6", 2), ("9999", 0)):
        params = {"id": ids, "format": "ndjson", "columns": "id"}
        async with await api.request("getDataById", params) as response:
            assert response.content_type == "application/x-ndjson"
            *_, last = (await response.text()).splitlines()
            assert json.loads(last) == {"numrecs": count}


async def test_nothing_found_is_a_whole_answer_in_every_format(api: Api) -> None:
    for format_name, columns in DEFAULTS.items():
        for more in ({}, {"limit": "5"}, {"quality": "clean"}, {"order": "desc"}):
            params = {"date": "2020%", "format": format_name, **more}
            async with await api.request("getDataByDate", params) as response:
                assert response.status == 200
                assert read(await response.read(), format_name, columns).records == []


# The format


@pytest.mark.parametrize(
    ("accept", "format_name"),
    [
        ("*/*", "json"),
        ("application/json", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV; q=0.5", "csv"),
        ("text/*", "csv"),
        ("application/x-ndjson, */*;q=0.1", "ndjson"),
        ("application/vnd.apache.parquet", "parquet"),
        ("text/csv;q=0.2, application/x-ndjson;q=0.3", "ndjson"),
        ("text/csv, application/json", "json"),
        ("text/csv;q=0, */*;q=0.1", "json"),
        ("text/csv;q=nonsense", "json"),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", "json"),
        ("image/png", "json"),
        ("", "json"),
    ],
)
async def test_accept_chooses_the_format(api: Api, accept: str, format_name: str) -> None:
    media_types = {
        "json": "application/json; charset=utf-8",
        "ndjson": "application/x-ndjson",
        "csv": "text/csv; charset=utf-8",
        "parquet": "application/vnd.apache.parquet",
    }
    for more, chosen in (({}, format_name), ({"format": "csv"}, "csv")):
        params = {"id": "5", **more}
        headers = {"Accept": accept}
        async with await api.request("getDataById", params, headers=headers) as response:
            assert response.headers["Content-Type"] == media_types[chosen]
            varies = "Accept-Encoding" if more else "Accept-Encoding, Accept"
            assert response.headers["Vary"] == varies
            saved = response.headers.get("Content-Disposition")
            file = f'attachment; filename="readings.{chosen}"'
            assert saved == (file if chosen in ("csv", "parquet") else None)


async def test_errors_are_json_in_every_format(api: Api) -> None:
    headers = {"Accept": "text/csv"}
    for format_name in DEFAULTS:
        status, body = await api.get(
            "getDataById", {"id": "x", "format": format_name}, headers=headers
        )
        assert (status, body["statusCode"]) == (400, "400")


# The cache


async def test_answers_of_other_shapes_are_other_answers(api: Api) -> None:
    tags = set()
    layouts: list[dict[str, str]] = [
        {},
        {"columns": "id"},
        {"columns": "id,date"},
        {"columns": "date,id"},
        {"values": "number"},
        {"time": "utc"},
        {"time": "offset"},
        {"format": "ndjson"},
        {"format": "csv"},
        {"format": "parquet"},
        {"format": "parquet", "time": "utc"},
        {"quality": "clean"},
        {"order": "desc"},
        {"limit": "2"},
        {"limit": "3"},
    ]
    for layout in layouts:
        for _ in range(2):
            async with await api.request("getDataById", {"id": "5,6,7", **layout}) as response:
                tag = response.headers["ETag"]
        tags.add(tag)
        known = {"If-None-Match": tag}
        params = {"id": "7,6,5", **layout}
        async with await api.request("getDataById", params, headers=known) as response:
            assert response.status == 304
    assert len(tags) == len(layouts)


async def test_questions_that_mean_the_same_share_an_answer(api: Api) -> None:
    same = [
        {},
        {"format": "json"},
        {"columns": ",".join(RECORD_KEYS), "values": "text", "time": "local"},
        {"order": "asc", "quality": "raw"},
    ]
    bodies = set()
    for number, layout in enumerate(same):
        async with await api.request("getDataById", {"id": "5,6", **layout}) as response:
            bodies.add(await response.read())
        if not number:
            asked = api.engine.readings_asked
    assert len(bodies) == 1
    assert api.engine.readings_asked == asked


async def test_cached_response_has_all_its_headers(api: Api) -> None:
    params = {"limit": "200", "quality": "clean", "format": "csv"}
    told = []
    for _ in range(3):
        async with await api.request("getData", params) as response:
            await response.read()
            names = ("Link", "X-Next", "X-Left-Out-Readings", "X-Left-Out-Energy", "Content-Type")
            told.append([response.headers[name] for name in names])
        await api.settled()
    assert told[0] == told[1] == told[2]


# Parts


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("pattern", ["%", "2019%", "%:15:00"])
async def test_walk_during_imports_neither_misses_nor_repeats(
    serve: Serve, database: DatabaseFixture, order: str, pattern: str
) -> None:
    moments = quarters("2019-08-05", 300)
    await database.load(report(*numbered(moments)))
    api = await serve(database)
    late = iter(
        [numbered(quarters("2019-08-09", 200), 1000), numbered(quarters("2019-08-01", 96), 2000)]
    )
    seen: list[str | None] = []
    params = {"order": order, "limit": "70", "date": pattern, "columns": "date,energy"}
    async for told, headers in walked(api, "getDataByDate", params):
        seen += [date for date, _ in told.records]
        if "X-Next" in headers and (rows := next(late, None)):
            await database.load(report(*rows))
    records = await api.records("getDataByDate", date=pattern)
    before = [record["date"] for record in records if int(record["id"] or 0) <= 300]
    assert seen == (before if order == "asc" else before[::-1])


async def test_part_of_a_post_goes_on_by_its_next(api: Api) -> None:
    ids, seen = ",".join(map(str, range(1, 30))), []
    after: dict[str, str] = {}
    while True:
        params = {"id": ids, "limit": "10", **after}
        async with await api.request("getDataById", method="POST", json=params) as response:
            assert "Link" not in response.headers
            values = (await response.json())["values"]
        seen += [int(record["id"]) for record in values["records"]]
        if "next" not in values:
            break
        after = {"after": values["next"]}
    assert seen == list(range(1, 30))


async def test_last_part_that_is_full_leads_nowhere(api: Api) -> None:
    _, body = await api.get("getDataById", {"id": "1,2,3", "limit": "3"})
    assert body["values"]["numrecs"] == 3
    assert "next" not in body["values"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda after: after[:-1],
        lambda after: ("A" if after[0] != "A" else "B") + after[1:],
        lambda after: after[:5] + ("A" if after[5] != "A" else "B") + after[6:],
        lambda _: "",
        lambda _: "5",
        lambda _: "\u20ac",
        lambda after: after + after,
    ],
)
async def test_tampered_place_is_refused(api: Api, spoil: Any) -> None:
    _, body = await api.get("getData", {"limit": "5"})
    status, answer = await api.get("getData", {"after": spoil(body["values"]["next"])})
    assert status == 400
    assert answer["message"].startswith("after: expected ")


async def test_place_in_another_answer_is_refused(api: Api) -> None:
    _, body = await api.get("getData", {"limit": "5"})
    after = body["values"]["next"]
    for params in ({"order": "desc"}, {"quality": "clean"}):
        assert (await api.get("getData", {"after": after, **params}))[0] == 400
    assert (await api.get("getDataByDate", {"after": after, "date": "2019-10%"}))[0] == 400
    assert (await api.get("getData", {"after": after, "columns": "id"}))[0] == 200


# A range without gaps, which begins and ends within pages


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_range_of_several_pages_comes_whole(api: Api, order: str) -> None:
    bounds = {"date": "2019-10-26 06:00", "end_date": "2019-10-27 12:00", "columns": "id"}
    records = await api.records("getDataByRange", **bounds, order=order)
    ids = [str(number) for number in range(25, 150)]
    assert [record["id"] for record in records] == (ids if order == "asc" else ids[::-1])


# The range's end


@pytest.mark.parametrize(
    ("date", "end_date", "end", "count"),
    [
        ("2019-10-26", "2019-10-27", "inclusive", 97),
        ("2019-10-26", "2019-10-27", "exclusive", 96),
        ("2019-10", "2019-11", "exclusive", 292),
        ("2019-03", "2019-10", "exclusive", 188),
        ("2019-10-26", "2019-10-26", "inclusive", 1),
        ("2019-10-26", "2019-10-26", "exclusive", 0),
        ("2019-10-27 02:00", "2019-10-27 03:00", "exclusive", 8),
    ],
)
async def test_end_belongs_to_the_range_or_not(
    api: Api, date: str, end_date: str, end: str, count: int
) -> None:
    records = await api.records("getDataByRange", date=date, end_date=end_date, end=end)
    assert len(records) == count


# Parameters that are wrong


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"columns": "id,wrong"}, "columns: expected any of id, date, energy, "),
        ({"columns": ""}, "columns: expected any of id, date, energy, "),
        ({"columns": "id,id"}, "columns: expected each of id, date, energy, "),
        ({"format": "xml"}, "format: expected any of json, ndjson, csv, parquet, got 'xml'"),
        ({"values": "float"}, "values: expected any of text, number, got 'float'"),
        ({"time": "gmt"}, "time: expected any of local, utc, offset, got 'gmt'"),
        ({"order": "up"}, "order: expected any of asc, desc, got 'up'"),
        ({"quality": "good"}, "quality: expected any of raw, clean, got 'good'"),
        ({"limit": "0"}, "limit: expected a number from 1 to 100000, got '0'"),
        ({"limit": "100001"}, "limit: expected a number from 1 to 100000, got '100001'"),
        ({"limit": "\u0665"}, "limit: expected a number from 1 to 100000, got '\\u0665'"),
        ({"end": "inclusive"}, "'end': unknown parameter, expected any of meter, columns, "),
        ({"limt": "5"}, "'limt': unknown parameter, expected any of meter, columns, "),
    ],
)
async def test_wrong_parameter_says_what_was_expected(
    api: Api, params: dict[str, str], message: str
) -> None:
    status, body = await api.get("getData", params)
    assert (status, body["statusCode"]) == (400, "400")
    assert body["message"].startswith(message)


# Older layouts


async def test_layout_without_flags_serves_all_but_them(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 10))))
    await database.admit("rick")
    await asyncio.to_thread(make_older, database)
    api = await serve(database)
    assert len(await api.records("getData", time="utc", limit="20", order="desc")) == 10
    for params in ({"columns": "flags"}, {"quality": "clean"}):
        status, body = await api.get("getData", params)
        assert status == 503
        assert "the loader has to be run" in body["message"]


@pytest.mark.parametrize("plus", ["+", "%2B"])
async def test_passes_of_the_repeated_hour_are_had_apart(api: Api, plus: str) -> None:
    """By the times that the service writes, also where a URL does not escape the plus."""
    both = await api.records("getDataByDate", date="2019-10-27 02:%", time="offset")
    passes = []
    for hour in ("02", "01"):
        first, last = (f"2019-10-27T02:{minute}:00{plus}{hour}:00" for minute in ("00", "45"))
        path = f"getDataByRange?date={first}&end_date={last}&time=offset"
        url = URL(f"/apielec/{path}", encoded=True)
        async with api.client.get(url, headers={"SESSION": api.token}) as response:
            passes.append((await response.json())["values"]["records"])
        url = URL(f"/apielec/getDataByDate?date={last}&time=offset", encoded=True)
        async with api.client.get(url, headers={"SESSION": api.token}) as response:
            assert (await response.json())["values"]["records"] == passes[-1][-1:]
    assert [len(each) for each in passes] == [4, 4]
    assert passes[0] + passes[1] == both


async def test_partial_bound_that_was_read_as_its_first_time_is_told_in_a_header(api: Api) -> None:
    bounds = {"date": "2019-10-27 00:00:00", "end_date": "2019-10-28"}
    async with await api.request("getDataByRange", bounds) as response:
        assert (await response.json())["message"] == ""
        assert response.headers["X-Notice"] == (
            "end_date was read as 2019-10-28 00:00:00, the first time that '2019-10-28' matches"
        )
    bounds["end_date"] = "2019-10-28 00:00"
    async with await api.request("getDataByRange", bounds) as response:
        assert "X-Notice" not in response.headers


@pytest.mark.parametrize(
    ("date", "says"),
    [
        ("2019-09-11", "no time matches it without %: did you mean 2019-09-11% ?"),
        ("2019-09-31", "and no time matches it"),
        ("2019-09-11 10:45:00.0", "and no time matches it"),
        ("2019-09-11T10:45:00.5Z", "date is between two seconds"),
        ("2019-13%", None),
    ],
)
async def test_pattern_that_can_match_nothing_without_a_percent_sign_says_so(
    api: Api, date: str, says: str | None
) -> None:
    """Each time anew: patterns that match nothing do not share a cached response."""
    for _ in range(2):
        status, body = await api.get("getDataByDate", {"date": date})
        assert (status, body["values"]["numrecs"]) == (200, 0)
        if says is None:
            assert body["message"] == "No data found"
        else:
            assert body["message"].startswith("No data found: date ")
            assert says in body["message"]
        await api.settled()
