"""What both databases are asked through: connections that are free again."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from pymysql.err import OperationalError

from settings import MysqlUrl, load_settings
from storage.backends.base import ReadEngine
from storage.backends.mysql.connection import translate_error
from storage.backends.statistics import CURRENT_TIMER, QueryTimer
from storage.common.errors import NotPrepared, Refused, StorageError, Unreachable
from storage.factory import open_database
from tests.support.databases import DatabaseFixture, MariadbDatabase
from tests.support.mariadb import MariaDB
from tests.support.report_factory import numbered, quarters, report

COUNT = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000000)"
    " SELECT MAX(i) FROM n"
)


async def leave(database: DatabaseFixture, engine: ReadEngine, seconds: int) -> None:
    """Starts a statement that takes long, and lets nobody wait for it."""
    slow = f"SELECT SLEEP({seconds})" if database.kind == "mariadb" else COUNT
    running = f"SELECT 1 FROM information_schema.processlist WHERE info = '{slow}'"
    statement = asyncio.create_task(engine.fetch(slow))
    await asyncio.sleep(0)
    while database.kind == "mariadb" and not await database.rows(running):
        await asyncio.sleep(0)
    statement.cancel()
    await asyncio.wait([statement])
    assert statement.cancelled()


@pytest.mark.parametrize("ending", ["SELECT 1", "SELECT nothing", "left"])
async def test_connection_is_free_again_however_a_statement_ends(
    database: DatabaseFixture, ending: str
) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 1))))
    environ = {"ELECDATA_DATABASE__CONNECTIONS": "2"}
    reader = open_database(load_settings(database.config, environ))
    engine = reader._engine
    try:
        async with asyncio.timeout(10):
            for number in range(3):
                if ending == "left":
                    await leave(database, engine, 20 + number)
                else:
                    with suppress(StorageError):
                        await engine.fetch(ending)
            (found,) = await engine.fetch("SELECT 1")
    finally:
        await reader.close()
    assert found[0] == 1


async def test_small_statement_does_not_wait_for_long_ones(database: DatabaseFixture) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 1))))
    reader = open_database(load_settings(database.config, {}))
    engine = reader._engine
    slow = "SELECT SLEEP(20)" if database.kind == "mariadb" else COUNT
    long = [asyncio.create_task(engine.fetch(slow)) for _ in range(engine.load.connections + 2)]
    try:
        while not engine.load.waiting:
            await asyncio.sleep(0)
        # Locked by an import, SQLite has a thread wait as well.
        engine._inline = None  # type: ignore[attr-defined] # SQLite alone has it
        async with asyncio.timeout(10):
            for _ in range(2 * engine.load.connections):
                ((found,),) = await engine.fetch("SELECT COUNT(*) FROM readings", small=True)
        assert not any(task.done() for task in long)
    finally:
        for task in long:
            task.cancel()
        await asyncio.wait(long)
        async with asyncio.timeout(10):  # the permits of those that were left are back
            answers = [engine.fetch("SELECT 1") for _ in range(2 * engine.load.connections)]
            await asyncio.gather(*answers)
        await reader.close()
    assert found == 1


async def test_long_statements_of_one_user_leave_connections_to_another(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(report(*numbered(quarters("2019-08-01", 1))))
        reader = open_database(load_settings(database.config, {}))
        engine = reader._engine
        statements_of("rick")
        long = [
            asyncio.create_task(engine.fetch("SELECT SLEEP(20)"))
            for _ in range(engine.load.connections)
        ]
        try:
            await asyncio.sleep(0)
            statements_of("morgan")
            async with asyncio.timeout(10):
                ((found,),) = await engine.fetch("SELECT 1")
            assert not any(task.done() for task in long)
        finally:
            for task in long:
                task.cancel()
            await asyncio.wait(long)
            await reader.close()
        assert found == 1


async def test_clients_find_a_local_time_without_reading_the_whole_meter(
    database: DatabaseFixture,
) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 96))))
    select = "SELECT * FROM consumpdata WHERE date = '2019-08-01 12:00:00'"
    if database.kind == "mariadb":
        ((_, _, _, _, _, key, *_),) = await database.rows(f"EXPLAIN {select}")
        assert key == "meter_date"
    else:
        ((_, _, _, plan),) = await database.rows(f"EXPLAIN QUERY PLAN {select}")
        assert plan == "SEARCH readings USING INDEX readings_date (meter_id=? AND date=?)"


def statements_of(user: str) -> None:
    """Let the statements from here on, and those of tasks created from here on, be a user's."""
    timer = QueryTimer()
    timer.user = user
    CURRENT_TIMER.set(timer)


@pytest.mark.parametrize(
    ("meaning", "codes"),
    [
        (Refused, (1044, 1045, 1130, 1142, 1143, 1227, 1410, 1698, 3159)),
        (NotPrepared, (1049, 1146)),
        (Unreachable, (1020, 1040, 1205, 1213, 1969, 3024)),
    ],
)
def test_error_codes_of_mysql_have_their_meanings(
    meaning: type[StorageError], codes: tuple[int, ...]
) -> None:
    for code in codes:
        error = translate_error(OperationalError(code, "text"), MysqlUrl("db", 3306, "elecprod"))
        assert type(error) is meaning, code
        assert ("statement_timeout" in str(error)) == (code in {1969, 3024})
        assert ("another program changed" in str(error)) == (code in {1020, 1205, 1213})
