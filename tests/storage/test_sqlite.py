"""What SQLite alone is asked for."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

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
