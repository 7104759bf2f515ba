"""/v1/grants: users see their own grants, and change those of what they manage."""

from datetime import date
from typing import Any

import pytest

from tests.support.app_client import Api, Document, Serve
from tests.support.databases import DatabaseFixture
from tests.support.granting import KEY, add_group, add_key, add_member, grant, revoke_all
from tests.support.report_factory import numbered, quarters, report

MANAGED, OTHER = "managed", "other"
YEAR = (date(2019, 1, 1), date(2019, 12, 31))


@pytest.fixture
async def api(serve: Serve, database: DatabaseFixture) -> Api:
    """A service of two meters: rick manages one for a year, and may read all others."""
    for meter in (MANAGED, OTHER):
        text = report(*numbered(quarters("2019-08-01", 4)))
        await database.load(text, meter=meter, register=True)
    api = await serve(database)
    await database.rows("INSERT INTO users (user, password) VALUES ('beth', '$argon2id$')")
    for user in ("rick", "beth"):
        revoke_all(database, user)
    grant(database, "rick")
    grant(database, "rick", meter=MANAGED, days=YEAR, permission="manage")
    return api


async def asked(
    api: Api, method: str, path: str = "", key: str | None = None, **body: str
) -> tuple[int, Document]:
    headers = {"Authorization": f"Bearer {key or api.token}"}
    options: dict[str, Any] = {"json": body} if body else {}
    url = f"/v1/grants{path}"
    async with await api.client.request(method, url, headers=headers, **options) as response:
        return response.status, await response.json() if response.content_length else {}


def of_beth(database: DatabaseFixture) -> list[tuple[Any, ...]]:
    columns = "id, meter_id, group_id, permission, first_day, last_day, expires, granted_by"
    return [*database.run(f"SELECT {columns} FROM grants WHERE user = 'beth' ORDER BY id")]


async def test_grant_of_a_managed_meter_holds_from_the_next_request_on_until_it_is_removed(
    api: Api, database: DatabaseFixture
) -> None:
    ((changes,),) = database.run("SELECT changes FROM access")
    body = {"first_day": "2019-03-01", "last_day": "2019-12-31", "expires": "2099-01-01"}
    status, added = await asked(api, "POST", user="beth", meter=MANAGED, **body)
    assert status == 201
    record = added["data"]
    assert record | {"granted": None} == {
        "user": "beth",
        "number": 1,
        "meter": MANAGED,
        "group": None,
        "permission": "read",
        "first_day": "2019-03-01",
        "last_day": "2019-12-31",
        "expires": "2099-01-01T00:00:00Z",
        "granted_by": "rick",
        "granted": None,
    }
    assert added["links"]["self"] == "/v1/grants/beth/1"
    assert len(of_beth(database)) == 1
    ((more_changes,),) = database.run("SELECT changes FROM access")
    assert more_changes > changes
    # An equal one changes nothing.
    assert await asked(api, "POST", user="beth", meter=MANAGED, **body) == (status, added)
    _, listed = await asked(api, "GET", "?user=beth")
    assert listed["data"] == [record]
    assert await asked(api, "DELETE", "/beth/1") == (204, {})
    assert of_beth(database) == []
    assert (await asked(api, "DELETE", "/beth/1"))[0] == 404


@pytest.mark.parametrize("user", ["", "%00", "x" * 65])
async def test_grants_of_what_is_no_name_are_refused(api: Api, user: str) -> None:
    status, problem = await asked(api, "GET", f"?user={user}")
    assert (status, problem["detail"][:22]) == (400, "user: expected a name ")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"meter": OTHER}, 403, "the meter other"),
        ({"meter": "absent"}, 404, "there is no meter absent"),
        ({"group": "absent"}, 404, "there is no group absent"),
        ({"all": "yes"}, 403, "all meters"),
        ({}, 400, "either meter, group, or all"),
        ({"meter": MANAGED, "all": "yes"}, 400, "either meter, group, or all"),
        ({"meter": MANAGED}, 403, "on other days only"),
        ({"meter": MANAGED, "first_day": "2018-12-31", "last_day": "2019-01-31"}, 403, "days only"),
        ({"meter": MANAGED, "first_day": "2019-02-01", "last_day": "2019-01-31"}, 400, "last_day"),
        ({"meter": MANAGED, "first_day": "1 May"}, 400, "first_day: expected a day such as"),
        ({"meter": MANAGED, "expires": "2001-01-01"}, 400, "expires: expected a time to come"),
        ({"meter": MANAGED, "expires": "9999-12-31T23:59:59-14:00"}, 400, "a time to come"),
        ({"meter": MANAGED, "permission": "own"}, 400, "permission: expected any of read"),
    ],
)
async def test_grant_of_what_the_user_does_not_manage_is_refused(
    api: Api, database: DatabaseFixture, body: dict[str, str], status: int, said: str
) -> None:
    """Also where the user may read it, and where another grant gives the right on some days.

    Whoever manages nothing of it is not told which names there are.
    """
    found, problem = await asked(api, "POST", user="beth", **body)
    _, same = await asked(api, "POST", user="nobody", **body)
    assert same["detail"] == problem["detail"]
    assert (found, problem["status"]) == (status, status)
    assert said in problem["detail"]
    assert of_beth(database) == []


async def test_grant_for_a_user_that_is_not_there_is_refused(api: Api) -> None:
    days = {"first_day": "2019-01-01", "last_day": "2019-01-31"}
    status, problem = await asked(api, "POST", user="nobody", meter=MANAGED, **days)
    assert (status, problem["detail"]) == (404, "user: there is no user nobody")


async def test_list_has_own_grants_and_those_of_what_the_user_manages(
    api: Api, database: DatabaseFixture
) -> None:
    for group in ("site", "floor"):
        add_group(database, group)
    add_member(database, "site", member="floor")
    add_member(database, "floor", meter=OTHER)
    for meter in (MANAGED, OTHER):
        grant(database, "beth", meter=meter)
    grant(database, "beth", group="floor")

    async def listed() -> list[tuple[str, str | None]]:
        _, found = await asked(api, "GET")
        return [(each["user"], each["meter"] or each["group"]) for each in found["data"]]

    own = [("rick", None), ("rick", MANAGED)]
    assert await listed() == [("beth", MANAGED), *own]
    grant(database, "rick", group="site", permission="manage")
    every = [("beth", MANAGED), ("beth", OTHER), ("beth", "floor"), *own, ("rick", "site")]
    assert await listed() == every
    pages, path = [], "?limit=2"
    while path:
        _, found = await asked(api, "GET", path)
        pages.append([(each["user"], each["meter"] or each["group"]) for each in found["data"]])
        following = found["links"]["next"]
        path = following and following.removeprefix("/v1/grants")
    assert pages == [every[:2], every[2:4], every[4:]]


async def test_grants_of_what_a_managed_group_has_on_other_days_are_not_listed(
    api: Api, database: DatabaseFixture
) -> None:
    add_group(database, "site")
    add_member(database, "site", meter=OTHER, days=(date(2020, 1, 1), date(2020, 12, 31)))
    grant(database, "beth", meter=OTHER)
    grant(database, "rick", group="site", days=YEAR, permission="manage")
    _, found = await asked(api, "GET", "?user=beth")
    assert found["data"] == []


async def test_grants_of_others_are_not_shown_or_removed_by_those_who_do_not_manage_them(
    api: Api, database: DatabaseFixture
) -> None:
    grant(database, "beth", meter=OTHER)
    taken = []
    for number in (3, 1, 2):
        api.engine.statements.clear()
        status, problem = await asked(api, "DELETE", f"/beth/{number}")
        assert (status, problem["detail"]) == (404, f"grant: there is no grant {number} of beth")
        taken.append(len(api.engine.statements))
    assert taken[1] == taken[2]
    assert (await asked(api, "DELETE", "/rick/1"))[0] == 403
    assert len(of_beth(database)) == 1


async def test_grant_on_more_days_than_the_user_manages_is_not_removed(
    api: Api, database: DatabaseFixture
) -> None:
    grant(database, "beth", meter=MANAGED, permission="manage")
    status, problem = await asked(api, "DELETE", "/beth/1")
    assert (status, problem["detail"]) == (
        *(403, f"grant: you manage the meter {MANAGED} on other days only"),
    )
    assert len(of_beth(database)) == 1


async def test_key_shows_no_grants_of_what_it_is_not_good_for(
    api: Api, database: DatabaseFixture
) -> None:
    grant(database, "rick", meter=OTHER, permission="manage")
    for meter in (MANAGED, OTHER):
        grant(database, "beth", meter=meter, days=YEAR)
    add_key(database, "rick", meter=MANAGED, permission="manage")
    _, found = await asked(api, "GET", key=KEY)
    assert [(each["user"], each["meter"]) for each in found["data"]] == [
        *(("beth", MANAGED), ("rick", None), ("rick", MANAGED)),
    ]
    assert (await asked(api, "DELETE", "/beth/2", key=KEY))[0] == 404
    assert (await asked(api, "DELETE", "/beth/1", key=KEY))[0] == 204


async def test_admin_grants_everything(api: Api, database: DatabaseFixture) -> None:
    await database.rows("UPDATE users SET role = 'admin' WHERE user = 'rick'")
    assert (await asked(api, "POST", user="beth", all="yes", permission="manage"))[0] == 201
    assert [row[1:4] for row in of_beth(database)] == [(None, None, "manage")]


async def test_grant_for_a_user_of_very_many_is_added_without_a_look_at_the_others(
    api: Api, database: DatabaseFixture
) -> None:
    """Which would hold the event loop."""
    for first in range(1000, 41_000, 5000):
        rows = ", ".join(f"('beth', {n}, {n}, 'read', '', 0)" for n in range(first, first + 5000))
        await database.rows(
            "INSERT INTO grants (user, id, meter_id, permission, granted_by, granted)"
            f" VALUES {rows}"
        )
    body = {"user": "beth", "meter": MANAGED, "first_day": "2019-01-01", "last_day": "2019-01-31"}
    status, added = await asked(api, "POST", **body)
    assert status == 201
    assert (await asked(api, "POST", **body)) == (status, added)
