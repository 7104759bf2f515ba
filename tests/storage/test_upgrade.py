"""Databases of every older layout, which the loader takes over without a loss."""

import asyncio
import hashlib
import re

import pytest

from domain.quantities import QUANTITY_NAMES
from domain.readings_query import ReadingsQuery
from storage.backends.schema import STATEMENTS
from tests.support.databases import DatabaseFixture, MariadbDatabase
from tests.support.legacy_database import make_older
from tests.support.reference_days import kept_days, reckoned_days
from tests.support.report_factory import numbered, quarters, report, row

pytestmark = pytest.mark.promise("Bad nights")

MOMENTS = quarters("2019-08-01", 20)
LINES = [*numbered(MOMENTS[:-5]), *map(row, MOMENTS[-5:])]

LAYOUTS = [
    r"ALTER TABLE meters\s+ADD COLUMN identifier",
    r"ALTER TABLE meters\s+ADD COLUMN quality",
    r"ALTER TABLE users\s+ADD COLUMN role",
    "CREATE TABLE sessions",
    "CREATE TABLE states",
    "CREATE TABLE audit ",
    r"DROP TRIGGER (IF EXISTS )?state_after_meter",
]
"""Those that were released, each by the first statement that it lacks."""

COLUMNS = f"meter_id, id, date, utc, {', '.join(QUANTITY_NAMES)}"
CONTENTS = {
    "readings": f"SELECT {COLUMNS} FROM readings ORDER BY id",
    "flags": "SELECT * FROM flags ORDER BY reading_id",
    "pages": "SELECT * FROM pages ORDER BY first_id",
    "meters": "SELECT id, public_id, timezone, identifier, interval_seconds, quality FROM meters",
    "users": "SELECT id, user, password, enabled FROM users ORDER BY id",
    "roles": "SELECT user, role FROM users ORDER BY id",
    "revocations": "SELECT jti, expires FROM revocations",
    "sessions": "SELECT jti, user, issued FROM sessions",
    "imports": "SELECT meter_id, id, version, file, new, readings FROM imports WHERE id = 1",
}
LATER = {
    "roles": "ADD COLUMN role",
    "revocations": "CREATE TABLE revocations",
    "sessions": "CREATE TABLE sessions",
}
"""What not every layout has, by the statement with which it came."""


async def fill(database: DatabaseFixture) -> dict[str, object]:
    """Make a database with something in each table; return it all."""
    await database.load(report(*LINES))
    await database.rows(
        "INSERT INTO pages (meter_id, first_id, size, crc, deflated) VALUES (1, 1, 5, 7, '')"
    )
    user = "INSERT INTO users (user, password, role) VALUES"
    await database.rows(f"{user} ('rick', '$argon2id$none', 'admin')")
    await database.rows("INSERT INTO revocations (jti, expires) VALUES ('gone', 4000000000)")
    await database.rows(
        "INSERT INTO sessions (jti, user, generation, issued, expires, address, agent)"
        " VALUES ('here', 'rick', 1, 7, 4000000000, '', '')"
    )
    return await contents(database)


async def contents(database: DatabaseFixture) -> dict[str, object]:
    return {name: await database.rows(sql) for name, sql in CONTENTS.items()}


@pytest.mark.parametrize("following", LAYOUTS)
async def test_database_of_an_older_layout_is_taken_over_as_it_is(
    database: DatabaseFixture, following: str
) -> None:
    before = await fill(database)
    assert all(before.values())
    statements = STATEMENTS["mysql" if database.kind == "mariadb" else "sqlite"]
    (number,) = (n for n, sql in enumerate(statements) if re.match(following, sql))
    await asyncio.to_thread(make_older, database, statements[number])
    (summary,) = await database.load(report(*LINES[:7]))
    assert summary.imported is not None
    assert (summary.imported.unchanged, summary.imported.changed) == (7, 0)
    lacking = {
        name for name, part in LATER.items() if not any(part in sql for sql in statements[:number])
    }
    after = await contents(database)
    for name in CONTENTS.keys() - lacking:
        assert after[name] == before[name], name
    state = "SELECT meter_id, readings, first_id, last_id, changes, imports FROM states"
    assert [tuple(row) for row in await database.rows(state)] == [(1, 20, 1, 20, 0, 2)]
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        days = await kept_days(writer.engine)
        assert days
        assert days == await reckoned_days(writer.engine)
    view = await database.rows("SELECT id, date FROM consumpdata ORDER BY id")
    assert view == await database.rows("SELECT id, date FROM readings ORDER BY id")


async def test_shown_meter_is_known_when_the_name_of_the_database_begins_with_a_number(
    database: DatabaseFixture,
) -> None:
    if not isinstance(database, MariadbDatabase):
        return  # a file's name is no part of the view
    with MariadbDatabase(database.folder / "numbered", database.server) as other:
        other.name = f"2024_{other.name}"
        other.configure()
        await other.load(report(*LINES))
        async with other.writer() as writer:
            assert await writer.engine.is_prepared()
            assert await writer.engine.shown_meter() == 1


TABLES = (
    *("consumpdata", "users", "meters", "imports", "pages", "flags", "states"),
    *("schema_version", "access"),
)
"""What the account of a server could read before a database had many meters."""


@pytest.mark.parametrize(
    "following",
    [
        "CREATE TRIGGER forget_changed_page",
        "DROP TRIGGER IF EXISTS state_after_update",
        "CREATE TABLE days",
        "UPDATE states SET\n    version",
    ],
)
async def test_server_reads_on_when_a_takeover_stops_after_the_table_has_its_new_name(
    database: DatabaseFixture, following: str
) -> None:
    if not isinstance(database, MariadbDatabase):
        return  # the file changes as a whole
    await fill(database)
    expected = await database.records()
    await asyncio.to_thread(make_older, database, following)
    reader = f"'{database.reader_user}'@'localhost'"
    await database.rows(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {reader}")
    for table in TABLES:
        await database.rows(f"GRANT SELECT ON {database.name}.{table} TO {reader}")
    assert await database.records() == expected
    first = ReadingsQuery(limit=3, descending=True)
    assert await database.records(first) == expected[:-4:-1]
    changed = "UPDATE readings SET energy = 7 WHERE id = 20"
    async with database.reader() as server:
        before = await server.state()
        await database.rows(changed)
        assert (await server.state()).version != before.version
    assert (await database.records())[-1]["energy"] == "7.00000"
    assert await database.rows("SELECT * FROM pages") == ()
    await database.load(report(*LINES[:7]))
    assert (await database.records())[:-1] == expected[:-1]


@pytest.mark.parametrize("following", [None, LAYOUTS[0], LAYOUTS[-1]])
async def test_every_table_has_a_primary_key(
    database: DatabaseFixture, following: str | None
) -> None:
    await fill(database)
    if following is not None:
        statements = STATEMENTS["mysql" if database.kind == "mariadb" else "sqlite"]
        (older,) = (sql for sql in statements if re.match(following, sql))
        await asyncio.to_thread(make_older, database, older)
        await database.load(report(*LINES[:7]))
    tables = {
        "mariadb": (
            "SELECT table_name, (SELECT COUNT(*) FROM information_schema.statistics AS s"
            " WHERE s.table_schema = t.table_schema AND s.table_name = t.table_name"
            " AND index_name = 'PRIMARY') FROM information_schema.tables AS t"
            " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
        ),
        "sqlite": (
            "SELECT name, (SELECT MAX(pk) FROM pragma_table_info(t.name)) FROM sqlite_master AS t"
            " WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ),
    }
    found = await database.rows(tables[database.kind])
    assert len(found) > 10
    assert [table for table, columns in found if not columns] == []


async def test_audit_trail_is_taken_over_as_it_is(database: DatabaseFixture) -> None:
    await fill(database)
    following = LAYOUTS[-1]
    statements = STATEMENTS["mysql" if database.kind == "mariadb" else "sqlite"]
    (number,) = (n for n, sql in enumerate(statements) if re.match(following, sql))
    await asyncio.to_thread(make_older, database, statements[number])
    append = "UPDATE audit_head SET entry = '{}'"
    if database.kind == "sqlite":
        linked = hashlib.sha256(f"{'0' * 64}\n1\n{{}}".encode()).hexdigest()
        append = f"INSERT INTO audit (id, entry, hash) VALUES (1, '{{}}', '{linked}')"
    await database.rows(append)
    await database.load(report(*LINES[:7]))
    entries = await database.rows("SELECT id, entry FROM audit ORDER BY id")
    assert [number for number, _ in entries] == [1, 2]
    assert entries[0][1] == "{}"
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        assert (await writer.audit.verify()).fault is None


async def test_readings_of_no_known_meter_are_given_one_without_an_import(
    database: DatabaseFixture,
) -> None:
    await fill(database)
    before = await database.records()
    statements = STATEMENTS["mysql" if database.kind == "mariadb" else "sqlite"]
    (following,) = (sql for sql in statements if re.match(LAYOUTS[-1], sql))
    await asyncio.to_thread(make_older, database, following)
    await database.rows("DELETE FROM meters")
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        await writer.engine.admit_reader()
    assert await database.records() == before
    ((public_id, timezone),) = await database.rows("SELECT public_id, timezone FROM meters")
    assert (public_id, timezone) == ("main", "Europe/Madrid")
