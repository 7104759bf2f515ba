"""The state of the data, counted by the database itself, whoever changes readings."""

import asyncio
import re
from pathlib import Path

import pytest

from storage.backends.schema import STATEMENTS, Feature
from storage.common.errors import NotPrepared
from storage.database import DataState
from storage.readings.page_store import PAGE_READINGS
from tests.storage.test_backup import another, copy
from tests.support.databases import DatabaseFixture, MariadbDatabase
from tests.support.legacy_database import make_older
from tests.support.report_factory import numbered, quarters, report, row

pytestmark = pytest.mark.promise("Bad nights")

MOMENTS = quarters("2019-08-01", 20)
COLUMNS = "id, date, energy, meter_id, utc"


def inserted(database: DatabaseFixture, number: int, verb: str = "INSERT") -> str:
    """A statement that adds a reading, the quarter of an hour with this number in 2030."""
    utc = 1_893_456_000 + number * 900
    moment = f"2030-01-01 {number // 4:02}:{number % 4 * 15:02}:00"
    instant = f"'{moment}'" if database.kind == "mariadb" else str(utc)
    return f"{verb} INTO readings ({COLUMNS}) VALUES ({number}, '{moment}', 7, 1, {instant})"


async def state(database: DatabaseFixture) -> DataState:
    async with database.reader() as reader:
        return await reader.state()


@pytest.mark.parametrize(
    ("change", "is_correction"),
    [
        ("UPDATE readings SET energy = 9 WHERE id = 3", True),
        ("DELETE FROM readings WHERE id = 3", True),
        ("DELETE FROM readings WHERE id = 10", True),
        ("UPDATE readings SET id = 30 WHERE id = 3", True),
        ("UPDATE meters SET timezone = 'Europe/Lisbon'", False),
    ],
)
async def test_change_by_another_program_makes_another_version(
    database: DatabaseFixture, change: str, *, is_correction: bool
) -> None:
    await database.load(report(*numbered(MOMENTS[:10])))
    async with database.reader() as reader:
        before = await reader.state()
        await database.rows(change)
        after = await reader.state()
    assert after.version != before.version
    assert (after.corrections > before.corrections) == is_correction
    assert await state(database) == after


async def test_readings_that_another_program_adds_make_another_version(
    database: DatabaseFixture,
) -> None:
    await database.load(report(*numbered(MOMENTS[:10])))
    await database.rows("DELETE FROM readings WHERE id = 3")
    states = [await state(database)]
    for number in (11, 12, 3):  # two that follow, and one in a gap
        await database.rows(inserted(database, number))
        states.append(await state(database))
    assert len({each.version for each in states}) == 4
    corrections = [each.corrections - states[0].corrections for each in states]
    assert corrections == [0, 0, 0, 1]
    assert [each.last_id for each in states] == [10, 11, 12, 12]
    assert len(await database.records()) == 12


async def test_reading_that_another_one_replaces_is_a_correction(
    database: DatabaseFixture,
) -> None:
    await database.load(report(*numbered(quarters("2030-01-01", PAGE_READINGS))))
    before = await state(database)
    # Its instant is that of the tenth reading, whose page is stored.
    await database.rows(inserted(database, 5, "REPLACE").replace("(5,", "(5000,"))
    after = await state(database)
    assert after.corrections > before.corrections
    ids = [record["id"] for record in await database.records()]
    assert "10" not in ids
    assert ids[-1] == "5000"


async def test_reading_that_another_program_does_not_replace_keeps_its_flags(
    database: DatabaseFixture,
) -> None:
    is_mariadb = database.kind == "mariadb"
    await database.load(report(*(row(moment) for moment in quarters("2030-01-01", 10))))
    before = await database.rows("SELECT reading_id, flags FROM flags")
    assert len(before) == 10
    insert = inserted(database, 5, "INSERT IGNORE" if is_mariadb else "INSERT OR IGNORE")
    await database.rows(insert.replace("(5,", "(5000,"))
    assert await database.rows("SELECT reading_id, flags FROM flags") == before


async def test_import_is_a_correction_only_where_it_changes_what_was_there(
    database: DatabaseFixture,
) -> None:
    await database.load(report(*numbered(MOMENTS[:10])))
    states = [await state(database)]
    for lines in (
        numbered(quarters("2019-08-02", 4), 11),
        numbered(MOMENTS[:10]),
        numbered(quarters("2019-07-01", 4)),  # late, but of no consequence to the others
        numbered(MOMENTS[:1], 500),
    ):
        await database.load(report(*lines))
        states.append(await state(database))
    assert len({each.version for each in states}) == 5
    corrections = [each.corrections - states[0].corrections for each in states]
    assert corrections == [0, 0, 0, 0, 1]
    assert all(each.span for each in states)


async def test_late_reading_that_changes_the_flag_of_another_one_is_a_correction(
    database: DatabaseFixture,
) -> None:
    """With the reading before it, that much energy is no longer the sum of a gap."""
    lines = [row(moment, "1", "", "", "9") for moment in MOMENTS]
    lines[12] = row(MOMENTS[12], "8", "", "", "9")
    await database.load(report(*lines[:11], *lines[12:]))
    before = await state(database)
    assert await database.rows("SELECT reading_id, flags FROM flags") in ([(12, 2)], ((12, 2),))
    await database.load(report(lines[11]))
    assert (await state(database)).corrections > before.corrections


async def test_import_without_the_row_of_the_state_says_so(database: DatabaseFixture) -> None:
    await database.load(report(*numbered(MOMENTS[:2])))
    await database.rows("DELETE FROM states")
    with pytest.raises(NotPrepared, match="the table states has lost its row"):
        await database.load(report(*numbered(MOMENTS[:3])))


async def test_emptied_table_that_is_filled_again_is_another_version(
    database: DatabaseFixture,
) -> None:
    """TRUNCATE fires no trigger, and leaves pages and flags behind."""
    text = report(*numbered(quarters("2019-08-01", PAGE_READINGS)))
    await database.load(text)
    before = await state(database)
    is_mariadb = database.kind == "mariadb"
    await database.rows("TRUNCATE readings" if is_mariadb else "DELETE FROM readings")
    empty = await state(database)
    assert (empty.is_empty, empty.span) == (True, None)
    assert empty.version != before.version
    assert not await database.records()
    numbers = (
        f"seq_1_to_{PAGE_READINGS}"
        if is_mariadb
        else "(WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n"
        f" WHERE seq < {PAGE_READINGS}) SELECT seq FROM n)"
    )
    utc = "'2030-01-01' + INTERVAL seq * 900 SECOND" if is_mariadb else "seq * 900"
    await database.rows(
        f"INSERT INTO readings ({COLUMNS})"
        f" SELECT seq, '2030-01-01 00:00:00', 7, 1, {utc} FROM {numbers} AS numbers"
    )
    after = await state(database)
    assert after.version not in (before.version, empty.version)
    assert after.corrections > before.corrections
    records = await database.records()
    assert len(records) == PAGE_READINGS
    assert {record["date"] for record in records} == {"2030-01-01 00:00:00"}


async def test_database_without_any_import_has_a_version_that_moves(
    database: DatabaseFixture,
) -> None:
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        await writer.engine.admit_reader()
        await writer.engine.begin()
        await writer.meters.register("main", "Europe/Madrid")
        await writer.engine.commit()
    states = [await state(database)]
    for number in (1, 2):
        await database.rows(inserted(database, number))
        states.append(await state(database))
    assert len({each.version for each in states}) == 3
    assert [each.is_empty for each in states] == [True, False, False]


async def test_loader_killed_in_a_first_import_leaves_no_reading_uncounted(
    database: DatabaseFixture,
) -> None:
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        await writer.engine.begin()
    await database.load(report(*numbered(MOMENTS[:1])))
    before = await state(database)
    await database.rows(inserted(database, 2))
    assert (await state(database)).version != before.version


async def test_restored_database_has_a_version_of_its_own(
    database: DatabaseFixture, tmp_path: Path
) -> None:
    await database.load(report(*numbered(MOMENTS[:10])))
    before = await state(database)
    file = str(tmp_path / "backup")
    assert (await asyncio.to_thread(copy, database, file)).exit_code == 0
    with another(database, tmp_path / "other") as other:
        assert (await asyncio.to_thread(copy, other, "--restore", file)).exit_code == 0
        async with other.writer() as writer:
            async for _ in writer.engine.prepare():
                pass
            await writer.engine.admit_reader()
        after = await state(other)
    assert after.version != before.version
    assert after.corrections != before.corrections
    assert after.span == before.span


@pytest.mark.parametrize("kind", ["imported", "never imported"])
async def test_older_schema_is_served_and_upgraded(database: DatabaseFixture, kind: str) -> None:
    await database.load(report(*numbered(MOMENTS[:10])))
    if kind == "never imported":
        await database.rows("DELETE FROM imports")
    make_older(database)
    before = await state(database)
    assert before.mark is None
    assert len(await database.records()) == 10
    await database.load(report(*numbered(MOMENTS[:10], 50)))
    after = await state(database)
    assert after.version != before.version
    assert after.mark is not None
    assert (await database.records())[0]["energy"] == "50.00000"


async def test_account_that_may_not_read_the_states_is_given_the_right(
    database: DatabaseFixture,
) -> None:
    """One that the original's administrator gave rights on single tables, say."""
    if not isinstance(database, MariadbDatabase):
        return
    await database.load(report(*numbered(MOMENTS[:1])))
    reader = f"'{database.reader_user}'@'localhost'"
    database.run(f"REVOKE SELECT ON {database.name}.states FROM {reader}")
    await database.load(report(*numbered(MOMENTS[:2])))
    assert len(await database.records()) == 2


# Servers list imports only where there are grants, which come after these.
_OF_IMPORTS = ("ALTER TABLE imports\n", "CREATE TABLE replaced_values ")
# Servers make no figures before the table intervals is there, which comes after these.
_BEFORE_DAYS = (r"ALTER TABLE (days|readings|replaced_values)\s",)
# Of a meter that has a single interval, servers do not ask for it.
_OF_INTERVALS = ("REPLACE INTO intervals ",)
# Grants, keys and changes of grants each have a sign of their own, which comes last.
_BEFORE_GRANTS = ("ALTER TABLE grants\n", "CREATE TRIGGER (grant_new|forget_deleted)_user ")
_BEFORE_KEYS = ("CREATE TABLE api_key_scopes ",)
_FOR_SQL_CLIENTS = ("CREATE TRIGGER follow_renamed_user ",)
_BEFORE_GRANT_NUMBERS = (
    *("CREATE TRIGGER count_(changed|removed|new)_grant ", "CREATE TABLE grant_numbers "),
    *("CREATE TRIGGER keep_(removed|moved)_number ", "DROP TRIGGER IF EXISTS grant_new_user"),
)
# Figures need blocks, too, whose sign comes last.
_OF_BLOCKS = ("CREATE TABLE blocks ", "CREATE TRIGGER forget_block_of_page ")


def test_view_comes_after_all_that_servers_need_with_it() -> None:
    """A server takes the view for the sign that all of it is there.

    SQLite makes all of it at once. What comes after it has a sign of its own.
    """
    statements = STATEMENTS["mysql"]
    (place,) = (n for n, sql in enumerate(statements) if re.match(Feature.METERS.value, sql))
    signs = [
        *(*(feature.value for feature in Feature), *_OF_IMPORTS),
        *(*_BEFORE_DAYS, *_OF_INTERVALS, *_BEFORE_GRANTS, *_BEFORE_KEYS),
        *(*_BEFORE_GRANT_NUMBERS, *_FOR_SQL_CLIENTS, *_OF_BLOCKS),
    ]
    assert all(any(re.match(sign, sql) for sign in signs) for sql in statements[place:])
    places = [n for n, sql in enumerate(statements) if re.match(Feature.DAYS.value, sql)]
    before = [n for n, sql in enumerate(statements) if re.match(_BEFORE_DAYS[0], sql)]
    assert places == [max(before)]
