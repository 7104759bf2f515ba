"""Tokens that end before their time: at once, in every server, whatever tool ended them."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import jwt
import pytest

from storage.backends.schema import STATEMENTS
from storage.common.errors import Unreachable
from storage.common.passwords import hash_password
from tests.server.api.test_contract import documented
from tests.support.app_client import SECRET, Api, Serve
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.legacy_database import BEFORE_SESSIONS
from tests.support.mariadb import MariaDB
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Getting in")

REPORT = report(*numbered(quarters("2019-08-01", 4)))
RICK, OTHER = hash_password("rick"), hash_password("other")
REVOKED = documented("token_invalid") | {"message": "The token has been revoked, log in again"}


async def logged_out(api: Api) -> int:
    headers = {"SESSION": api.token}
    async with await api.client.post("/logout", headers=headers) as response:
        body = await response.json()
        assert response.status == 200 or body["status"] in ("ERROR", "Token is invalid")
        assert response.status != 503 or response.headers["Retry-After"]
        return response.status


@pytest.fixture
async def loaded(database: DatabaseFixture) -> DatabaseFixture:
    """A database of four readings that rick, with the password rick, may read."""
    await database.load(REPORT)
    await database.admit("rick")
    return database


# Logout


async def test_logout_ends_the_token_in_every_server_and_for_good(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    first, second = await serve(loaded), await serve(loaded)
    first.token = second.token = (await first.login("rick", "rick"))[1]["value_token"]
    for api in (first, second):
        assert (await api.get("ping"))[0] == (await api.get("getData"))[0] == 200
    async with await first.client.post("/logout", headers={"SESSION": first.token}) as response:
        assert response.status == 200
        assert await response.json() == documented("ping") | {"message": "Logged out"}
    restarted = await serve(loaded)
    restarted.token = first.token
    for api in (first, second, restarted):
        for path in ("ping", "getData", "getDataById?id=x"):
            assert await api.get(path) == (406, REVOKED)
        assert await logged_out(api) == 406


async def test_logout_by_the_loader_revokes_tokens_of_changes_made_meanwhile_too(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    generation = "SELECT generation FROM users WHERE user = 'rick'"
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(REPORT)
        await database.admit("rick")
        async with database.writer() as writer:
            assert await writer.engine.is_prepared()
            async with writer.audit.recorded(lambda: "{}"):
                await writer.engine.fetch("SELECT changes FROM access")
                for hashed in (OTHER, RICK, OTHER):
                    database.run(f"UPDATE users SET password = '{hashed}'")
                ((before,),) = database.run(generation)
                assert await writer.users.log_out("rick")
        ((after,),) = database.run(generation)
        ((changes,),) = database.run("SELECT changes FROM access")
    assert before < after <= changes


@pytest.mark.parametrize(
    ("route", "parameters"),
    [
        ("getDataById", '{"id": "1"}'),
        ("changePassword", '{"old_password": "rick", "new_password": "a long walk in the rain"}'),
        ("endSession", '{"id": "q3GcJw8A"}'),
        ("endOtherSessions", "{ }"),
    ],
)
async def test_token_that_is_revoked_during_the_upload_is_refused(
    serve: Serve, database: DatabaseFixture, route: str, parameters: str
) -> None:
    database.configure(auth={"own_password": True})
    await database.load(REPORT)
    await database.admit("rick")
    api = await serve(database)
    sent, rest = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield parameters[:1].encode()
        sent.set()
        await rest.wait()
        yield parameters[1:].encode()

    uploading = asyncio.create_task(
        api.client.post(
            f"/apielec/{route}",
            data=body(),
            headers={"SESSION": api.token, "Content-Type": "application/json"},
        )
    )
    await sent.wait()
    async with asyncio.timeout(10):
        while not api.engine.statements:
            await asyncio.sleep(0)
        assert await logged_out(api) == 200
        rest.set()
        async with await uploading as response:
            assert response.status == 406


async def test_logout_leaves_other_tokens_of_the_user_alone(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    ended, other = [(await api.login("rick", "rick"))[1]["value_token"] for _ in range(2)]
    api.token = ended
    assert await logged_out(api) == 200
    api.token = other
    assert (await api.get("ping"))[0] == 200


async def test_logout_needs_a_token_and_takes_no_parameter(api: Api) -> None:
    async with await api.client.post("/logout") as response:
        assert response.status == 405
        assert await response.json() == documented("token_missing")
    async with await api.client.post("/logout?x=1", headers={"SESSION": api.token}) as response:
        assert response.status == 400
    assert (await api.get("ping"))[0] == 200


async def test_logouts_at_once_of_one_token_all_succeed_or_find_it_ended(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    statuses = await asyncio.gather(*(logged_out(api) for _ in range(10)))
    assert 200 in statuses
    assert set(statuses) <= {200, 406}
    assert (await api.get("ping"))[0] == 406


async def test_loader_drops_revocations_of_expired_tokens(loaded: DatabaseFixture) -> None:
    now = int(time.time())
    for jti, expires in (("old", now - 90_000), ("late", now - 80_000), ("good", now + 60)):
        loaded.run(f"INSERT INTO revocations (jti, expires) VALUES ('{jti}', {expires})")
    await loaded.load(REPORT)
    assert {jti for (jti,) in loaded.run("SELECT jti FROM revocations")} == {"late", "good"}


async def test_logout_that_cannot_be_written_leaves_the_token_good(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded, ELECDATA_DATABASE__STATEMENT_TIMEOUT="0.2")
    if isinstance(loaded, MariadbDatabase):
        rights = f"ON {loaded.name}.revocations FROM {loaded.reader_user}@127.0.0.1"
        hosts = loaded.run(f"SELECT host FROM mysql.user WHERE user = '{loaded.reader_user}'")
        loaded.run(f"REVOKE INSERT {rights.replace('127.0.0.1', repr(hosts[0][0]))}")
        assert await logged_out(api) == 503
        assert (await api.get("ping"))[0] == 200
        await loaded.load(REPORT)
    else:
        assert isinstance(loaded, SqliteDatabase)
        with closing(sqlite3.connect(loaded.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await logged_out(api) == 503
            assert (await api.get("ping"))[0] == 200
    assert await logged_out(api) == 200
    assert (await api.get("ping"))[0] == 406


async def test_write_that_sqlite_refuses_is_an_outage(tmp_path: Path) -> None:
    with SqliteDatabase(tmp_path) as database:
        await database.load(REPORT)
        database.run("DROP TABLE revocations")
        async with database.reader() as reader:
            with pytest.raises(Unreachable, match=r"elecprod\.db cannot be written: no such table"):
                await reader._engine.execute("DELETE FROM revocations", ())


# Changes of users


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE users SET password = '{OTHER}' WHERE user = 'rick'",
        "UPDATE users SET enabled = 0 WHERE user = 'rick'",
        "UPDATE users SET user = 'beth' WHERE user = 'rick'",
        "DELETE FROM users WHERE user = 'rick'",
        "DELETE FROM users",
    ],
)
async def test_change_of_a_user_ends_all_tokens_of_the_user(
    serve: Serve, loaded: DatabaseFixture, change: str
) -> None:
    first, second = await serve(loaded), await serve(loaded)
    for api in (first, second):
        api.token = (await api.login("rick", "rick"))[1]["value_token"]
        assert (await api.get("ping"))[0] == 200
    loaded.run(change)
    for api in (first, second):
        assert await api.get("ping") == (406, REVOKED)


async def test_tokens_stay_ended_when_the_user_is_as_before(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    rick = f"INSERT INTO users (user, password) VALUES ('rick', '{RICK}')"
    for there, back in (
        ("UPDATE users SET enabled = 0", "UPDATE users SET enabled = 1"),
        ("UPDATE users SET user = 'beth'", "UPDATE users SET user = 'rick'"),
        ("DELETE FROM users", rick),
    ):
        api.token = (await api.login("rick", "rick"))[1]["value_token"]
        assert (await api.get("ping"))[0] == 200
        loaded.run(there)
        loaded.run(back)
        assert await api.get("ping") == (406, REVOKED)
    assert (await api.login("rick", "rick"))[0] == 200


async def test_change_of_another_user_or_of_a_role_ends_no_token(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    async with loaded.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        assert await writer.users.add("beth", OTHER)
        assert await writer.users.set_enabled("beth", enabled=False)
        assert await writer.users.set_role("rick", "admin")
    assert (await api.get("ping"))[0] == 200


async def test_token_costs_one_lookup_for_each_change(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)

    def lookups() -> int:
        asking = ("FROM revocations", "CALL role_of_bearer")
        return sum(any(text in sql for text in asking) for sql in api.engine.statements)

    for expected in (1, 2):
        for path in ("ping", "getData", "ping"):
            assert (await api.get(path))[0] == 200
        assert lookups() == expected
        loaded.run("INSERT INTO revocations (jti, expires) VALUES ('another', 99999999999)")


async def test_token_is_not_believed_while_the_database_is_silent(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    assert (await api.get("ping"))[0] == 200

    async def fail(_: str) -> str:
        raise Unreachable("gone")

    api.engine.step_in = fail
    for path in ("ping", "getData"):
        status, body = await api.get(path)
        assert (status, body["status"]) == (503, "ERROR")
    api.engine.step_in = None
    assert (await api.get("ping"))[0] == 200


async def test_token_is_not_believed_where_changes_are_no_longer_counted(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    loaded.run("DELETE FROM access")
    assert (await api.get("ping"))[0] == 503
    loaded.run("INSERT INTO access VALUES (1, 0)")
    assert (await api.get("ping"))[0] == 200


# A database that an older loader made


def make_older(database: DatabaseFixture, before: str = "ADD COLUMN role") -> None:
    """The database as it was before a statement of the schema, with a user.

    By default, it is as it was before there were revocations.
    """
    kind = "sqlite" if isinstance(database, SqliteDatabase) else "mysql"
    layout = STATEMENTS[kind]
    older = layout[: next(n for n, sql in enumerate(layout) if before in sql)]
    if isinstance(database, SqliteDatabase):
        database.path.parent.mkdir()
        database.run("PRAGMA journal_mode = WAL")
        older.append(f"PRAGMA user_version = {len(older)}")
    elif isinstance(database, MariadbDatabase):
        account = f"'{database.reader_user}'@'%'"
        database._run(f"CREATE DATABASE {database.name}")
        database.run(f"CREATE USER {account} IDENTIFIED BY 'reads only'")
        database.run(f"GRANT SELECT ON {database.name}.* TO {account}")
        database.run("CREATE TABLE schema_version (statements INT NOT NULL)")
        database.run(f"INSERT INTO schema_version VALUES ({len(older)})")
    for sql in older:
        database.run(sql)
    database.run(f"INSERT INTO users (user, password) VALUES ('rick', '{RICK}')")


async def test_older_database_is_served_and_the_next_loader_brings_it_up_to_date(
    serve: Serve, database: DatabaseFixture
) -> None:
    make_older(database)
    api = await serve(database)
    now = int(time.time())
    before = jwt.encode({"sub": "rick", "iat": now, "exp": now + 60, "jti": "1"}, SECRET)
    meanwhile = (await api.login("rick", "rick"))[1]["value_token"]
    for api.token in (before, meanwhile):
        assert (await api.get("getData"))[0] == 200
        assert (await api.get("getSessions"))[0] == 503
        async with await api.client.post("/logout", headers={"SESSION": api.token}) as response:
            assert response.status == 503
            assert (await response.json())["message"] == (
                "The token is still good: the database has to be brought up to date by the "
                "loader first"
            )
    await database.load(REPORT)
    for api.token in (before, meanwhile):
        assert len(await api.records("getData")) == 4
        assert await api.records("getSessions") == []
        assert await logged_out(api) == 200
        assert (await api.get("getData"))[0] == 406
    api.token = (await api.login("rick", "rick"))[1]["value_token"]
    assert (await api.get("getData"))[0] == 200


async def test_user_disabled_in_an_older_layout_is_kept_out(
    serve: Serve, database: DatabaseFixture
) -> None:
    make_older(database, BEFORE_SESSIONS)
    api = await serve(database)
    assert await api.records("getData") == []
    await database.rows("UPDATE users SET enabled = 0")
    assert await api.get("getData") == (406, REVOKED)
    assert (await api.login("rick", "rick"))[0] == 401


async def test_reader_comes_from_this_machine_alone_where_the_database_is_on_it(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(REPORT)
        hosts = database.run(f"SELECT host FROM mysql.user WHERE user = '{database.reader_user}'")
        assert {host for (host,) in hosts} <= {"localhost", "127.0.0.1"}
        assert len(hosts) == 1


# The log


async def test_login_and_logout_are_in_the_log(
    serve: Serve, loaded: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "audit")
    api = await serve(loaded)
    api.token = (await api.login("rick", "rick"))[1]["value_token"]
    assert await logged_out(api) == 200
    login, logout = [r.getMessage() for r in caplog.records if r.name == "audit"]
    assert login.startswith('login user="rick" address=127.0.0.1 role=read id=')
    assert logout.startswith('logout user="rick" address=127.0.0.1 id=')
    assert api.token not in caplog.text
