"""Meters of /v1, their imports, and what a user is told who may not see something."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import encode_basic_auth

from tests.support.app_client import Api, Serve, token
from tests.support.databases import DatabaseFixture
from tests.support.granting import KEY, add_group, add_key, add_member, grant, revoke_all
from tests.support.reference_readings import load, readings_of_days
from tests.support.report_factory import quarters, report, row

DAYS = readings_of_days("2019-09-02", "2019-09-03", "2019-09-04")
GRANT = (
    "INSERT INTO grants"
    " (user, id, meter_id, permission, first_day, last_day, granted_by, granted)"
    " VALUES ('rick', 1, 1, 'read', '2019-09-03', '2019-09-03', 'beth', 0)"
)


async def test_meters_come_page_by_page_in_the_order_of_ids(api: Api) -> None:
    found = []
    async for document in api.pages("/v1/meters?limit=400&search=n"):
        found += [meter["id"] for meter in document["data"]]
    assert "main" in found
    assert len(found) > 400
    assert found == sorted(found)


async def test_meter_says_what_its_readings_span(api: Api) -> None:
    document = await api.document("meters/main")
    (listed,) = (await api.document("meters", search="main"))["data"]
    assert document["data"] == listed
    assert listed["readings"] == 11716
    assert listed["interval"] == "PT15M"
    assert listed["last_reading"] == "2019-11-30T23:45:00+01:00"
    async with api.client.session.get(
        api.client.make_url(document["links"]["summary"]),
        headers={"Authorization": f"Bearer {api.token}"},
    ) as response:
        assert response.status == 200


async def test_list_has_an_etag_of_its_content(api: Api) -> None:
    async with await api.v1("meters", {"search": "main"}) as response:
        tag = response.headers["ETag"]
    headers = {"If-None-Match": tag, "Accept-Encoding": "gzip"}
    async with await api.v1("meters", {"search": "main"}, headers=headers) as response:
        assert response.status == 304
    async with await api.v1("meters", {"search": "m"}, headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Encoding"] == "gzip"
    async with await api.v1("meters", {"format": "csv", "search": "main"}) as response:
        assert (await response.text()).startswith("id,name,identifier,timezone")


async def test_imports_tell_what_they_replaced(serve: Serve, database: DatabaseFixture) -> None:
    first = report(row("01 Sep 2019 00:00:00", "1"), row("01 Sep 2019 00:15:00", "2"))
    second = report(row("01 Sep 2019 00:15:00", "3"), row("01 Sep 2019 00:30:00", "4"))
    await database.load(first)
    await database.load(second, allow_corrections=True)
    api = await serve(database)

    document = await api.document("meters/main/imports", limit="1")
    (latest,) = document["data"]
    assert (latest["import"], latest["added"], latest["changed"]) == (2, 1, 1)
    assert latest["first_reading"] == "2019-09-01T00:15:00+02:00"
    async with api.client.session.get(
        api.client.make_url(document["links"]["next"]),
        headers={"Authorization": f"Bearer {api.token}"},
    ) as response:
        (earliest,) = (await response.json())["data"]
    assert (earliest["import"], earliest["added"], earliest["changed"]) == (1, 2, 0)
    document = await api.document("meters/main/imports/2")
    assert document["meta"]["import"]["added"] == 1
    (replaced,) = document["data"]
    assert replaced["start"] == "2019-09-01T00:15:00+02:00"
    assert (replaced["replaced"], replaced["energy"]) == ("energy", Decimal("2.00000"))
    assert (replaced["previous_import"], replaced["power"]) == (1, None)
    async with await api.v1("meters/main/imports/3") as response:
        assert (await response.json())["detail"] == "import: the meter main has no import 3"


async def test_imports_have_the_offsets_of_a_repeated_hour(
    serve: Serve, database: DatabaseFixture
) -> None:
    times = ["01:45", "02:00", "02:15", "02:30", "02:45"]
    await database.load(report(*(row(f"27 Oct 2019 {time}:00", "1") for time in times)))
    api = await serve(database)
    (imported,) = (await api.document("meters/main/imports"))["data"]
    about = (await api.document("meters/main/imports/1"))["meta"]["import"]
    for record in (imported, about):
        assert record["first_reading"] == "2019-10-27T01:45:00+02:00"
        assert record["last_reading"] == "2019-10-27T02:45:00+02:00"
    database.run("DELETE FROM readings")
    ends = (await api.document("meters/main/imports/1"))["meta"]["import"]
    assert (ends["first_reading"], ends["last_reading"]) == (
        "2019-10-27T01:45:00+02:00",
        "2019-10-27T02:45:00+01:00",
    )


@pytest.mark.parametrize("path", ["", "/readings", "/summary", "/imports", "/imports/1"])
async def test_hidden_meter_is_told_as_one_that_is_not_there(
    serve: Serve, database: DatabaseFixture, path: str
) -> None:
    await load(database, DAYS)
    api = await serve(database)
    database.run("DELETE FROM grants")
    database.run("UPDATE access SET changes = changes + 1")
    told = []
    for meter in ("main", "none"):
        async with await api.v1(f"meters/{meter}{path}") as response:
            told.append((response.status, (await response.json())["detail"].replace(meter, "X")))
    assert told == [(404, "meter: there is no meter X")] * 2
    assert (await api.document("meters"))["data"] == []


async def test_window_clips_every_route_and_is_told(
    serve: Serve, database: DatabaseFixture
) -> None:
    await load(database, DAYS)
    api = await serve(database)
    database.run("DELETE FROM grants")
    database.run(GRANT)
    database.run("UPDATE access SET changes = changes + 1")
    day = [reading for reading in DAYS if reading.date.startswith("2019-09-03")]

    document = await api.document("meters/main/readings", fields="id")
    assert document["data"] == [{"id": reading.id} for reading in day]
    window = {"from": "2019-09-03", "to": "2019-09-04"}
    assert document["meta"]["windows"] == [window]
    document = await api.document("meters/main/aggregates", resolution="P1D")
    assert [record["start"][:10] for record in document["data"]] == ["2019-09-03"]
    assert (await api.document("meters/main"))["data"]["readings"] == len(day)
    async with await api.v1("meters/main/imports") as response:
        assert response.status == 403
        assert response.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, 'Bearer realm="elecdata"'),
        ({"Authorization": "Basic cmljazptb3J0eQ=="}, 'Bearer realm="elecdata"'),
        ({"Authorization": "Bearer x"}, 'Bearer realm="elecdata", error="invalid_token"'),
        (
            {"Authorization": f"Bearer {token('nobody')}"},
            'Bearer realm="elecdata", error="invalid_token"',
        ),
    ],
)
async def test_missing_or_wrong_token_is_unauthorized(
    api: Api, headers: dict[str, str], challenge: str
) -> None:
    async with api.client.session.get(
        api.client.make_url("/v1/meters"), headers=headers
    ) as response:
        problem = json.loads(await response.text())
        assert response.status == problem["status"] == 401
        assert response.headers["WWW-Authenticate"] == challenge


async def test_basic_is_offered_where_it_is_configured(
    serve: Serve, database: DatabaseFixture
) -> None:
    await load(database, DAYS)
    api = await serve(database, ELECDATA_AUTH__BASIC="true")
    async with api.client.get("/v1/meters") as response:
        assert response.headers["WWW-Authenticate"] == (
            'Bearer realm="elecdata", Basic realm="elecdata", charset="UTF-8"'
        )
    async with api.client.get(
        "/v1/meters", headers={"Authorization": encode_basic_auth("rick", "rick")}
    ) as response:
        assert response.status == 200
    async with api.client.get("/openapi.json") as response:
        assert (await response.json())["security"] == [{"bearer": []}, {"basic": []}]


async def test_wrong_methods_paths_and_media_types_are_problems(api: Api) -> None:
    async with await api.v1("meters/main/readings", method="POST") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")
        assert response.content_type == "application/problem+json"
    async with await api.v1("meter") as response:
        assert (response.status, response.content_type) == (404, "application/problem+json")
    async with await api.v1("meters", headers={"Accept": "text/html"}) as response:
        assert response.status == 406
        assert "text/csv" in (await response.json())["detail"]
    async with await api.v1("meters", headers={"Accept": "text/html, text/*;q=0.5"}) as response:
        assert response.content_type == "text/csv"


async def require_recent_as_aggregated(api: Api) -> None:
    """The list says of the last 31 days what aggregates and the list of flags say of them."""
    for quality in ("raw", "clean"):
        document = await api.document(
            "meters", search="main", recent="yes", offset="0", quality=quality
        )
        (meter,) = document["data"]
        assert document["meta"]["total"] == 1
        days = await api.document(
            "meters/main/aggregates", resolution="P1D", fields="energy", quality=quality
        )
        last = days["data"][-31:]
        assert meter["recent_from"] == last[0]["start"][:10]
        assert meter["recent_energy"].split() == [
            "-" if day["energy"] is None else str(day["energy"]) for day in last
        ]
        if quality == "raw":
            assert meter["recent_present"] == sum(day["present"] for day in last)
        assert meter["recent_expected"] == sum(day["expected"] for day in last)
    flagged = await api.document(
        "meters/main/quality", list="flagged", flag="implausible", **{"from": last[0]["start"][:10]}
    )
    assert meter["recent_implausible"] == len(flagged["data"])


async def test_list_has_the_last_month_of_a_meter(api: Api) -> None:
    await require_recent_as_aggregated(api)


@pytest.mark.parametrize(
    "statements",
    [
        [
            "UPDATE readings SET energy = energy * 2 WHERE id = 100",
            "DELETE FROM readings WHERE id=9",
        ],
        ["DELETE FROM grants", GRANT],
    ],
    ids=["changed by another program", "seen through a window"],
)
async def test_last_month_has_what_is_there_and_may_be_seen(
    serve: Serve, database: DatabaseFixture, statements: list[str]
) -> None:
    rows = [row(time, "1", "", "", "5") for time in quarters("2019-09-02", 3 * 96)]
    rows[150] = rows[150].replace(",1,", ",900,")
    del rows[20]
    await database.load(report(*rows))
    api = await serve(database)
    await require_recent_as_aggregated(api)
    for statement in (*statements, "UPDATE access SET changes = changes + 1"):
        database.run(statement)
    await require_recent_as_aggregated(api)


async def test_list_begins_anywhere_and_goes_on_from_there(api: Api) -> None:
    everything = (await api.document("meters", limit="1000"))["data"]
    total = len(await api.records("getMeters", limit="1000", after=everything[-1]["id"]))
    total += len(everything)
    document = await api.document("meters", limit="2", offset="5")
    assert document["data"] == everything[5:7]
    assert "offset=5" in document["links"]["self"]
    async with api.client.session.get(
        api.client.make_url(document["links"]["next"]),
        headers={"Authorization": f"Bearer {api.token}"},
    ) as response:
        assert [meter["id"] for meter in (await response.json())["data"]] == [
            meter["id"] for meter in everything[7:9]
        ]
    assert (await api.document("meters", offset=str(total)))["data"] == []
    counted = await api.document("meters", offset="0", limit="1")
    assert counted["meta"] == {"count": 1, "total": total}
    after = {"cursor": everything[3]["id"], "offset": "2", "stale": "P1D", "limit": "1"}
    assert (await api.document("meters", **after))["data"] == [everything[6]]
    recent = await api.document("meters", recent="yes", limit="1000")
    assert [meter["id"] for meter in recent["data"]] == [meter["id"] for meter in everything[:100]]
    assert recent["links"]["next"]


async def test_list_counts_only_what_may_be_seen(serve: Serve, database: DatabaseFixture) -> None:
    for meter in ("a", "b", "c"):
        await database.load(report(row("01 Sep 2019 00:00:00", "1")), meter=meter, register=True)
    api = await serve(database)
    database.run("DELETE FROM grants")
    database.run(GRANT.replace("1, 1,", "1, 2,").replace("-03'", "-01'"))
    database.run("UPDATE access SET changes = changes + 1")
    document = await api.document("meters", offset="0", recent="yes")
    assert [meter["id"] for meter in document["data"]] == ["b"]
    assert document["data"][0]["recent_energy"] == "1.00000"
    assert document["meta"]["total"] == 1
    assert (await api.document("meters", offset="1"))["data"] == []
    assert (await api.document("meters", offset="1", stale="P1D"))["data"] == []
    assert len((await api.document("meters", offset="0", stale="P1D"))["data"]) == 1


async def test_last_month_leaves_days_between_windows_open(
    serve: Serve, database: DatabaseFixture
) -> None:
    rows = [row(time, "1") for time in quarters("2019-09-02", 3 * 96)]
    await database.load(report(*rows))
    api = await serve(database)
    database.run("DELETE FROM grants")
    for number, day in enumerate(("2019-09-02", "2019-09-04"), 1):
        own = GRANT.replace("2019-09-03", day).replace("'rick', 1", f"'rick', {number}")
        database.run(own)
    database.run("UPDATE access SET changes = changes + 1")
    (meter,) = (await api.document("meters", recent="yes"))["data"]
    assert meter["recent_energy"] == "96.00000 - 96.00000"
    assert (meter["recent_expected"], meter["recent_present"]) == (192, 192)


async def test_what_a_group_has_on_other_days_is_not_listed(
    serve: Serve, database: DatabaseFixture
) -> None:
    """Nothing tells that it is there: no number, and no place at which a list goes on."""
    for meter in ("a", "b", "c"):
        await database.load(report(row("01 Sep 2019 00:00:00", "1")), meter=meter, register=True)
    api = await serve(database)
    revoke_all(database, "rick")
    add_group(database, "site")
    add_member(database, "site", meter="a")
    later = (date(2020, 1, 1), date(2020, 12, 31))
    add_member(database, "site", meter="b", days=later)
    add_member(database, "site", meter="c")
    for place in ("floor", "roof"):
        add_group(database, place)
    add_member(database, "site", member="floor", days=later)
    add_member(database, "floor", meter="b")
    grant(database, "rick", group="site", days=(date(2019, 1, 1), date(2019, 12, 31)))
    grant(database, "rick", group="roof")
    document = await api.document("meters", offset="0", recent="yes")
    assert [meter["id"] for meter in document["data"]] == ["a", "c"]
    assert document["meta"] == {"count": 2, "total": 2}
    assert [meter["id"] for meter in (await api.document("meters", offset="1"))["data"]] == ["c"]
    for path, first, last in (
        *(("meters", "a", "c"), ("completeness", "a", "c")),
        ("groups", "roof", "site"),
    ):
        document = await api.document(path, limit="1")
        assert f"cursor={first}" in document["links"]["next"]
        document = await api.document(path, limit="1", cursor=first)
        assert document["data"][0].get("id", last) == last
        assert document["links"]["next"] is None


async def test_window_does_not_tell_of_intervals_on_other_days(
    serve: Serve, database: DatabaseFixture
) -> None:
    hours = [row(f"0{day} Sep 2019 {hour:02}:00:00", "1") for day in (5, 6) for hour in range(24)]
    await database.load(report(*(row(time, "1") for time in quarters("2019-09-03", 192)), *hours))
    api = await serve(database)

    async def told() -> list[Any]:
        meter = (await api.document("meters/main"))["data"]
        (listed,) = (await api.document("meters"))["data"]
        (of_contract,) = await api.records("getMeters")
        (about,) = await api.records("getMeter")
        assert meter == listed
        assert listed["intervals"] == of_contract["intervals"] == about["intervals"]
        assert of_contract["interval_seconds"] == about["interval_seconds"]
        meta = (await api.document("meters/main/readings", limit="1"))["meta"]
        return [(meta["interval"], listed["interval"]), listed["intervals"]]

    late = "3600 from 2019-09-05T00:00:00+02:00"
    early = "900 from 2019-09-03T00:00:00+02:00"
    assert await told() == [(None, None), f"{early}, {late}"]
    database.run("DELETE FROM grants")
    database.run(GRANT)
    database.run("UPDATE access SET changes = changes + 1")
    assert await told() == [("PT15M", "PT15M"), early]
    for changed in ("first_day = '2019-09-05'", "last_day = NULL"):
        database.run(f"UPDATE grants SET {changed}")
    database.run("UPDATE access SET changes = changes + 1")
    assert await told() == [("PT1H", "PT1H"), late]


@pytest.mark.parametrize("path", ["meters", "completeness"])
async def test_short_page_of_stale_meters_takes_no_statement_for_each_that_is_not(
    serve: Serve, database: DatabaseFixture, path: str
) -> None:
    """Which ones are stale depends on the days that the user may see."""
    names = ("a", "b", "c", "d")
    for meter in names:
        await database.load(report(row("03 Sep 2019 00:00:00", "1")), meter=meter, register=True)
    api = await serve(database)
    database.run("DELETE FROM grants")
    database.run(GRANT.replace("1, 1,", "1, NULL,"))
    database.run("UPDATE access SET changes = changes + 1")
    taken = []
    for limit in ("1", "1000", "1"):
        api.engine.statements.clear()
        assert (await api.document(path, stale="99999", limit=limit))["data"] == []
        taken.append(len(api.engine.statements))
    assert taken[1] == taken[2]
    found = [
        meter.get("id") or meter["meter"]
        async for document in api.pages(f"/v1/{path}?stale=P1D&limit=1")
        for meter in document["data"]
    ]
    assert found == [*names]


async def test_key_lists_only_what_was_granted_on_days_for_which_it_is_good(
    serve: Serve, database: DatabaseFixture
) -> None:
    early, late = (date.min, date(2019, 9, 3)), (date(2019, 9, 4), date.max)
    for meter in ("a", "b", "c", "d"):
        await database.load(report(row("03 Sep 2019 00:00:00", "1")), meter=meter, register=True)
    api = await serve(database)
    for group in ("keyed", "below"):
        add_group(database, group)
    add_key(database, "rick", meter="a", group="keyed")
    add_member(database, "keyed", member="below", days=late)
    add_member(database, "keyed", meter="b", days=late)
    add_member(database, "below", meter="c")
    add_member(database, "keyed", meter="d", days=early)

    async def listed() -> list[list[str]]:
        found = []
        for path in ("meters?offset=0", "groups"):
            async with await api.v1(path, headers={"Authorization": f"Bearer {KEY}"}) as response:
                document = await response.json()
            found.append([each["id"] for each in document["data"]])
            assert document["meta"].get("total", len(found[-1])) == len(found[-1])
        return found

    assert await listed() == [["a", "b", "c", "d"], ["below", "keyed"]]
    revoke_all(database, "rick")
    for meter in ("b", "c", "d"):
        grant(database, "rick", meter=meter, days=early)
    assert await listed() == [["d"], []]
    grant(database, "rick", days=early)
    assert await listed() == [["a", "d"], ["keyed"]]
    grant(database, "rick", group="below")
    assert await listed() == [["a", "c", "d"], ["below", "keyed"]]
