"""A SQLite file that another program locks, or that goes away, and comes back."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.resilience.readings import assert_whole, numbered_report
from tests.support.app_client import Api, Serve
from tests.support.databases import SqliteDatabase

pytestmark = pytest.mark.promise("Bad nights", by_test=True)

COUNT = 300
PATIENCE = 0.3
LONGEST = 10.0


@pytest.fixture
async def api(serve: Serve, tmp_path: Path) -> Api:
    """An application over a file, that loses patience soon."""
    database = SqliteDatabase(tmp_path)
    await database.load(numbered_report(COUNT))
    return await serve(
        database,
        ELECDATA_CACHE__TTL="0",
        ELECDATA_DATABASE__STATEMENT_TIMEOUT=str(PATIENCE),
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program that lets nobody read, as one that repairs the file does."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=LONGEST)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def assert_refused_in_time(api: Api) -> None:
    async with asyncio.timeout(LONGEST):
        answers = await asyncio.gather(
            *(api.get("getData") for _ in range(10)),
            api.get("getDataById", {"id": "5"}),
            api.login("rick", "rick"),
        )
    assert {status for status, _ in answers} == {503}


async def assert_well(api: Api) -> None:
    assert_whole(await api.records("getData"), COUNT)
    assert (await api.login("rick", "rick"))[0] == 200
    assert api.engine.load.busy == 0


async def test_locked_file_is_refused_in_time_and_read_again(api: Api, tmp_path: Path) -> None:
    """The lock comes before the server has opened the file: afterwards nobody would get it."""
    with locked(tmp_path / "data" / "elecprod.db"):
        await assert_refused_in_time(api)
    await assert_well(api)


async def test_file_that_is_away_is_refused_and_read_again(api: Api, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    away = folder.rename(tmp_path / "away")
    await assert_refused_in_time(api)
    away.rename(folder)
    await assert_well(api)
