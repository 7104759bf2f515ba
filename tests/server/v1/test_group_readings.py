"""Readings of a group as one stream, by meter and time."""

from datetime import date
from typing import Any

import pytest

from domain.access import Window
from storage.access.groups import GroupProperties, MemberProperties
from storage.access.targets import Target
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import report, row

TIMES = ["02 Sep 2019 23:45:00", "03 Sep 2019 00:00:00", "03 Sep 2019 23:45:00"]
TIMES += ["04 Sep 2019 00:00:00", "05 Sep 2019 12:00:00"]
STARTS = ["2019-09-02T23:45", "2019-09-03T00:00", "2019-09-03T23:45"]
STARTS += ["2019-09-04T00:00", "2019-09-05T12:00"]
SECOND, THIRD, FOURTH = (date(2019, 9, day) for day in (2, 3, 4))
MEMBERS = {
    "h": [
        MemberProperties(Target("a"), window=Window(SECOND, SECOND)),
        MemberProperties(Target("b"), sign=-1, window=Window(last=THIRD)),
        MemberProperties(Target("c")),
        MemberProperties(Target("d"), window=Window(FOURTH)),
    ],
    "g": [
        MemberProperties(Target(group="h"), window=Window(last=THIRD)),
        MemberProperties(Target("b"), window=Window(THIRD)),
        MemberProperties(Target("a"), window=Window(FOURTH)),
    ],
}
EXPECTED = [
    *(("a", STARTS[place]) for place in (0, 3, 4)),
    *(("b", start) for start in STARTS),
    *(("c", start) for start in STARTS[:3]),
]
"""The meter d is in h only on days on which h is not in g."""


@pytest.fixture
async def api(serve: Serve, database: DatabaseFixture) -> Api:
    """The group g, with some meters in several ways, and e, which is in no group."""
    database.configure(api_users={"rick": "morty"}, meter={"default": "a"})
    for place, meter in enumerate("abcde"):
        rows = [row(time, str(place)) for time in TIMES]
        await database.load(report(*rows), meter=meter, register=True)
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        await writer.engine.begin_change()
        for group, members in MEMBERS.items():
            await writer.groups.add(GroupProperties(group))
            for member in members:
                await writer.groups.add_member(group, member)
        await writer.engine.commit()
    return await serve(database)


def grant(database: DatabaseFixture, first: str, last: str, on: str = "g") -> None:
    """Let rick see some days of a group, and nothing else."""
    database.run("DELETE FROM grants")
    database.run(
        "INSERT INTO grants (user, id, group_id, permission, first_day, last_day, granted_by,"
        f" granted) SELECT 'rick', 1, id, 'read', {first}, {last}, 'beth', 0"
        f" FROM meter_groups WHERE public_id = '{on}'"
    )
    database.run("UPDATE access SET changes = changes + 1")


def told(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["meter"], each["start"][:16]) for each in document["data"]]


async def test_meters_come_once_with_all_days_of_their_memberships(api: Api) -> None:
    document = await api.document("readings", group="g", fields="start,energy")
    assert told(document) == EXPECTED
    assert {each["meter"]: int(each["energy"]) for each in document["data"]} == {
        "a": 0,
        "b": 1,
        "c": 2,
    }
    assert document["meta"]["group"] == "g"
    same = await api.document("groups/g/readings", fields="start,energy")
    assert (same["data"], same["meta"]) == (document["data"], document["meta"])
    counts = [(each["meter"], each["count"]) for each in document["meta"]["meters"]]
    assert counts == [("a", 3), ("b", 5), ("c", 3)]
    params = {"group": "g", "fields": "start", "format": "csv"}
    async with await api.v1("readings", params) as response:
        assert response.headers["X-Record-Count"] == str(len(EXPECTED))
        lines = (await response.text()).split()[1:]
    assert [line[:18] for line in lines] == [f"{meter},{start}" for meter, start in EXPECTED]


@pytest.mark.parametrize("limit", [1, 3, 4, 100])
async def test_group_of_more_meters_than_fit_comes_page_by_page(
    api: Api, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr("server.v1.readings._MAX_METERS", 2)
    async with await api.v1("readings", {"group": "g"}) as response:
        assert response.status == 400
        detail = (await response.json())["detail"]
    assert detail == (
        "limit: expected with more than 2 meters, which come page by page: the group has 3"
    )
    found = []
    async for document in api.pages(f"/v1/readings?group=g&fields=start&limit={limit}"):
        assert len(document["data"]) <= limit
        assert len(document["meta"]["meters"]) <= 2
        found += told(document)
    assert found == EXPECTED


async def test_cursor_expires_when_its_meter_leaves_the_group(
    api: Api, database: DatabaseFixture
) -> None:
    document = await api.document("readings", group="g", limit="4")
    database.run(
        "DELETE FROM group_members WHERE meter_id IN (SELECT id FROM meters WHERE public_id = 'b')"
    )
    database.run("UPDATE access SET changes = changes + 1")
    headers = {"Authorization": f"Bearer {api.token}"}
    url = api.client.make_url(document["links"]["next"])
    async with api.client.session.get(url, headers=headers) as response:
        assert response.status == 410


async def test_windows_of_the_user_clip_the_days_of_each_member(
    api: Api, database: DatabaseFixture
) -> None:
    params = {"group": "g", "fields": "start"}
    whole = await api.document("readings", **params)
    grant(database, "'2019-09-03'", "'2019-09-04'")
    clipped = await api.document("readings", **params)
    expected = [each for each in EXPECTED if "2019-09-03" <= each[1][:10] <= "2019-09-04"]
    assert told(clipped) == expected
    assert len(expected) < len(told(whole))
    assert [each["windows"] for each in clipped["meta"]["meters"]] == [
        [{"from": "2019-09-04", "to": "2019-09-05"}],
        [{"from": "2019-09-03", "to": "2019-09-05"}],
        [{"from": "2019-09-03", "to": "2019-09-04"}],
    ]
    grant(database, "NULL", "'2019-09-01'")
    assert (await api.document("readings", **params))["data"] == []


async def test_group_that_is_not_granted_is_told_as_one_that_is_not_there(
    api: Api, database: DatabaseFixture
) -> None:
    async def told_of(group: str) -> tuple[int, str, int]:
        api.engine.statements.clear()
        async with await api.v1("readings", {"group": group}) as response:
            detail = (await response.json())["detail"]
            asked = sum("meter_groups" in each for each in api.engine.statements)
            return response.status, detail.replace(f"group {group}", "X"), asked

    grant(database, "NULL", "NULL", on="h")
    assert (await api.document("readings", group="h"))["meta"]["count"]
    hidden = await told_of("g")
    assert hidden == await told_of("z")
    assert hidden[:2] == (404, "group: there is no X")


async def test_answer_is_cached_until_a_member_or_the_group_changes(
    api: Api, database: DatabaseFixture
) -> None:
    async def asked(tag: str = "") -> tuple[int, str]:
        headers = {"If-None-Match": tag} if tag else {}
        async with await api.v1("readings", {"group": "g"}, headers=headers) as response:
            await response.read()
            return response.status, response.headers["ETag"]

    _, tag = await asked()
    await api.settled()
    api.engine.statements.clear()
    assert await asked() == (200, tag)
    assert api.engine.readings_asked == 0
    assert await asked(tag) == (304, tag)
    await database.load(report(row("05 Sep 2019 12:15:00", "1")), meter="e")
    assert await asked(tag) == (304, tag)
    for meter in "cb":
        await database.load(report(row("05 Sep 2019 12:15:00", "1")), meter=meter)
        status, later = await asked(tag)
        assert (status, later == tag) == (200, False)
        tag = later
    grant(database, "NULL", "'2019-09-03'")
    assert (await asked(tag))[0] == 200


@pytest.mark.parametrize("params", [{}, {"group": "g", "meter": "a"}])
async def test_either_meters_or_a_group_are_asked_for(api: Api, params: dict[str, str]) -> None:
    async with await api.v1("readings", params) as response:
        assert response.status == 400
        assert (await response.json())["detail"] == "meter: expected this or group, one of the two"
