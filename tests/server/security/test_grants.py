"""Grants: a user sees the meters and days that were granted, and nothing of any others."""

import asyncio
import re
import secrets
import time
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.context import DATABASE
from storage.access.viewer import KeyScope, Viewer
from tests.conftest import fresh
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.granting import add_group, add_member, grant, revoke_all
from tests.support.report_factory import quarters, report, row

FIRST_DAY = date(2019, 10, 25)
"""Two days before one of 25 hours."""

NUMBER_OF_DAYS = 6
WHOLE, HIDDEN = "whole", "hidden"

PERIOD = {"date": "2019-10-26", "end_date": "2019-10-28"}

IMPORT_FIELDS = ("import_finished", "import_file", "import_new", "import_changed")

ROUTES: list[tuple[str, dict[str, str]]] = [
    ("getData", {"columns": "date,energy,power,flags", "time": "offset"}),
    ("getData", {"columns": "date,energy", "time": "utc", "order": "desc", "limit": "7"}),
    ("getData", {"quality": "clean", "columns": "date,energy"}),
    ("getDataByDate", {"date": "2019-10-2%", "columns": "date,voltage"}),
    ("getDataByRange", {"date": "2019-10-26", "end_date": "2019-10-29", "columns": "date,energy"}),
    ("getAggregate", {"interval": "day"}),
    ("getAggregate", {"interval": "hour", "columns": "energy,power", "quality": "clean"}),
    ("getAggregate", {"interval": "month", "timezone": "UTC"}),
    ("getAggregate", {"interval": "day", "columns": "energy", **PERIOD}),
    ("getProfile", {"column": "energy"}),
    ("getPeaks", {}),
    ("getSummary", {}),
    ("getQuality", {"list": "days"}),
    ("getQuality", {"list": "gaps"}),
]


def lines(first: date, last: date) -> list[str]:
    """The rows of a report of some days, each day with values of its own."""
    rows = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        until = day + timedelta(days=1)
        count = 100 if day == date(2019, 10, 27) else 96
        assert until > day
        for place, at in enumerate(quarters(f"{day}", count)):
            energy = day.day * 100 + place * 37 % 96
            rows.append(row(at, f"{energy}.5", "1", str(energy * 4), "999999", "3", "230"))
    return rows


def day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def windowed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseFixture]:
    """A database with a meter of some days, and one for each run of them that has just those."""
    with fresh(request, tmp_path_factory.mktemp("windowed")) as database:
        all_days = lines(day(0), day(NUMBER_OF_DAYS - 1))
        asyncio.run(database.load(report(*all_days), meter=WHOLE, register=True))
        for first in range(NUMBER_OF_DAYS):
            for last in range(first, NUMBER_OF_DAYS):
                name = f"d{first}-{last}"
                some = report(*lines(day(first), day(last)))
                asyncio.run(database.load(some, meter=name, register=True))
        asyncio.run(database.admit("rick"))
        yield database


def meter_of(bounds: tuple[int, int]) -> str | None:
    """The meter that has just the days of WHOLE within some bounds, None if there are none."""
    first, last = max(bounds[0], 0), min(bounds[1], NUMBER_OF_DAYS - 1)
    return f"d{first}-{last}" if first <= last else None


def grant_window(database: DatabaseFixture, way: str, bounds: tuple[int, int]) -> None:
    """Let rick see the days of WHOLE within some bounds."""
    days = (day(bounds[0]), day(bounds[1]))
    group = secrets.token_hex(6)
    if way == "meter":
        grant(database, "rick", meter=WHOLE, days=days)
    elif way == "all":
        grant(database, "rick", days=days)
    elif way == "group":
        for name in (group, f"{group}-above"):
            add_group(database, name)
        add_member(database, group, meter=WHOLE, days=(date.min, days[1]))
        add_member(database, f"{group}-above", member=group)
        grant(database, "rick", group=f"{group}-above", days=(days[0], date.max))
    else:
        middle = days[0] + (days[1] - days[0]) // 2
        grant(database, "rick", meter=WHOLE, days=(days[0], middle))
        add_group(database, group)
        add_member(database, group, meter=WHOLE, days=(middle, days[1]))
        grant(database, "rick", group=group)


def clipped(params: dict[str, str], bounds: tuple[int, int]) -> dict[str, str] | None:
    """The parameters that ask for the same period, as far as it is granted; None if it is not."""
    if "interval" not in params or "date" not in params:
        return params
    first = max(params["date"], f"{day(bounds[0])}")
    last = min(params["end_date"], f"{day(bounds[1])}")
    return {**params, "date": first, "end_date": last} if first <= last else None


async def said(api: Api, route: str, params: dict[str, str], meter: str) -> tuple[int, Any]:
    """Return what a route says of a meter, without the names of the meter and of readings, and
    its last import."""
    status, body = await api.get(route, {**params, "meter": meter})
    body.get("values", {}).pop("next", None)
    for record in body["values"]["records"]:
        for name in IMPORT_FIELDS:
            record.pop(name, None)
    return status, body


@pytest.fixture
async def windowed_api(serve: Serve, windowed: DatabaseFixture) -> Api:
    return await serve(windowed)


@given(
    st.tuples(st.integers(-2, NUMBER_OF_DAYS), st.integers(-1, NUMBER_OF_DAYS + 1)).filter(
        lambda bounds: bounds[0] <= bounds[1]
    ),
    st.sampled_from(["meter", "group", "both", "all"]),
)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_window_shows_what_a_meter_of_its_days_alone_would(
    windowed: DatabaseFixture, windowed_api: Api, bounds: tuple[int, int], way: str
) -> None:
    """However it is granted: nothing of the other days shows in any answer."""
    api, part = windowed_api, meter_of(bounds)
    revoke_all(windowed, "rick")
    grant(windowed, "rick")
    wanted = [
        await said(api, route, asked, part)
        if part and (asked := clipped(params, bounds)) is not None
        else None
        for route, params in ROUTES
    ]
    ids = [record["id"] for record in await api.records("getData", meter=WHOLE, columns="id")]
    (listed,) = await api.records("getMeters", search=part or WHOLE)
    revoke_all(windowed, "rick")
    grant_window(windowed, way, bounds)
    found = [await said(api, *each, WHOLE) for each in ROUTES]
    for model, (status, body) in zip(wanted, found, strict=True):
        if model is None:
            assert (status, body["values"].pop("numrecs"), body["values"].pop("records")) == (
                *(200, 0, []),
            )
            assert body["values"] in ({}, {"left_out": {"readings": "0", "energy": "0"}})
        else:
            assert (status, body) == model
    if part is not None:
        first = len(lines(day(0), day(max(bounds[0], 0) - 1)))
        count = int(str(listed["readings"]))
        by_id = await api.records("getDataById", id=",".join(map(str, ids)), meter=WHOLE)
        assert [each["id"] for each in by_id] == ids[first : first + count]
    for summary in await api.records("getSummary", meter=WHOLE):
        assert [summary[name] for name in IMPORT_FIELDS] == [None] * 4
    (seen,) = [each for each in await api.records("getMeters") if each["meter"] == WHOLE]
    expected = listed if part else {**listed, "readings": "0"}
    same = ("first_reading", "last_reading", "readings") if part else ("readings",)
    assert [seen[name] for name in same] == [expected[name] for name in same]


# Which meters


def timeless(statements: list[str]) -> list[str]:
    """Return statements without the time at which they look for grants."""
    return [re.sub("expires > [0-9]+", "expires > now", each) for each in statements]


@pytest.fixture
async def two(serve: Serve, database: DatabaseFixture) -> Api:
    """A service of two meters, of which rick may see one."""
    some = report(*(row(at, "1") for at in quarters("2019-08-01", 8)))
    for meter in ("seen", HIDDEN):
        await database.load(some, meter=meter, register=True)
    api = await serve(database)
    revoke_all(database, "rick")
    grant(database, "rick", meter="seen")
    return api


async def test_hidden_meter_is_answered_as_one_that_is_not_there(two: Api) -> None:
    """By the same words, after the same statements: how long they take tells nothing."""
    params = {"date": "2019%", "end_date": "2019%", "column": "energy"}
    params |= {"interval": "day", "list": "gaps"}
    needed = {
        "getDataByDate": ("date",),
        "getDataByRange": ("date", "end_date"),
        "getProfile": ("column",),
        "getAggregate": ("interval",),
        "getQuality": ("list",),
    }
    await two.get("getMeter", {"meter": "seen"})
    for route in sorted({route for route, _ in ROUTES} | {"getMeter"}):
        query = {name: params[name] for name in needed.get(route, ())}
        answers = []
        for meter in (HIDDEN, "absent"):
            two.engine.statements.clear()
            status, body = await two.get(route, {**query, "meter": meter})
            assert status == 404
            answers.append((str(body).replace(meter, ""), timeless(two.engine.statements)))
        assert answers[0] == answers[1], route


async def test_list_names_only_meters_that_the_user_may_see(two: Api) -> None:
    assert [each["meter"] for each in await two.records("getMeters")] == ["seen"]
    assert await two.records("getMeters", search=HIDDEN) == []


async def test_only_meter_that_the_user_may_see_needs_no_name(two: Api) -> None:
    assert (await two.records("getMeter"))[0]["meter"] == "seen"


async def test_choice_names_only_meters_that_the_user_may_see(
    two: Api, database: DatabaseFixture
) -> None:
    await database.load(
        report(row("1 Aug 2019 00:00:00", "1")), meter="third", register=True, interval=900
    )
    grant(database, "rick", meter="third")
    status, body = await two.get("getData")
    assert (status, body["message"]) == (400, "meter: expected one of seen, third")


async def test_user_without_grants_sees_no_meter(two: Api, database: DatabaseFixture) -> None:
    revoke_all(database, "rick")
    status, body = await two.get("getData")
    assert (status, body["message"]) == (404, "meter: there is no meter that you may read")
    assert await two.records("getMeters") == []


@pytest.mark.usefixtures("two")
async def test_default_meter_is_not_meant_by_those_who_may_not_see_it(
    serve: Serve, database: DatabaseFixture
) -> None:
    database.configure(meter={"default": HIDDEN})
    api = await serve(database)
    assert (await api.records("getMeter"))[0]["meter"] == "seen"
    grant(database, "rick", meter=HIDDEN)
    assert (await api.records("getMeter"))[0]["meter"] == HIDDEN


# Changes


async def test_change_of_grants_holds_from_the_next_request_on(
    two: Api, database: DatabaseFixture
) -> None:
    """Also for answers that are cached, repeated head by head, or confirmed by their ETag."""
    params = {"id": "5", "meter": "seen"}
    for _ in range(3):
        async with await two.request("getDataById", params) as response:
            tag = response.headers["ETag"]
            await response.read()
        await two.settled()
    database.run("DELETE FROM grants WHERE user = 'rick'")
    database.run("UPDATE access SET changes = changes + 1")
    for headers in ({}, {"If-None-Match": tag}):
        assert (await two.get("getDataById", params, headers=headers))[0] == 404
    grant(database, "rick", meter="seen", days=(date(2030, 1, 1), date.max))
    async with await two.request("getDataById", params, headers={"If-None-Match": tag}) as response:
        assert response.status == 200
        assert (await response.json())["values"]["numrecs"] == 0


async def test_grant_ends_when_it_expires(
    two: Api, database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoke_all(database, "rick")
    grant(database, "rick", meter=HIDDEN, expires=int(time.time()) + 1000)
    assert (await two.get("getData", {"meter": HIDDEN}))[0] == 200
    now = time.time() + 1001
    monkeypatch.setattr("time.time", lambda: now)
    assert (await two.get("getData", {"meter": HIDDEN}))[0] == 404


async def test_group_shows_its_members_until_they_leave_it(
    two: Api, database: DatabaseFixture
) -> None:
    for group in ("site", "floor"):
        add_group(database, group)
    add_member(database, "site", member="floor")
    grant(database, "rick", group="site")
    assert (await two.get("getData", {"meter": HIDDEN}))[0] == 404
    add_member(database, "floor", meter=HIDDEN)
    assert (await two.get("getData", {"meter": HIDDEN}))[0] == 200
    assert len(await two.records("getMeters")) == 2
    database.run("DELETE FROM group_members WHERE meter_id IS NULL")
    database.run("UPDATE access SET changes = changes + 1")
    assert (await two.get("getData", {"meter": HIDDEN}))[0] == 404
    assert len(await two.records("getMeters")) == 1


async def test_separate_windows_show_their_readings_and_refuse_figures_over_both(
    two: Api, database: DatabaseFixture
) -> None:
    rows = [row(at, "1") for n in (1, 2, 3) for at in quarters(f"2019-09-0{n}", 96)]
    await database.load(report(*rows), meter=HIDDEN)
    for number in (1, 3):
        grant(database, "rick", meter=HIDDEN, days=(date(2019, 9, number),) * 2)
    records = await two.records("getData", meter=HIDDEN)
    assert len(records) == 2 * 96
    assert not [each for each in records if str(each["date"]).startswith("2019-09-02")]
    status, body = await two.get("getSummary", {"meter": HIDDEN})
    assert status == 400
    assert "from 2019-09-01 to 2019-09-01, from 2019-09-03 to 2019-09-03" in body["message"]
    (summary,) = await two.records("getSummary", meter=HIDDEN, date="2019-09-03")
    assert summary["readings"] == "96"


@pytest.mark.usefixtures("two")
async def test_user_that_was_removed_leaves_no_grant_to_the_next_of_that_name(
    database: DatabaseFixture,
) -> None:
    async with database.writer() as writer:
        await writer.engine.is_prepared()
        await writer.users.remove("rick")
    assert database.run("SELECT COUNT(*) FROM grants")[0][0] == 0


# The same of /v1

V1_ROUTES: list[tuple[str, dict[str, str]]] = [
    ("readings", {"fields": "start,energy,flags"}),
    ("readings", {"limit": "7", "quality": "clean"}),
    ("aggregates", {"resolution": "P1D"}),
    ("aggregates", {"resolution": "PT1H", "fields": "energy,flags", "quality": "clean"}),
    ("profile", {"field": "energy"}),
    ("peaks", {}),
    ("summary", {}),
    ("quality", {"list": "days"}),
    ("quality", {"list": "gaps"}),
]


async def said_by_v1(api: Api, route: str, params: dict[str, str], meter: str) -> Any:
    """Return what a route says of a meter, without its name, the windows and the links."""
    document = await api.document(f"meters/{meter}/{route}", **params)
    for name in ("meter", "windows"):
        document["meta"].pop(name, None)
    return document["meta"], document["data"], document["links"].get("next") is None


@pytest.mark.parametrize(
    ("way", "bounds"), [("meter", (1, 3)), ("group", (-2, 2)), ("all", (2, 9))]
)
async def test_window_shows_v1_what_a_meter_of_its_days_alone_would(
    windowed: DatabaseFixture, windowed_api: Api, way: str, bounds: tuple[int, int]
) -> None:
    api, part = windowed_api, meter_of(bounds)
    assert part is not None
    revoke_all(windowed, "rick")
    grant(windowed, "rick")
    wanted = [await said_by_v1(api, *each, part) for each in V1_ROUTES]
    (listed,) = (await api.document("meters", search=part))["data"]
    revoke_all(windowed, "rick")
    grant_window(windowed, way, bounds)
    found = [await said_by_v1(api, *each, WHOLE) for each in V1_ROUTES]
    assert found == wanted
    several = await api.document("readings", meter=WHOLE, fields="start,energy,flags")
    assert [{**each, "meter": None} for each in several["data"]] == [
        {**each, "meter": None} for each in wanted[0][1]
    ]
    same = ("first_reading", "last_reading", "readings", "interval")
    for document in (await api.document(f"meters/{WHOLE}"), (await api.document("meters"))):
        data = document["data"]
        (seen,) = [data] if isinstance(data, dict) else [m for m in data if m["id"] == WHOLE]
        assert [seen[name] for name in same] == [listed[name] for name in same]


async def test_hidden_meter_is_answered_by_v1_as_one_that_is_not_there(two: Api) -> None:
    await two.document("meters/seen")
    for route in ["", *sorted({f"/{r}" for r, _ in V1_ROUTES}), "/imports/1"]:
        params = {"resolution": "P1D"} if route == "/aggregates" else {}
        answers = []
        for meter in (HIDDEN, "absent"):
            two.engine.statements.clear()
            async with await two.v1(f"meters/{meter}{route}", params) as response:
                assert response.status == 404
                text = (await response.json())["detail"].replace(meter, "")
            answers.append((text, timeless(two.engine.statements)))
        assert answers[0] == answers[1], route


@pytest.mark.usefixtures("two")
async def test_grants_follow_a_user_that_is_renamed_by_sql(database: DatabaseFixture) -> None:
    """So that the next user of the name has none of them."""
    before = await database.rows("SELECT meter_id FROM grants WHERE user = 'rick'")
    await database.rows("UPDATE users SET user = 'Rick' WHERE user = 'rick'")
    found = [user for (user,) in await database.rows("SELECT user FROM grants")]
    assert found == ["Rick"] * len(before)


async def test_groups_on_as_many_days_as_there_are_grants_are_looked_up(
    two: Api, database: DatabaseFixture
) -> None:
    """Each grant begins on another day; an API key is good for all of them."""
    number = 1200
    groups = ", ".join(f"({n}, 'g{n}', '2020-01-01 00:00:00')" for n in range(1, number))
    await database.rows(f"INSERT INTO meter_groups (id, public_id, created) VALUES {groups}")
    add_member(database, "g7", meter=HIDDEN)
    revoke_all(database, "rick")
    grants = ", ".join(
        f"('rick', {n}, {n}, 'read', '{date(2010, 1, 1) + timedelta(days=n)}', '', 0)"
        for n in range(1, number)
    )
    await database.rows(
        "INSERT INTO grants (user, id, group_id, permission, first_day, granted_by, granted)"
        f" VALUES {grants}"
    )
    await database.rows("UPDATE access SET changes = changes + 1")
    assert [each["meter"] for each in await two.records("getMeters")] == [HIDDEN]
    store = two.app[DATABASE]
    viewer = Viewer("rick", scope=KeyScope(frozenset(), frozenset(range(1, number))))
    assert await store.meters.public_ids(3, await store.grants.visible(viewer)) == [HIDDEN]


async def test_list_is_the_same_where_so_many_grants_are_that_each_meter_is_looked_up(
    two: Api, database: DatabaseFixture
) -> None:
    some = report(row("1 Aug 2019 00:00:00", "1"))
    for meter in ("ended", "member"):
        await database.load(some, meter=meter, register=True, interval=900)
    add_group(database, "g")
    add_member(database, "g", meter="member", days=(day(2), day(4)))
    grant(database, "rick", group="g", days=(day(3), date.max))
    for number in range(40):
        grant(database, "rick", meter="ended", expires=number)
        grant(database, "rick", meter="seen", days=(day(number), day(number)))
    store = two.app[DATABASE]
    for of_group, shown in (("2019-01-01", ["member", "seen"]), ("2099-01-01", ["seen"])):
        database.run(f"UPDATE grants SET first_day = '{of_group}' WHERE group_id IS NOT NULL")
        page = await two.document("meters", offset="0")
        assert ([each["id"] for each in page["data"]], page["meta"]["total"]) == (shown, len(shown))
        visible = await store.grants.visible(Viewer("rick"), are_paged=True)
        assert sorted(await store.meters.public_ids(9, visible)) == shown
    assert any("LIMIT 1) IS NOT NULL" in sql for sql in two.engine.statements)
