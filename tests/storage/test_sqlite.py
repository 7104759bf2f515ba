"""What SQLite alone is asked for."""

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from domain.readings_query import ReadingsQuery
from storage.access.viewer import Viewer
from storage.backends.sqlite.engine import SLOW_SECONDS, SqliteEngine
from storage.common.errors import Overtaken, Unreachable
from storage.factory import open_database
from storage.readings.page_store import PAGE_READINGS
from tests.support.app_client import Serve, Watched
from tests.support.connections import Connections
from tests.support.databases import SqliteDatabase
from tests.support.report_factory import numbered, quarters, report

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"


@pytest.fixture
async def loaded(tmp_path: Path) -> SqliteDatabase:
    database = SqliteDatabase(tmp_path)
    await database.load(report(*numbered(quarters("2019-08-01", 12))))
    return database


@contextmanager
def locked(database: SqliteDatabase) -> Iterator[sqlite3.Connection]:
    """Another program keeps everybody out."""
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        yield other


async def test_locked_file_holds_up_those_who_ask_the_database_only(
    serve: Serve, loaded: SqliteDatabase
) -> None:
    api = await serve(loaded)
    with locked(loaded) as other:
        asked = asyncio.create_task(api.records("getDataById", id="5"))
        while not api.engine.running:
            await asyncio.sleep(0)
        for _ in range(5):
            assert (await api.client.get("/swagger.json")).status == 200
        assert not asked.done()
        other.execute("COMMIT")
        (found,) = await asked
    assert found["id"] == "5"


async def test_statement_that_nobody_waits_for_is_interrupted(loaded: SqliteDatabase) -> None:
    """It would take as many naps as it counts numbers."""
    naps = 0

    def nap() -> None:
        nonlocal naps
        naps += 1
        time.sleep(0.01)

    async with loaded.reader() as reader, asyncio.timeout(10):
        engine = reader._engine
        assert isinstance(engine, SqliteEngine)
        connection = engine._connect(1.0)
        connection.create_function("nap", 0, nap)
        engine._pool._free.append(connection)
        count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)"
        statement = asyncio.create_task(engine.fetch(f"{count} SELECT nap() FROM n"))
        while not naps:
            await asyncio.sleep(0)
        statement.cancel()
        await asyncio.wait([statement])
        assert statement.cancelled()
        assert naps < 400
        assert await engine.fetch("SELECT 1") == [(1,)]


async def test_every_connection_is_closed_at_the_end(loaded: SqliteDatabase) -> None:
    async with loaded.reader() as reader:
        engine = reader._engine
        assert isinstance(engine, SqliteEngine)
        for small in (True, False):
            await engine.fetch("SELECT 1", small=small)
        connections = [engine._inline, *engine._pool._free]
    assert len(connections) == 2
    for connection in connections:
        assert connection is not None
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.execute("SELECT 1")


async def cancelled_twice(task: asyncio.Task[Any]) -> None:
    """Whoever waits for it leaves, and is told to leave again while the first is being seen to."""
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()


async def test_statement_that_is_cancelled_twice_leaves_no_connection_open(
    loaded: SqliteDatabase, connections: Connections
) -> None:
    async with loaded.reader() as reader:
        asked = asyncio.create_task(reader._engine.fetch(ENDLESS))
        while not connections.open():
            await asyncio.sleep(0)
        await cancelled_twice(asked)
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert connections.open()
    assert not connections.open()


async def test_schema_is_looked_at_without_reading_the_readings(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    await database.load(report(*numbered(quarters("2019-08-01", 4000))))
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("INSERT INTO users (user, password) VALUES ('somebody', '$argon2id$')")
    reader = open_database(database.settings)
    assert isinstance(reader._engine, SqliteEngine)
    await reader._engine.fetch("SELECT 1", small=True)
    connection = reader._engine._inline
    assert connection is not None
    hundreds = 0

    def count() -> None:
        nonlocal hundreds
        hundreds += 1

    connection.set_progress_handler(count, 100)
    await reader._schema.refresh()
    await reader.close()
    assert hundreds < 10


async def test_connections_are_closed_when_closing_is_cancelled(
    loaded: SqliteDatabase, connections: Connections
) -> None:
    reader = open_database(loaded.settings)
    await reader._engine.fetch("SELECT 1")
    await reader._engine.fetch("SELECT 1", small=True)
    asked = asyncio.create_task(reader._engine.fetch(ENDLESS))
    await asyncio.sleep(0)
    assert len(connections.open()) == 2
    closing = asyncio.create_task(reader.close())
    await cancelled_twice(closing)
    await asyncio.wait([closing])
    asked.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([asked])
        while connections.open():
            await asyncio.sleep(0)


async def test_reader_that_was_closed_makes_no_connection(
    loaded: SqliteDatabase, connections: Connections
) -> None:
    async with loaded.reader() as reader:
        pass
    for small in (False, True):
        with pytest.raises(Unreachable, match="connections were ended"):
            await reader._engine.fetch("SELECT 1", small=small)
    assert not connections.open()


async def test_loader_that_is_cancelled_twice_while_it_connects_leaves_no_connection_open(
    loaded: SqliteDatabase, connections: Connections
) -> None:
    async with loaded.writer() as writer:
        with locked(loaded) as other:
            connecting = asyncio.create_task(writer.engine.is_prepared())
            while connections.open() == [other]:
                await asyncio.sleep(0)
            await cancelled_twice(connecting)
            other.execute("COMMIT")
        with pytest.raises(asyncio.CancelledError):
            await connecting
    await asyncio.get_running_loop().shutdown_default_executor()
    assert not connections.open()


async def test_small_statements_leave_the_event_loop_alone_after_a_slow_one(
    loaded: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is cold, or slow: for a while threads wait for it."""
    threads: list[int] = []

    def where(seconds: float) -> None:
        threads.append(threading.get_ident())
        time.sleep(seconds)

    async with loaded.reader() as reader:
        engine = reader._engine
        assert isinstance(engine, SqliteEngine)
        connect = engine._connect

        def connect_with_where(busy_timeout: float) -> sqlite3.Connection:
            connection = connect(busy_timeout)
            connection.create_function("in_thread", 1, where)
            return connection

        monkeypatch.setattr(engine, "_connect", connect_with_where)
        here = threading.get_ident()
        for seconds in (2 * SLOW_SECONDS, 0, 0):
            await engine.fetch("SELECT in_thread(?)", (seconds,), small=True)
        assert [thread == here for thread in threads] == [True, False, False]
        assert engine.writes() is None
        assert (await reader.state()).version
        monkeypatch.setattr(engine, "_inline_from", 0.0)
        await engine.fetch("SELECT in_thread(0)", small=True)
        assert threads[-1] == here


async def test_meters_are_not_counted_in_the_event_loops_thread(loaded: SqliteDatabase) -> None:
    """There may be a hundred thousand."""
    async with loaded.reader() as reader:
        engine = reader._engine
        assert isinstance(engine, SqliteEngine)
        assert (await reader.state()).version
        assert engine._inline is not None
        inline: list[str] = []
        engine._inline.set_trace_callback(inline.append)
        assert await reader.count_meters() == 1
        assert await reader.newest_import() is not None
        assert inline == []
        assert await reader.meters.have_readings()
        assert len(inline) == 1


async def test_write_that_was_reported_as_failed_is_not_made_later(
    loaded: SqliteDatabase,
) -> None:
    """It waits for the one before it, then for the other program, no longer in all."""
    engine = SqliteEngine(loaded.path, connections=1, statement_timeout=0.3)
    insert = "INSERT INTO meters (id, timezone) VALUES (?, 'UTC')"
    try:
        with closing(sqlite3.connect(loaded.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(engine.execute(insert, (8,), patience=0.25))
            await asyncio.sleep(0)
            with pytest.raises(Unreachable):
                await engine.execute(insert, (9,))
            with pytest.raises(Unreachable):
                await first
            other.execute("ROLLBACK")
    finally:
        await engine.close()
    assert not await loaded.rows("SELECT id FROM meters WHERE id IN (8, 9)")


async def test_list_of_ids_is_not_read_from_two_files(loaded: SqliteDatabase) -> None:
    """Not even if the second one is a copy, and of the same version."""
    copy = loaded.path.with_suffix(".copy")
    await loaded.load(report(*numbered(quarters("2019-09-01", 2 * PAGE_READINGS))))
    await loaded.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    async with loaded.reader() as reader:
        state = await reader.state()
        query = ReadingsQuery(ids=tuple(range(1, 2 * PAGE_READINGS)))
        pages = (await reader.readings(query, state)).pages
        assert await anext(pages)
        await asyncio.to_thread(shutil.copyfile, loaded.path, copy)
        copy.replace(loaded.path)
        assert (await reader.state()).source != state.source
        with pytest.raises(Overtaken):
            await anext(pages)


async def test_grants_of_a_list_are_looked_up_one_by_one(loaded: SqliteDatabase) -> None:
    """Those of a user are gone through once, not once for each meter of the list."""
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
    loaded.run(
        "INSERT INTO meters (id, public_id, timezone)"
        f" {numbers} SELECT i + 1, 'm' || i, 'UTC' FROM n"
    )
    loaded.run(
        "INSERT INTO grants (user, id, meter_id, permission, granted_by, granted)"
        f" {numbers} SELECT 'beth', i, i, 'read', '', 0 FROM n"
    )
    statements: list[str] = []
    async with loaded.reader() as reader:
        engine = Watched(reader.grants._engine)
        reader.grants._engine = engine
        await reader.grants._schema.refresh()
        await reader.grants.accesses(Viewer("beth"), range(1, 1001))
        statements = engine.statements
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    with closing(sqlite3.connect(loaded.path)) as connection:
        connection.set_progress_handler(step, 1000)
        for statement in statements:
            connection.execute(statement, ("beth",) * statement.count("?")).fetchall()
    assert 0 < steps < 500


async def test_older_loader_leaves_the_version_of_a_newer_layout_alone(
    loaded: SqliteDatabase,
) -> None:
    """With a lower one, the newer loader would create what is there already."""
    ((version,),) = loaded.run("PRAGMA user_version")
    loaded.run(f"PRAGMA user_version = {version + 1}")
    await loaded.load(report(*numbered(quarters("2019-08-02", 12))))
    assert loaded.run("PRAGMA user_version") == [(version + 1,)]
