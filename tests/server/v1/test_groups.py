"""Groups of /v1: their sums, members and coverage, and who sees them."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.granting import add_member
from tests.support.report_factory import quarters, report, row

WEEK = {"from": "2019-09-02", "to": "2019-09-04"}
ROUTES = ["", "/aggregates?resolution=P1D", "/summary", "/members", "/quality"]
ROUTES += ["/peaks?limit=2", "/profile?by=none"]


def lines(energy: str, count: int = 192) -> list[str]:
    return [row(moment, energy) for moment in quarters("2019-09-02", count)]


@pytest.fixture
async def api(serve: Serve, database: DatabaseFixture) -> Api:
    """The group g of a and b, and the group h of g; b ends early on its second day."""
    database.configure(api_users={"rick": "morty"}, meter={"default": "a"})
    await database.load(report(*lines("1")), meter="a", register=True)
    await database.load(report(*lines("2", 150)), meter="b", register=True)
    await database.add_group("g", "a", "b")
    database.run(
        "INSERT INTO meter_groups (id, public_id, created) VALUES (9, 'h', '2020-01-01 00:00:00')"
    )
    database.run(
        "INSERT INTO group_members (group_id, id, member_group_id, sign)"
        " SELECT 9, 1, id, 1 FROM meter_groups WHERE public_id = 'g'"
    )
    return await serve(database)


def grant(database: DatabaseFixture, first: str = "NULL", group: str = "g") -> None:
    """Let rick see a group alone."""
    database.run("DELETE FROM grants")
    database.run(
        "INSERT INTO grants (user, id, group_id, permission, first_day, granted_by, granted)"
        f" SELECT 'rick', 1, id, 'read', {first}, 'beth', 0"
        f" FROM meter_groups WHERE public_id = '{group}'"
    )
    database.run("UPDATE access SET changes = changes + 1")


async def test_sums_say_what_each_day_lacks(api: Api) -> None:
    document = await api.document("groups/g/aggregates", resolution="P1D", fields="energy", **WEEK)
    assert [day["energy"] for day in document["data"]] == [Decimal(288), Decimal(96 + 2 * 54)]
    assert [day["lacking"] for day in document["data"]] == ["", "b"]
    assert [day["members_lacking"] for day in document["data"]] == [0, 1]
    assert document["data"][1]["coverage"] == Decimal("0.78125")
    assert document["meta"]["members"] == 2
    assert document["meta"]["units"] == {"energy": "kWh", "coverage": "1"}
    summary = await api.document("groups/h/summary", **WEEK)
    assert summary["data"]["energy"] == Decimal(192 + 300)
    assert summary["data"]["lacking"] == "b"
    quality = await api.document("groups/g/quality", **WEEK)
    assert [day["present"] for day in quality["data"]] == [192, 150]
    assert "energy" not in quality["data"][0]


async def test_clean_sums_say_what_they_leave_out(api: Api, database: DatabaseFixture) -> None:
    await database.load(report(row("03 Sep 2019 13:30:00", "99", "0", "4", "4")), meter="b")
    for path in ("aggregates", "summary", "members"):
        params = {"resolution": "P1D"} if path == "aggregates" else {}
        async with await api.v1(f"groups/g/{path}", {**params, "quality": "clean"}) as response:
            assert response.headers["X-Left-Out-Readings"] == "1"
            meta = (await response.json())["meta"]
        assert meta["left_out"] == {"readings": 1, "energy": 99}
        assert "left_out" not in (await api.document(f"groups/g/{path}", **params))["meta"]


@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_of_sums_are_those_of_one_answer(
    api: Api, database: DatabaseFixture, limit: int
) -> None:
    await database.load(report(row("03 Sep 2019 13:30:00", "99", "0", "4", "4")), meter="b")
    url = "/v1/groups/g/aggregates?resolution=PT6H&from=2019-09-02T03:00&quality=clean"
    whole = [each async for each in api.pages(url)]
    assert len(whole) == 1
    found, left_out = [], 0
    async for document in api.pages(f"{url}&limit={limit}"):
        assert document["meta"]["count"] == len(document["data"]) <= limit
        found += document["data"]
        left_out += document["meta"]["left_out"]["readings"]
    assert left_out == whole[0]["meta"]["left_out"]["readings"] == 1
    assert found == whole[0]["data"]
    assert [each["partial"] for each in found] == [1, 0, 0, 0, 0, 0, 0, 0]


async def test_pages_of_sums_go_on_until_earlier_ones_change(
    api: Api, database: DatabaseFixture
) -> None:
    async def following(first: dict[str, Any]) -> int:
        url = api.client.make_url(first["links"]["next"])
        headers = {"Authorization": f"Bearer {api.token}"}
        async with api.client.session.get(url, headers=headers) as response:
            return response.status

    params = {"resolution": "P1D", "limit": "1"}
    first = await api.document("groups/h/aggregates", **params)
    await database.load(report(row("05 Sep 2019 00:00:00", "1")), meter="a")
    assert await following(first) == 200
    corrected = report(row("02 Sep 2019 00:00:00", "7"))
    await database.load(corrected, meter="a", allow_corrections=True)
    assert await following(first) == 410
    first = await api.document("groups/h/aggregates", **params)
    assert await following(first) == 200
    database.run("UPDATE group_members SET sign = -1 WHERE member_group_id IS NOT NULL")
    database.run("UPDATE access SET changes = changes + 1")
    assert await following(first) == 410


async def test_members_are_ranked(api: Api) -> None:
    document = await api.document("groups/g/members", **WEEK)
    assert [(each["meter"], each["energy"]) for each in document["data"]] == [
        ("b", Decimal(300)),
        ("a", Decimal(192)),
    ]
    document = await api.document("groups/g/members", limit="1", by="energy")
    assert [each["meter"] for each in document["data"]] == ["b"]


async def test_resolution_shorter_than_an_interval_is_refused_by_name(api: Api) -> None:
    async with await api.v1("groups/g/aggregates", {"resolution": "PT5M"}) as response:
        assert response.status == 400
        told = (await response.json())["detail"]
    expected = "expected a multiple of the 900 seconds between readings of a, got 300s"
    assert told == f"resolution: {expected}"


async def test_imports_of_members_come_page_by_page_the_latest_first(
    api: Api, database: DatabaseFixture
) -> None:
    """Those of an earlier moment come last; c is in no group, and d in h on some days only."""
    for meter in "cd":
        await database.load(report(*lines("1")), meter=meter, register=True)
    await database.load(report(*lines("1")), meter="a")
    database.run("UPDATE meters SET name = 'Roof' WHERE public_id = 'a'")
    database.run("UPDATE imports SET finished = '2020-05-05 10:00:00'")
    database.run("UPDATE imports SET finished = '2020-05-04 10:00:00' WHERE id = 2")
    add_member(database, "h", meter="d", days=(date(2019, 9, 3), date(2019, 9, 4)))
    pages = [page async for page in api.pages("/v1/groups/h/imports?limit=1")]
    listed = [each for page in pages for each in page["data"]]
    found = [(each["meter"], each["name"], each["import"]) for each in listed]
    assert found == [("b", None, 1), ("a", "Roof", 1), ("a", "Roof", 2)]
    assert [page["meta"]["not_listed"] for page in pages] == [["d"]] * 3
    assert (listed[0]["added"], listed[0]["finished"]) == (150, "2020-05-05T12:00:00+02:00")
    assert listed[0]["first_reading"] == "2019-09-02T00:00:00+02:00"


async def test_imports_of_members_are_for_those_who_may_see_all_days(
    api: Api, database: DatabaseFixture
) -> None:
    grant(database)
    assert len((await api.document("groups/g/imports"))["data"]) == 2
    grant(database, first="'2019-09-03'")
    async with await api.v1("groups/g/imports") as response:
        assert response.status == 403
        assert "all days of the group" in (await response.json())["detail"]


async def test_group_that_is_not_granted_is_told_as_one_that_is_not_there(
    api: Api, database: DatabaseFixture
) -> None:
    async def told(group: str, route: str) -> tuple[int, str, int]:
        api.engine.statements.clear()
        async with await api.v1(f"groups/{group}{route}") as response:
            detail = (await response.json()).get("detail", "")
            asked = len(api.engine.statements)
            return response.status, detail.replace(f"group {group}", "X"), asked

    assert [(await told("g", route))[0] for route in ROUTES] == [200] * len(ROUTES)
    database.run("DELETE FROM grants")
    database.run("UPDATE access SET changes = changes + 1")
    await told("g", "")
    hidden = [await told("g", route) for route in ROUTES]
    assert hidden == [await told("none", route) for route in ROUTES]
    assert {each[:2] for each in hidden} == {(404, "group: there is no X")}
    assert (await api.document("groups"))["data"] == []


async def test_grant_on_a_group_covers_those_below_it_and_its_window_clips_them(
    api: Api, database: DatabaseFixture
) -> None:
    grant(database)
    assert [each["id"] for each in (await api.document("groups"))["data"]] == ["g"]
    grant(database, group="h", first="'2019-09-03'")
    assert [each["id"] for each in (await api.document("groups"))["data"]] == ["g", "h"]
    document = await api.document("groups/g/aggregates", resolution="P1D", fields="energy")
    assert [day["energy"] for day in document["data"]] == [Decimal(96 + 2 * 54)]
    assert document["meta"]["windows"] == [{"from": "2019-09-03", "to": None}]
    group = await api.document("groups/g")
    assert group["data"]["first_reading"] == "2019-09-03T00:00:00+02:00"
    members = await api.document("groups/g/members")
    assert [each["energy"] for each in members["data"]] == [Decimal(108), Decimal(96)]


async def test_member_on_other_days_does_not_show_in_a_window(
    api: Api, database: DatabaseFixture
) -> None:
    """Neither its name, its interval nor that it is there."""
    hours = [row(f"{day:02} Sep 2019 {hour:02}:00:00", "1") for day in (2, 3) for hour in range(24)]
    await database.load(report(*hours), meter="hidden", register=True)
    for group in ("g", "h"):
        add_member(database, group, meter="hidden", days=(date(2019, 9, 2), date(2019, 9, 2)))
    routes = [each.replace("?", "?from=2019-09-03&") for each in ROUTES]
    whole = [json.dumps(await api.document(f"groups/h{each}"), default=str) for each in routes]
    assert ["hidden" in text for text in whole] == [False, *[True] * 6]
    grant(database, group="h", first="'2019-09-03'")
    assert (await api.document("groups/h"))["data"]["meters"] == 2
    for route in routes[1:]:
        document = await api.document(f"groups/h{route}")
        assert document["meta"]["members"] == 2
        assert "hidden" not in json.dumps(document, default=str)


async def etag(api: Api, path: str, **headers: str) -> tuple[int, str]:
    async with await api.v1(path, headers=headers) as response:
        return response.status, response.headers["ETag"]


async def test_answer_is_kept_until_a_member_changes(api: Api, database: DatabaseFixture) -> None:
    path = "groups/g/aggregates?resolution=P1D"
    _, tag = await etag(api, path)
    await api.settled()
    api.engine.statements.clear()
    assert await etag(api, path) == (200, tag)
    assert not any("FROM days" in statement for statement in api.engine.statements)
    assert await etag(api, path, **{"If-None-Match": tag}) == (304, tag)
    async with await api.v1(path, method="HEAD") as response:
        assert response.headers["ETag"] == tag
    await database.load(report(row("05 Sep 2019 00:00:00", "1")), meter="b")
    status, later = await etag(api, path, **{"If-None-Match": tag})
    assert (status, later == tag) == (200, False)
    document = await api.document("groups/g/aggregates", resolution="P1D")
    assert len(document["data"]) == 4


async def test_table_of_all_meters_tells_which_readings_are_there(
    api: Api, database: DatabaseFixture
) -> None:
    document = await api.document("completeness", days="1")
    assert [(each["meter"], each["expected"], each["present"]) for each in document["data"]] == [
        ("a", 96, 0),
        ("b", 96, 0),
    ]
    newest = [each["newest_reading"] for each in document["data"]]
    assert newest == ["2019-09-03T23:45:00+02:00", "2019-09-03T13:15:00+02:00"]
    by_day = await api.document("completeness", days="2", by="day", search="b", format="json")
    assert [(each["meter"], each["present"]) for each in by_day["data"]] == [("b", 0)] * 2
    grant(database)
    first = await api.document("completeness", limit="1")
    assert [each["meter"] for each in first["data"]] == ["a"]
    async with api.client.get(
        first["links"]["next"], headers={"Authorization": f"Bearer {api.token}"}
    ) as response:
        assert [each["meter"] for each in (await response.json())["data"]] == ["b"]
    database.run("DELETE FROM grants")
    database.run("UPDATE access SET changes = changes + 1")
    assert (await api.document("completeness"))["data"] == []


async def test_stale_meters_can_be_listed(api: Api) -> None:
    both = ["a", "b"]
    for stale, found in (("P1D", both), ("PT36H", both), ("99999", []), ("P9000W", [])):
        for path in ("meters", "completeness"):
            document: dict[str, Any] = await api.document(path, stale=stale)
            assert [each.get("id") or each["meter"] for each in document["data"]] == found
    for wrong in ("P", "PT", "2 days", "-1", "P1Y", "1000000"):
        async with await api.v1("meters", {"stale": wrong}) as response:
            assert response.status == 400
            assert "stale: expected a duration like P2D" in (await response.json())["detail"]
