"""What SQLite alone is asked for."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from storage.backends.sqlite.engine import SqliteEngine
from tests.support.app_client import Serve
from tests.support.databases import SqliteDatabase
from tests.support.report_factory import numbered, quarters, report


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
        connection = engine._connect()
        connection.create_function("nap", 0, nap)
        engine._free.append(connection)
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
        for brief in (True, False):
            await engine.fetch("SELECT 1", brief=brief)
        connections = [engine._here, *engine._free]
    assert len(connections) == 2
    for connection in connections:
        assert connection is not None
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.execute("SELECT 1")
