"""Users who change their own password, and who list and end their sessions."""

import asyncio
import logging
import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import encode_basic_auth

from storage.common.errors import Refused, Unreachable
from storage.common.passwords import hash_password, verify_password
from tests.support.app_client import Api, Document, Serve, token
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.mariadb import MariaDB
from tests.support.report_factory import numbered, quarters, report

pytestmark = [pytest.mark.promise("Getting in"), pytest.mark.one_database]

REPORT = report(*numbered(quarters("2019-08-01", 4)))
NEW = "a long walk in the rain"
OWN = {"ELECDATA_AUTH__OWN_PASSWORD": "true"}


@pytest.fixture
async def loaded(database: DatabaseFixture) -> DatabaseFixture:
    """A database whose user rick, with the password rick, may change it."""
    database.configure(auth={"own_password": True})
    await database.load(REPORT)
    await database.admit("rick")
    return database


async def logged_in(
    api: Api, user: str = "rick", password: str | None = None, *, agent: str = "pytest"
) -> str:
    """Log in, by default with the user's name as the password; return the token."""
    password = user if password is None else password
    headers = {"Authorization": encode_basic_auth(user, password), "User-Agent": agent}
    async with await api.client.post("/login", headers=headers) as response:
        assert response.status == 200, await response.text()
        text: str = (await response.json())["value_token"]
        return text


async def posted(api: Api, route: str, **form: str) -> tuple[int, Document]:
    return await api.get(route, method="POST", data=form)


async def changed(api: Api, old: str = "rick", new: str = NEW) -> tuple[int, Document]:
    return await posted(api, "changePassword", old_password=old, new_password=new)


async def sessions(api: Api) -> Sequence[Mapping[str, Any]]:
    return await api.records("getSessions")


def audited(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records if record.name == "audit"]
    return [re.sub(r" address=127.0.0.1| id=\S+", "", line) for line in lines]


# A user's own password


async def test_changed_password_ends_all_tokens_but_the_new_one(
    serve: Serve, loaded: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "audit")
    api = await serve(loaded)
    other, api.token = await logged_in(api), await logged_in(api)
    status, body = await changed(api)
    assert status == 200
    for ended in (other, api.token, token()):
        api.token = ended
        assert (await api.get("ping"))[0] == 406
    api.token = body["value_token"]
    assert (await api.get("ping"))[0] == 200
    assert [session["current"] for session in await sessions(api)] == ["true"]
    assert (await api.login("rick", "rick"))[0] == 401
    assert (await api.login("rick", NEW))[0] == 200
    assert audited(caplog)[2] == 'password changed user="rick"'
    assert NEW not in caplog.text


async def test_wrong_old_password_changes_nothing_and_counts_as_a_failed_login(
    serve: Serve, loaded: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "audit")
    api = await serve(loaded, ELECDATA_AUTH__ATTEMPTS="3")
    for expected in (403, 403, 403, 429):
        status, body = await changed(api, old="Hunter2")
        assert (status, body["statusCode"]) == (expected, str(expected))
    assert (await changed(api))[0] == 429
    assert (await api.login("rick", "rick"))[0] == 429
    refused = 'password change refused user="rick" reason='
    assert audited(caplog)[:4] == [f"{refused}password"] * 3 + [f"{refused}attempts"]
    assert "Hunter2" not in caplog.text
    ((stored,),) = loaded.run("SELECT password FROM users")
    assert verify_password("rick", stored)


async def test_failed_logins_put_off_a_change_too_and_a_right_old_password_forgives_them(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded, ELECDATA_AUTH__ATTEMPTS="2")
    assert (await api.login("rick", "x"))[0] == 401
    assert (await changed(api, new="short"))[0] == 400
    assert (await api.login("rick", "x"))[0] == 401
    assert (await api.login("rick", "x"))[0] == 401
    assert (await changed(api))[0] == 429


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"new_password": "too short"}, "new_password: expected 10 to 256 characters"),
        ({"new_password": "Sunshine2026"}, "new_password: expected none of the commonest"),
        ({"new_password": "rick-123456"}, "new_password: expected more than the name"),
        ({"new_password": "a lone \ud800 surrogate"}, "new_password: expected text that can"),
        ({"old_password": "\ud800", "new_password": NEW}, "old_password: expected text that can"),
        ({}, "new_password: missing"),
    ],
)
async def test_new_password_is_refused_with_what_is_wrong(
    serve: Serve, loaded: DatabaseFixture, form: dict[str, str], message: str
) -> None:
    api = await serve(loaded)
    status, body = await api.get(
        "changePassword", method="POST", json={"old_password": "rick", **form}
    )
    assert status == 400
    assert body["message"].startswith(message)
    assert (await api.login("rick", "rick"))[0] == 200


async def test_same_password_again_is_refused(serve: Serve, loaded: DatabaseFixture) -> None:
    loaded.run(f"UPDATE users SET password = '{hash_password(NEW)}'")
    api = await serve(loaded)
    api.token = await logged_in(api, password=NEW)
    status, body = await changed(api, old=NEW)
    assert (status, body["message"]) == (
        400,
        "new_password: expected another than the old one",
    )


async def test_passwords_in_the_url_are_refused(serve: Serve, loaded: DatabaseFixture) -> None:
    api = await serve(loaded)
    status, body = await api.get(
        "changePassword", {"old_password": "rick", "new_password": NEW}, method="POST"
    )
    assert status == 400
    assert body["message"].startswith("query: expected the parameters in the body")
    assert (await api.login("rick", "rick"))[0] == 200


async def test_change_that_another_one_overtakes_is_told(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    other = hash_password("another password")

    async def overtake(sql: str) -> str:
        if sql.startswith(("UPDATE users", "CALL change_password")):
            await loaded.rows(f"UPDATE users SET password = '{other}'")
        return sql

    api.engine.step_in = overtake
    assert (await changed(api))[0] == 409
    assert (await api.login("rick", "another password"))[0] == 200


async def test_password_cannot_be_changed_where_that_is_switched_off(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded, ELECDATA_AUTH__OWN_PASSWORD="false")
    status, body = await changed(api)
    assert (status, body["message"]) == (
        403,
        "Users cannot change their own passwords here (auth.own_password)",
    )
    assert (await api.login("rick", "rick"))[0] == 200


async def test_reader_may_change_passwords_only_where_that_is_asked_for(
    serve: Serve, mariadb: MariaDB, tmp_path: Path
) -> None:
    """By default not: whoever had the account could set the password of any user."""
    with MariadbDatabase(tmp_path, mariadb) as database:
        hashed = hash_password("x")
        for own_password in (None, True, None):
            database.configure(auth={"own_password": own_password})
            await database.load(REPORT)
            await database.admit("rick")
            async with database.reader() as reader:
                user = await reader.users.user("rick")
                assert user is not None
                if own_password:
                    assert await reader.users.change_password(user, hashed) is not None
                    assert await reader.users.change_password(user, hash_password("y")) is None
                else:
                    with pytest.raises(Refused, match="denied"):
                        await reader.users.change_password(user, hashed)
                for column in ("password", "role"):
                    with pytest.raises(Refused, match="denied"):
                        await reader._engine.execute(f"UPDATE users SET {column} = 'admin'", ())
        api = await serve(database, **OWN)
        api.token = await logged_in(api, password="x")
        status, body = await changed(api, old="x")
        assert status == 503
        assert body["message"] == (
            "The password is unchanged: the database has to be brought up to date by the loader "
            "first"
        )


# A user's own sessions


async def test_sessions_are_listed_with_who_began_them(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    loaded.run(
        f"INSERT INTO users (user, password) VALUES ('beth', '{hash_password('another one')}')"
    )
    api = await serve(loaded)
    await logged_in(api, "beth", "another one")
    await logged_in(api, agent="\x9b31mcurl/8.14.1 é" + "x" * 100)
    api.token = await logged_in(api, agent="pytest")
    now = time.time()
    mine, other = sorted(await sessions(api), key=lambda each: each["current"], reverse=True)
    assert (mine["current"], mine["agent"], mine["address"]) == ("true", "pytest", "127.0.0.1")
    assert (other["current"], other["agent"]) == ("false", "31mcurl/8.14.1 é" + "x" * 48)
    issued, expires = (
        time.mktime(time.strptime(mine[name], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        for name in ("issued", "expires")
    )
    assert now - 60 < issued <= now + 1
    assert expires - issued in (3599, 3600)


async def test_session_is_ended_by_its_id_on_every_server(
    serve: Serve, loaded: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "audit")
    api, second = await serve(loaded), await serve(loaded)
    second.token, api.token = await logged_in(api), await logged_in(api)
    assert (await second.get("ping"))[0] == 200
    (other,) = [each["id"] for each in await sessions(api) if each["current"] == "false"]
    assert await posted(api, "endSession", id=other) == (
        200,
        {
            "message": "Session ended",
            "status": "OK",
            "statusCode": 200,
            "values": {"numrecs": 0, "records": []},
        },
    )
    assert (await second.get("ping"))[0] == 406
    assert [each["current"] for each in await sessions(api)] == ["true"]
    assert audited(caplog)[-1] == f'session ended user="rick" session={other}'
    for ended, expected in ((other, 404), ("x", 400), ("';--____", 400)):
        assert (await posted(api, "endSession", id=ended))[0] == expected


async def test_session_of_another_user_cannot_be_ended(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    loaded.run(f"INSERT INTO users (user, password) VALUES ('beth', '{hash_password('beth')}')")
    api = await serve(loaded)
    beth, api.token = await logged_in(api, "beth"), await logged_in(api)
    ids = [row[0][-8:] for row in loaded.run("SELECT jti FROM sessions WHERE user = 'beth'")]
    assert [(await posted(api, "endSession", id=each))[0] for each in ids] == [404]
    assert (await posted(api, "endOtherSessions"))[0] == 200
    api.token = beth
    assert (await api.get("ping"))[0] == 200


async def test_all_other_sessions_are_ended(serve: Serve, loaded: DatabaseFixture) -> None:
    api = await serve(loaded)
    others = [await logged_in(api) for _ in range(3)]
    own = api.token = await logged_in(api)
    status, body = await posted(api, "endOtherSessions")
    assert (status, body["message"]) == (200, "The other sessions are ended")
    assert [each["current"] for each in await sessions(api)] == ["true"]
    for api.token in others:
        assert (await api.get("ping"))[0] == 406
    api.token = own
    assert (await api.get("ping"))[0] == 200


async def test_sessions_that_have_ended_are_not_listed(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    out = {"SESSION": await logged_in(api)}
    assert (await api.client.post("/logout", headers=out)).status == 200
    await logged_in(api)
    loaded.run("UPDATE sessions SET expires = 1 WHERE jti NOT IN (SELECT jti FROM revocations)")
    api.token = await logged_in(api)
    assert [each["current"] for each in await sessions(api)] == ["true"]


async def test_expired_sessions_are_forgotten_at_logins_some_at_a_time(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    rows = ",".join(f"('old {number}', 'x', 0, 1, 2, '', '')" for number in range(150))
    loaded.run(f"INSERT INTO sessions VALUES {rows}")
    api = await serve(loaded)
    for left in (50, 0):
        await logged_in(api)
        assert loaded.run("SELECT COUNT(*) FROM sessions WHERE user = 'x'")[0][0] == left


async def test_login_succeeds_while_another_program_writes_and_is_listed_later(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As during an import into SQLite."""
    monkeypatch.setattr("server.security.credentials.session_recorder._WAIT", 0)
    database = SqliteDatabase(tmp_path)
    await database.load(REPORT)
    api = await serve(database)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as importing:
        importing.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(10):  # less than the statement waits
            api.token = await logged_in(api)
        assert (await api.get("ping"))[0] == 200
        assert await sessions(api) == []
        importing.execute("ROLLBACK")
    async with asyncio.timeout(10):
        while not await sessions(api):
            await asyncio.sleep(0)


async def test_session_that_cannot_be_recorded_is_in_the_log(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = SqliteDatabase(tmp_path)
    await database.load(REPORT)
    api = await serve(database)

    async def fail(sql: str) -> str:
        if sql.startswith("INSERT INTO sessions"):
            raise Unreachable("locked")
        return sql

    api.engine.step_in = fail
    await logged_in(api)
    (line,) = [each.getMessage() for each in caplog.records if "session" in each.getMessage()]
    assert line.startswith("a session of user 'rick' will be missing in the list: locked")


# The commands


async def test_commands_list_and_end_the_sessions_of_a_user(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    tokens = [await logged_in(api), token()]
    for api.token in tokens:
        (listed,) = await sessions(api)
    async with loaded.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        found = await writer.users.sessions("rick")
        assert found is not None
        assert [each.described() | {"current": "false"} for each in found] == [listed]
        assert await writer.users.log_out("rick")
        assert await writer.users.sessions("rick") == []
        for api.token in tokens:
            assert (await api.get("ping"))[0] == 406
        api.token = await logged_in(api)
        assert await writer.users.remove("rick")
        assert (await api.get("ping"))[0] == 406
        assert await writer.users.add("rick", hash_password("rick"))
        assert (await api.get("ping"))[0] == 406
        assert await writer.users.sessions("rick") == []
