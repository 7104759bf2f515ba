"""The HTTP contract: what existing clients rely on, the same on every engine."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import encode_basic_auth
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.app_client import Api, Document
from tests.support.databases import DatabaseFixture

DOCUMENTED = Path(__file__).with_name("contract")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
DATA_ROUTES = {
    "getData": {},
    "getDataById": {"id": "5,100"},
    "getDataByDate": {"date": "2019-09-11_0_:00:00"},
    "getDataByRange": {"date": "2019-09-12 10:00:00", "end_date": "2019-09-12 10:30:00"},
}


def documented(name: str) -> Document:
    document: Document = json.loads(DOCUMENTED.joinpath(f"{name}.json").read_text())
    return document


def dumped(document: Document) -> str:
    """A document as text, so that 1 and true, or 200 and 200.0, differ."""
    return json.dumps(document, sort_keys=True)


def refused(message: str) -> Document:
    return {"message": message, "status": "ERROR", "statusCode": "400"}


# The documented answers


async def test_ping_answers_as_documented(api: Api) -> None:
    status, body = await api.get("ping")
    assert status == 200
    assert dumped(body) == dumped(documented("ping"))


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("getData", "getData_first_records"),
        ("getDataById", "getDataById_5_100"),
        ("getDataByDate", "getDataByDate_first_records"),
        ("getDataByRange", "getDataByRange_10h00_10h30"),
    ],
)
async def test_data_route_answers_as_documented(api: Api, route: str, name: str) -> None:
    status, body = await api.get(route, DATA_ROUTES[route])
    records = body["values"]["records"]
    assert status == 200
    assert len(records) == body["values"]["numrecs"]
    expected = documented(name)
    body["values"]["records"] = records[: len(expected["values"]["records"])]
    assert dumped(body) == dumped(expected)


async def test_answer_is_json_in_the_documented_order_of_keys(api: Api) -> None:
    response = await api.request("getDataById", {"id": "5,100"})
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    text = json.dumps(documented("getDataById_5_100"), separators=(",", ":"))
    assert await response.text() == text


async def test_nothing_found_is_a_success(api: Api) -> None:
    status, body = await api.get("getDataById", {"id": "0,11717"})
    assert status == 200
    assert body == {
        "message": "No data found",
        "status": "OK",
        "statusCode": 200,
        "values": {"numrecs": 0, "records": []},
    }


async def test_all_readings_come_in_the_order_of_id(api: Api) -> None:
    records = await api.records("getData")
    assert [record["id"] for record in records] == [str(number) for number in range(1, 11717)]


async def test_missing_values_are_null_and_others_have_five_decimals(api: Api) -> None:
    records = await api.records("getData")
    values = [
        value for record in records for name, value in record.items() if name not in ("id", "date")
    ]
    assert values.count(None) == 904
    assert all(value is None or len(value.partition(".")[2]) == 5 for value in values)


async def test_day_on_which_clocks_go_back_has_a_hundred_readings(api: Api) -> None:
    records = await api.records("getDataByDate", date="2019-10-27%")
    assert len(records) == 100
    assert [record["date"] for record in records].count("2019-10-27 02:15:00") == 2


async def test_date_and_range_of_a_day_agree(api: Api) -> None:
    by_range = await api.records("getDataByRange", date="2019-10-27", end_date="2019-10-27 23:45")
    assert by_range == await api.records("getDataByDate", date="2019-10-27%")


# Where parameters come from


@pytest.mark.parametrize("route", DATA_ROUTES)
async def test_parameters_in_query_body_and_form_mean_the_same(api: Api, route: str) -> None:
    """A JSON body needs no content type, neither with GET nor with POST."""
    params = DATA_ROUTES[route]
    text = json.dumps(params)
    _, expected = await api.get(route, params)
    carriers: list[dict[str, Any]] = [
        {"json": params},
        {"data": text, "headers": {"Content-Type": "text/plain"}},
        {"data": text, "skip_auto_headers": ["Content-Type"]},
        {"json": params, "method": "POST"},
        {"data": text, "method": "POST", "skip_auto_headers": ["Content-Type"]},
        {"params": params, "method": "POST"},
        {"data": params, "method": "POST"},
    ]
    for carrier in carriers:
        status, body = await api.get(route, **carrier)
        assert status == 200, (carrier, body)
        assert body == expected, carrier


async def test_multipart_form_is_a_form(api: Api) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="id"\r\n\r\n5\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, answer = await api.get("getDataById", method="POST", data=body, headers=headers)
    assert status == 200
    assert answer["values"]["numrecs"] == 1


async def test_parameters_may_be_split_between_query_and_body(api: Api) -> None:
    bounds = DATA_ROUTES["getDataByRange"]
    status, body = await api.get(
        "getDataByRange", {"date": bounds["date"]}, json={"end_date": bounds["end_date"]}
    )
    assert status == 200
    assert body["values"]["numrecs"] == 3


async def test_number_in_json_is_an_id(api: Api) -> None:
    status, body = await api.get("getDataById", json={"id": 5})
    assert status == 200
    assert body["values"]["numrecs"] == 1


# Parameters that are wrong

OPTIONAL = "meter, columns, values, time, format, quality, order, limit, after"


@pytest.mark.parametrize(
    ("route", "query", "message"),
    [
        ("getDataById", "", "id: missing"),
        ("getDataByDate", "", "date: missing"),
        ("getDataByRange", "date=2019", "end_date: missing"),
        ("getDataByRange", "end_date=2019", "date: missing"),
        ("ping", "x=1", "'x': unknown parameter, none is expected here"),
        ("getData", "id=5", f"'id': unknown parameter, expected any of {OPTIONAL}"),
        ("getDataById", "ID=5", f"'ID': unknown parameter, expected id, and any of {OPTIONAL}"),
        ("getDataById", "id=5&id=6", "id: given twice with different values"),
        ("getDataById", "id=5&x=", f"'x': unknown parameter, expected id, and any of {OPTIONAL}"),
        (
            "getDataByRange",
            "from=2019",
            f"'from': unknown parameter, expected date and end_date, and any of end, {OPTIONAL}",
        ),
        ("getDataById", "id=", "id: expected ids like 5 or 5,100, got ''"),
        ("getDataById", "id=five", "id: expected ids like 5 or 5,100, got 'five'"),
        ("getDataById", "id=%FF", "id: expected ids like 5 or 5,100, got '\\ufffd'"),
        (
            "getDataByRange",
            "date=2019-09-31&end_date=2020",
            "date: expected a time like 2019-09-11 10:45:00 or its start, got '2019-09-31'",
        ),
        (
            "getDataByRange",
            "date=2019-09-12&end_date=2019-09-11",
            "end_date: expected 2019-09-12 00:00:00 (date) or later, got 2019-09-11 00:00:00",
        ),
    ],
)
async def test_wrong_parameter_is_named(api: Api, route: str, query: str, message: str) -> None:
    """With a GET as with a POST."""
    for method in ("GET", "POST") if route != "ping" else ("GET",):
        status, body = await api.get(f"{route}?{query}", method=method)
        assert (status, body) == (400, refused(message))


MALFORMED = "body: expected a JSON object, this is malformed"


async def test_parameter_repeated_with_one_value_counts_once(api: Api) -> None:
    status, body = await api.get("getDataById?id=5&id=5", data='{"id": 5, "id": "5"}')
    assert status == 200
    assert body["values"]["numrecs"] == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", MALFORMED),
        (b'{"id": 5', MALFORMED),
        (b'{"id": NaN}', MALFORMED),
        (b'{"id": "\xff"}', MALFORMED),
        (b'{"id": ' + b"[" * 9999, "'id': expected text"),
        (b'{"id": ' + b"9" * 9999, MALFORMED),
        (b"[5]", "body: expected a JSON object"),
        (b"null", "body: expected a JSON object"),
        (b'{"id": null}', "'id': expected text"),
        (b'{"id": true}', "'id': expected text"),
        (b'{"id": 5.0}', "'id': expected text"),
        (b'{"id": {"$gt": 0}}', "'id': expected text"),
        (b'{"id": 5, "id": 6}', "id: given twice with different values"),
        (b'{"id": 5, "x": 6}', f"'x': unknown parameter, expected id, and any of {OPTIONAL}"),
        (b"{}", "id: missing"),
        (b'{"id": "\\ud800"}', "id: expected ids like 5 or 5,100, got '\\ud800'"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_wrong_json_says_what_was_expected(api: Api, body: bytes, message: str) -> None:
    for method in ("GET", "POST"):
        status, answer = await api.get(
            "getDataById",
            method=method,
            data=body,
            headers={"Content-Type": "application/json"},
        )
        assert (status, answer) == (400, refused(message))


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (FORM, b"id=\xff\xfe"),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=none"}, b"id=5"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"no boundary"),
        ({"Content-Type": "multipart/form-data"}, b"no boundary"),
        ({"Content-Type": "text/plain"}, b"id=5"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"not compressed"),
    ],
)
async def test_body_that_nobody_understands_is_refused(
    api: Api, headers: dict[str, str], body: bytes
) -> None:
    status, answer = await api.get("getDataById", method="POST", data=body, headers=headers)
    assert status == 400
    assert answer["message"].startswith("body: expected a JSON object or a form")


async def test_file_in_a_form_is_refused(api: Api) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="id"; filename="a"\r\n\r\n5\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, answer = await api.get("getDataById", method="POST", data=body, headers=headers)
    assert (status, answer) == (400, refused("'id': expected text, not a file"))


# Ids


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ("5", ["5"]),
        (" 5 , 100 ", ["5", "100"]),
        ("100,5", ["5", "100"]),
        ("5,5,005", ["5"]),
        ("0,5,11717,99999999999999999999", ["5"]),
        ("11716", ["11716"]),
        ("0", []),
        (",".join(map(str, range(1, 201))), [str(number) for number in range(1, 201)]),
    ],
)
async def test_ids_yield_the_readings_that_exist_once(api: Api, ids: str, found: list[str]) -> None:
    assert [record["id"] for record in await api.records("getDataById", id=ids)] == found


@pytest.mark.parametrize(
    "ids", [",", "5,", ",5", "5,,6", "5 6", "-5", "+5", "5.0", "0x5", "1e3", "\u0665", "5\n", "5;6"]
)
async def test_malformed_ids_are_refused(api: Api, ids: str) -> None:
    status, body = await api.get("getDataById", {"id": ids})
    assert status == 400
    assert body["message"].startswith("id: expected ids like 5 or 5,100, got ")


async def test_more_ids_than_a_page_holds_are_answered(api: Api) -> None:
    ids = ",".join(map(str, range(1, 12001)))
    status, body = await api.get("getDataById", method="POST", json={"id": ids})
    assert status == 200
    assert body["values"]["numrecs"] == len(body["values"]["records"]) == 11716


# Patterns


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("2019-09-11_0_:00:00", 10),
        ("2019-09-11", 0),
        ("2019-09-11%", 96),
        ("2019-09-11T10:45:00", 1),
        ("2019-09-11T10%", 4),
        ("2019-09-11 10:45:00", 1),
        ("2019-09-11_10:45:00", 1),
        ("%", 11716),
        ("%%", 11716),
        ("%:45:00", 2929),
        ("2019-%-01 00:00:00", 4),
        ("____-__-__ 12:00:00", 122),
        ("2019-02-30%", 0),
        ("2020%", 0),
        ("%.0", 0),
    ],
)
async def test_pattern_matches_the_whole_text(api: Api, pattern: str, count: int) -> None:
    assert len(await api.records("getDataByDate", date=pattern)) == count


@pytest.mark.parametrize(
    "pattern", ["", "yesterday", "2019/09/11%", "2019-09-11*", "2019-09-11%\\", "2019'%", "٢٠%"]
)
async def test_malformed_pattern_is_refused(api: Api, pattern: str) -> None:
    status, body = await api.get("getDataByDate", {"date": pattern})
    assert status == 400
    assert body["message"].startswith("date: expected 1 to 64 characters, each a digit, ")


# Ranges


@pytest.mark.parametrize(
    ("date", "end_date", "count"),
    [
        ("2019-09-12 10:00:00", "2019-09-12 10:30:00", 3),
        ("2019-09-12T10:00:00", "2019-09-12_10:30:00", 3),
        ("2019-09-12_10:00:00", "2019-09-12T10:30:00", 3),
        ("2019-09-12 10:00:00.0", "2019-09-12 10:30:00.000000", 3),
        ("2019-09-11 10:45:00", "2019-09-11 12:%", 6),
        ("2019-09-11 10:45", "2019-09-11 12", 6),
        ("2019-09-11", "2019-09-12", 97),
        ("2019-09-11%", "2019-09-11%", 1),
        ("2019-09-12 10:00:01", "2019-09-12 10:14:59", 0),
        ("2019-09-12 10:15:00", "2019-09-12 10:15:00", 1),
        ("%", "9999", 11716),
        ("1", "2", 0),
    ],
)
async def test_range_holds_both_its_ends(api: Api, date: str, end_date: str, count: int) -> None:
    assert len(await api.records("getDataByRange", date=date, end_date=end_date)) == count


@pytest.mark.parametrize(
    ("date", "end_date", "name"),
    [
        ("2019-02-30", "2020", "date"),
        ("2019", "2019-02-30 10:00:00", "end_date"),
        ("2019-09-12 25:00:00", "2020", "date"),
        ("tomorrow", "2020", "date"),
        ("2019", "", "end_date"),
        ("2019-09-12", "2019-09-11%", "end_date"),
        ("2019-09-12T10:00:00+25:00", "2020", "date"),
        ("2019-09-12T10:00:00Z", "2019-09-12T09:59:59Z", "end_date"),
        ("2019-09-12T10:00:00Z", "2019-09-12 12:00:00", "end_date"),
    ],
)
async def test_bound_without_an_instant_and_reversed_range_are_refused(
    api: Api, date: str, end_date: str, name: str
) -> None:
    status, body = await api.get("getDataByRange", {"date": date, "end_date": end_date})
    assert status == 400
    assert body["statusCode"] == "400"
    assert body["message"].startswith(f"{name}: expected ")


# Login


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_right_login_gets_a_token_that_serves(api: Api, method: str) -> None:
    status, body = await api.login("rick", "morty", method=method)
    assert status == 200
    assert body.keys() == (expected := documented("login_accepted")).keys()
    api.token = body["value_token"]
    assert body | {"value_token": expected["value_token"]} == expected
    assert (await api.get("ping"))[0] == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic !",
        "Basic cmljaw==",  # no colon
        "Basic /////w==",  # not UTF-8
        "Bearer morty",
        encode_basic_auth("rick", ""),
        encode_basic_auth("rick", "Morty"),
        encode_basic_auth("Rick", "morty"),
        encode_basic_auth("rick ", "morty"),
        encode_basic_auth("", "morty"),
        encode_basic_auth("nobody", "\0" * 2000),
    ],
)
async def test_other_login_is_refused_as_documented(
    api: Api, method: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with await api.client.request(method, "/login", headers=headers) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")
        assert await response.json() == documented("login_refused")


# Injection

PAYLOADS = [
    "' OR '1'='1",
    "5 OR 1=1",
    "5); DROP TABLE consumpdata; --",
    "5 UNION SELECT user, password FROM users",
    "'; DELETE FROM consumpdata; --",
    '" OR ""="',
    "\\' OR 1=1 -- ",
    "\xbf' OR 1=1 -- ",
    "/*! OR 1=1 */",
    "%s",
    "?",
    ":id",
    "{where}",
    "5\0' OR 1=1",
    "SLEEP(5)",
    "0x27",
    "$(reboot)",
]


@pytest.mark.parametrize("route", ["getDataById", "getDataByDate", "getDataByRange"])
@pytest.mark.parametrize("payload", PAYLOADS)
async def test_sql_in_a_parameter_is_refused(api: Api, route: str, payload: str) -> None:
    """Whichever parameter holds it, or has it for a name."""
    params = DATA_ROUTES[route]
    for name in params:
        for wrong in ({**params, name: payload}, {**params, payload: "5"}):
            assert (await api.get(route, wrong))[0] == 400
            assert (await api.get(route, json=wrong))[0] == 400
            form = await api.get(route, method="POST", data=urlencode(wrong), headers=FORM)
            assert form[0] == 400


async def test_sql_leaves_every_table_as_it_was(api: Api, sample: DatabaseFixture) -> None:
    tables = ("consumpdata", "users", "imports")
    before = [await sample.rows(f"SELECT * FROM {table}") for table in tables]
    for payload in PAYLOADS:
        assert (await api.login(f"rick{payload}".replace(":", ""), "morty"))[0] == 401
        assert (await api.get("getDataById", {"id": payload}))[0] == 400
        assert (await api.get("getDataByDate", {"date": payload}))[0] == 400
    assert (await api.login("rick", " OR ".join(PAYLOADS)))[0] == 401
    assert [await sample.rows(f"SELECT * FROM {table}") for table in tables] == before


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(codec="utf-8"), max_size=80))
async def test_any_text_is_answered_or_refused(api: Api, text: str) -> None:
    for route, name in (("getDataById", "id"), ("getDataByDate", "date")):
        for carrier in ({"params": {name: text}}, {"json": {name: text}}):
            status, body = await api.get(route, **carrier)
            assert status in (200, 400)
            assert status == 400 or len(body["values"]["records"]) == body["values"]["numrecs"]
