"""The audit trail of the server: what it tells, and what floods and outages do to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest

from server.security.audit_trail import (
    AUDIT_TRAIL,
    MAX_KINDS,
    WRITTEN_OF_EQUAL,
    AuditTrail,
    Event,
)
from storage.audit import make_entry
from tests.server.security.test_revocation import make_older
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Getting in")

REPORT = report(*numbered(quarters("2019-08-01", 192)))


@pytest.fixture
async def loaded(database: DatabaseFixture) -> DatabaseFixture:
    await database.load(REPORT)
    await database.admit("rick")
    return database


async def written(trail: AuditTrail) -> None:
    """Wait until nothing waits for the database."""
    async with asyncio.timeout(30):
        while trail.waiting:
            await asyncio.sleep(0)


async def entries(database: DatabaseFixture, event: str) -> list[dict[str, Any]]:
    """What the trail tells of an event, once it is found to be whole."""
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        assert (await writer.audit.verify()).fault is None
        contents = [row.content async for row in writer.audit.rows()]
    return [content for content in contents if content["event"] == event]


@asynccontextmanager
async def locked(database: DatabaseFixture) -> AsyncIterator[None]:
    """A loader that has appended to the trail, and not committed yet."""
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        await writer.engine.begin_change()
        await writer.audit.append(make_entry("test", result="ok", actor=None, source=None))
        yield
        await writer.engine.rollback()


async def log_out(api: Api) -> None:
    async with await api.client.post("/logout", headers={"SESSION": api.token}) as response:
        assert response.status == 200


async def test_logins_and_logouts_are_told_without_secrets(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    assert (await api.login("rick", "a secret"))[0] == 401
    assert (await api.login("nobody\n", "a secret"))[0] == 401
    api.token = (await api.login("rick", "rick"))[1]["value_token"]
    await log_out(api)
    await written(api.app[AUDIT_TRAIL])
    found = [*await entries(loaded, "login"), *await entries(loaded, "logout")]
    assert [(each["result"], each["actor"], each["source"]) for each in found] == [
        ("refused", "rick", "127.0.0.1"),
        ("refused", "nobody\n", "127.0.0.1"),
        ("ok", "rick", "127.0.0.1"),
        ("ok", "rick", "127.0.0.1"),
    ]
    details = [each["details"] for each in found]
    assert [each.get("reason") for each in details] == ["password", "unknown", None, None]
    assert details[2]["role"] == "read"
    claims = jwt.decode(api.token, options={"verify_signature": False})
    assert details[3]["jti"] == claims["jti"]
    assert "a secret" not in str(found)
    assert api.token not in str(found)


async def test_changes_of_the_own_account_are_told_with_the_token_that_made_them(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    loaded.configure(auth={"own_password": True})
    await loaded.load(REPORT)
    api = await serve(loaded)
    tokens = [(await api.login("rick", "rick"))[1]["value_token"] for _ in range(2)]
    own, other = (jwt.decode(each, options={"verify_signature": False}) for each in tokens)
    api.token = tokens[0]
    ended = other["jti"][-8:]
    form = {"old_password": "a secret", "new_password": "a long walk in the rain"}
    for route, data, expected in (
        ("changePassword", form, 403),
        ("endSession", {"id": ended}, 200),
        ("endSession", {"id": ended}, 404),
        ("endOtherSessions", {}, 200),
        ("changePassword", form | {"old_password": "rick"}, 200),
    ):
        assert (await api.get(route, method="POST", data=data))[0] == expected, route
    await written(api.app[AUDIT_TRAIL])
    found = [
        each
        for name in ("password change", "session ended", "other sessions ended", "password changed")
        for each in await entries(loaded, name)
    ]
    assert [(each["event"], each["result"], each["actor"]) for each in found] == [
        ("password change", "refused", "rick"),
        ("session ended", "ok", "rick"),
        ("other sessions ended", "ok", "rick"),
        ("password changed", "ok", "rick"),
    ]
    details = [each["details"] for each in found]
    assert {each["jti"] for each in details} == {own["jti"]}
    assert details[0]["reason"] == "password"
    assert details[1]["session"] == ended
    assert "a secret" not in str(found)
    assert "a long walk" not in str(found)


@pytest.mark.parametrize("cache", ["600", "0"])
async def test_export_is_told_of_each_time_and_a_day_is_not(
    serve: Serve, loaded: DatabaseFixture, cache: str
) -> None:
    api = await serve(loaded, ELECDATA_CACHE__TTL=cache)
    for path in ("getDataByDate?date=2019-08-01%25", "getData?limit=191", "getMeter"):
        assert (await api.get(path))[0] == 200
    tag = ""
    for path in (*["getData?format=csv"] * 3, "getDataByDate?date=2019-08%25"):
        async with await api.request(path) as response:
            await response.read()
            assert response.status == 200
            tag = response.headers["ETag"]
            assert "export" not in response.headers
        await api.settled()
    for known in (tag, "*"):
        async with await api.request(path, headers={"If-None-Match": known}) as response:
            assert response.status == 304
    await written(api.app[AUDIT_TRAIL])
    found = await entries(loaded, "export")
    assert [(each["actor"], each["details"]["readings"]) for each in found] == [("rick", 192)] * 4
    assert found[0]["details"]["query"].startswith("readings csv ")


async def test_flood_of_failed_logins_or_exports_is_counted_rather_than_written(
    loaded: DatabaseFixture,
) -> None:
    async with loaded.reader() as reader:
        trail = AuditTrail(reader.audit)
        for number in range(2000):
            name = f"user {number}" if number % 2 else "rick"
            reason = ("reason", "unknown")
            trail.record(Event("login", "refused", name, "127.0.0.1", reason), {})
            asked = ("query", str(number))
            trail.record(Event("export", "ok", "rick", "127.0.0.1", asked), {})
        trail.record(Event("login", "ok", "morty", "127.0.0.1"), {})
        await trail.close()
    found = await entries(loaded, "login")
    refused = [each for each in found if each["result"] == "refused"]
    assert sum(each["details"].get("more", 1) for each in refused) == 2000
    assert len(refused) <= MAX_KINDS["refused"] + WRITTEN_OF_EQUAL + 1
    exports = await entries(loaded, "export")
    assert sum(each["details"].get("more", 1) for each in exports) == 2000
    assert len(exports) == MAX_KINDS["export"] + 1
    assert [each["actor"] for each in found if each["result"] == "ok"] == ["morty"]
    (rick,) = [each for each in refused if each["actor"] == "rick" and "more" in each["details"]]
    assert rick["details"]["more"] == 1000 - WRITTEN_OF_EQUAL


async def test_login_works_while_the_trail_cannot_be_written(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded, ELECDATA_DATABASE__STATEMENT_TIMEOUT="1")
    trail = api.app[AUDIT_TRAIL]
    async with locked(loaded):
        assert (await api.login("rick", "rick"))[0] == 200
        assert (await api.get("ping"))[0] == 200
        async with await api.client.get("/metrics") as response:
            assert "elecdata_audit_entries_waiting 1.0" in await response.text()
    await written(trail)
    assert len(await entries(loaded, "login")) == 1


async def test_entries_wait_in_bounded_memory_and_the_loss_of_others_is_told(
    loaded: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.security.audit_trail.MAX_WAITING_ENTRIES", 20)
    async with loaded.reader() as reader:
        trail = AuditTrail(reader.audit)
        async with locked(loaded):
            for number in range(25):
                trail.record(Event("test", "ok", f"user {number}"), {})
            assert (trail.waiting, trail.lost) == (20, 5)
        await written(trail)
        await trail.close()
    (lost,) = await entries(loaded, "audit entries lost")
    assert lost["details"]["entries"] == 5


@pytest.mark.parametrize("before", ["ADD COLUMN role", "CREATE TABLE audit ("])
async def test_older_database_works_without_a_trail(
    serve: Serve, database: DatabaseFixture, caplog: pytest.LogCaptureFixture, before: str
) -> None:
    make_older(database, before)
    api = await serve(database)
    for _ in range(2):
        assert (await api.login("rick", "rick"))[0] == 200
        await written(api.app[AUDIT_TRAIL])
    told = [r.getMessage() for r in caplog.records if "audit trail" in r.getMessage()]
    assert told == ["audit trail: the database has none yet: run `elecdata load`"]
    await database.load(REPORT)
    assert (await api.login("rick", "rick"))[0] == 200
    await written(api.app[AUDIT_TRAIL])
    assert len(await entries(database, "login")) == 1


async def test_export_by_v1_is_told_of_and_a_day_is_not(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    for path in ("meters/main/readings", "readings?meter=main"):
        for params in ("from=2019-08-01&to=2019-08-02", "format=csv", "format=csv"):
            async with await api.v1(f"{path}{'&' if '?' in path else '?'}{params}") as response:
                await response.read()
                assert response.status == 200
            await api.settled()
    await written(api.app[AUDIT_TRAIL])
    found = await entries(loaded, "export")
    assert [(each["actor"], each["details"]["readings"]) for each in found] == [("rick", 192)] * 4
    assert found[0]["details"]["query"].startswith("v1 /v1/meters/main/readings?format=csv")
