"""The server's account on MariaDB: it can do what the server does, and nothing more."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from storage.backends.mysql.session import Session
from storage.common.errors import Refused
from storage.factory import open_diagnostics
from tests.support.api_keys import add_key, change_key
from tests.support.app_client import Api, Serve
from tests.support.databases import MariadbDatabase
from tests.support.mariadb import MariaDB
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Getting in")

REPORT = report(*numbered(quarters("2019-08-01", 96)))
ROUTES = [
    "ping",
    "getData",
    "getData?quality=clean&columns=date,flags&format=csv",
    "getDataById?id=5,100",
    "getDataByDate?date=2019-08-01%25&time=offset",
    "getDataByRange?date=2019-08&end_date=2019-09&format=parquet",
    "getMeters?search=m",
    "getMeter",
    "getAggregate?interval=day&quality=clean",
    "getProfile",
    "getPeaks",
    "getSummary",
    "getQuality",
]
REFUSED = [
    # Nobody's hashes, names or tokens can be listed; a procedure tells of one at a time.
    "SELECT password FROM users",
    "SELECT user FROM users",
    "SELECT * FROM users",
    "UPDATE users SET role = 'admin'",
    "DELETE FROM users",
    "INSERT INTO users (user, password) VALUES ('eve', 'x')",
    # A revocation is for good.
    "SELECT jti FROM revocations",
    "DELETE FROM revocations LIMIT 1",
    "UPDATE revocations SET expires = 0",
    "INSERT INTO revocations (id, jti, expires) VALUES (9223372036854775807, 'x', 0)",
    "REPLACE INTO revocations (jti, expires) VALUES ('x', 0)",
    "TRUNCATE revocations",
    "UPDATE access SET changes = 0",
    "INSERT INTO access VALUES (2, 0)",
    # Sessions are those of one user at a time, and tokens end for good.
    "SELECT jti FROM sessions",
    "SELECT * FROM sessions",
    "INSERT INTO sessions VALUES ('x', 'morgan', 1, 1, 2, '', '')",
    "UPDATE sessions SET address = ''",
    "DELETE FROM sessions",
    "CALL change_password('x', 'morgan', 'y')",
    # API keys are looked up one at a time, by their hashes.
    "SELECT hash FROM api_keys",
    "SELECT * FROM api_key_scopes",
    "INSERT INTO api_keys VALUES ('x', 'morgan', 'x', 'manage', 1, NULL, NULL)",
    "UPDATE api_keys SET revoked = NULL",
    "DELETE FROM api_key_scopes",
    "INSERT INTO grants (user, id) VALUES ('x', 1)",
    "UPDATE grants SET permission = 'manage'",
    "DELETE FROM group_members",
    # The trail is appended to, and neither read nor changed.
    "SELECT entry FROM audit",
    "SELECT hash FROM audit_head",
    "INSERT INTO audit (id, entry, hash) VALUES (9223372036854775807, '{}', '')",
    "UPDATE audit SET entry = '{}'",
    "DELETE FROM audit",
    "TRUNCATE audit",
    "DROP TABLE audit",
    "UPDATE audit_head SET last = 0",
    "UPDATE audit_head SET hash = ''",
    "UPDATE audit_head SET pruned = 1000",
    "DELETE FROM audit_head",
    "DROP TRIGGER refuse_deleted_audit",
    "DROP PROCEDURE user_by_name",
    # Readings are read.
    "INSERT INTO consumpdata (id, date, utc) VALUES (97, '2030-01-01', '2030-01-01')",
    "UPDATE consumpdata SET energy = 0",
    "DELETE FROM consumpdata",
    "INSERT INTO readings (meter_id, id, date, utc) VALUES (1, 97, '2030-01-01', '2030-01-01')",
    "UPDATE readings SET energy = 0",
    "DELETE FROM readings",
    "DELETE FROM days",
    "DELETE FROM flags",
    "DELETE FROM meters",
    "INSERT INTO imports (version) VALUES ('x')",
    "UPDATE states SET version = 'x'",
    "DELETE FROM pages",
    "UPDATE meters SET timezone = 'UTC'",
    "CREATE TABLE extra (id INT)",
]


@pytest.fixture
async def loaded(mariadb: MariaDB, tmp_path: Path) -> MariadbDatabase:
    """A database that morgan, an admin, may read."""
    database = MariadbDatabase(tmp_path, mariadb)
    await database.load(REPORT)
    await database.admit("morgan")
    database.run("UPDATE users SET role = 'admin'")
    return database


@pytest.fixture(autouse=True)
def dropped(loaded: MariadbDatabase) -> Iterator[None]:
    yield
    loaded.drop()


async def work(api: Api, database: MariadbDatabase) -> None:
    """Do all that the server does with its database."""
    status, body = await api.login("morgan", "morgan")
    assert status == 200
    api.token = body["value_token"]
    for path in ROUTES:
        async with await api.request(path) as response:
            assert response.status == 200, path
    api.token = await add_key(database, "morgan", "a-key")
    async with await api.request("getData") as response:
        assert response.status == 200
    await change_key(database, "morgan", "a-key")
    api.token = body["value_token"]
    for path in ("/health/ready", "/metrics"):
        async with await api.client.get(path) as response:
            assert response.status == 200
    async with await api.client.post("/logout", headers={"SESSION": api.token}) as response:
        assert response.status == 200
    assert (await api.get("ping"))[0] == 406
    assert (await api.login("morgan", "wrong"))[0] == 401
    assert (await api.login("nobody", "morgan"))[0] == 401


async def manage(api: Api) -> None:
    """Do what users do with their own sessions."""
    tokens = [(await api.login("morgan", "morgan"))[1]["value_token"] for _ in range(3)]
    api.token = tokens[0]
    sessions = await api.records("getSessions")
    (other, _) = (each["id"] for each in sessions if each["current"] == "false")
    ending = {"id": str(other)}
    assert (await api.get("endSession", method="POST", data=ending))[0] == 200
    assert (await api.get("endSession", method="POST", data=ending))[0] == 404
    assert len(await api.records("getSessions")) == 2
    assert (await api.get("endOtherSessions", method="POST"))[0] == 200
    assert len(await api.records("getSessions")) == 1
    for api.token in tokens[1:]:
        assert (await api.get("ping"))[0] == 406


def account(database: MariadbDatabase) -> str:
    ((host,),) = database.run(f"SELECT host FROM mysql.user WHERE user = '{database.reader_user}'")
    return f"'{database.reader_user}'@'{host}'"


def grant_as_version_1(database: MariadbDatabase) -> None:
    """Give the account the rights that the loader of version 1.0.0 gave, and no others."""
    reader = account(database)
    database.run(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {reader}")
    database.run(f"GRANT SELECT ON {database.name}.* TO {reader}")
    database.run(f"GRANT INSERT, DELETE ON {database.name}.revocations TO {reader}")
    for (name,) in database.run(
        "SELECT routine_name FROM information_schema.routines"
        f" WHERE routine_schema = '{database.name}'"
    ):
        database.run(f"DROP PROCEDURE {name}")


async def refusals(database: MariadbDatabase) -> list[str]:
    """The statements of the list that the account is not refused."""
    allowed = []
    async with database.reader() as reader:
        for sql in REFUSED:
            try:
                await reader._engine.execute(sql, ())
            except Refused:
                continue
            allowed.append(sql)
    return allowed


async def surplus(database: MariadbDatabase) -> list[str]:
    """The rights that `elecdata check` warns of."""
    diagnostics = open_diagnostics(database.settings)
    try:
        return await diagnostics.rights_to_write()
    finally:
        await diagnostics.close()


async def test_account_serves_every_route_and_is_refused_everything_else(
    serve: Serve, loaded: MariadbDatabase
) -> None:
    api = await serve(loaded)
    await work(api, loaded)
    await manage(api)
    assert await refusals(loaded) == []
    assert await surplus(loaded) == []


async def test_right_that_is_taken_back_with_an_older_one_is_given_again_at_once(
    loaded: MariadbDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant_as_version_1(loaded)
    statements: list[str] = []
    execute = Session.execute

    async def executed(self: Session, sql: str, args: Sequence[object] = ()) -> int:
        statements.append(sql)
        return await execute(self, sql, args)

    monkeypatch.setattr(Session, "execute", executed)
    await loaded.load(REPORT)
    table = f"`{loaded.name}`.revocations"
    revoked = statements.index(f"REVOKE INSERT ON {table} FROM %s@%s")
    assert statements[revoked + 1] == f"GRANT INSERT (jti, expires) ON {table} TO %s@%s"


async def test_older_rights_serve_until_the_loader_takes_back_what_is_too_much(
    serve: Serve, loaded: MariadbDatabase
) -> None:
    grant_as_version_1(loaded)
    name = loaded.name
    assert await surplus(loaded) == [
        f"SELECT ON {name}.*",
        f"INSERT ON {name}.revocations",
        f"DELETE ON {name}.revocations",
    ]
    api = await serve(loaded)
    await work(api, loaded)
    await loaded.load(REPORT)
    await work(api, loaded)  # a server that runs meanwhile goes on
    await manage(api)
    assert await refusals(loaded) == []
    assert await surplus(loaded) == []


async def test_rights_that_the_loader_never_gave_are_left_alone(loaded: MariadbDatabase) -> None:
    loaded.run(f"GRANT CREATE TEMPORARY TABLES ON {loaded.name}.* TO {account(loaded)}")
    loaded.run(f"GRANT DELETE ON {loaded.name}.revocations TO {account(loaded)}")
    await loaded.load(REPORT)
    grants = str(loaded.run(f"SHOW GRANTS FOR {account(loaded)}"))
    assert "CREATE TEMPORARY TABLES" in grants
    assert "DELETE" not in grants


async def test_admin_that_is_also_the_reader_keeps_its_rights(loaded: MariadbDatabase) -> None:
    before = loaded.run("SHOW GRANTS")
    section = loaded.section()
    loaded.configure(database={**section, "reader": section["admin"]})
    await loaded.load(REPORT)
    assert loaded.run("SHOW GRANTS") == before


async def test_imports_go_on_where_somebody_else_looks_after_the_accounts(
    serve: Serve, loaded: MariadbDatabase
) -> None:
    grant_as_version_1(loaded)
    name = f"{loaded.name[:20]}_dba"
    loaded.run(f"CREATE USER {name}@'%' IDENTIFIED BY 'grants nothing'")
    try:
        rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, TRIGGER"
        loaded.run(f"GRANT {rights}, CREATE TEMPORARY TABLES ON {loaded.name}.* TO {name}@'%'")
        admin = {"user": name, "password": "grants nothing"}
        loaded.configure(database={**loaded.section(), "admin": admin})
        (summary,) = await loaded.load(REPORT)
        assert summary.imported is not None
        assert summary.imported.unchanged == 96
        await work(await serve(loaded), loaded)
    finally:
        loaded.run(f"DROP USER {name}@'%'")
