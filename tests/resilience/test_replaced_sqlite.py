"""A SQLite file whose place another file takes while the server runs."""

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError, ClientResponse

from storage.backends.sqlite.backup import SqliteBackup
from storage.common.errors import Conflict
from tests.resilience.readings import assert_whole, numbered_report
from tests.support.app_client import Api, Serve, about_readings, make_pages_small
from tests.support.databases import SqliteDatabase
from tests.support.legacy_database import make_older

pytestmark = pytest.mark.promise("Bad nights", by_test=True)

COUNT = 300
FILES = Path("/proc/self/fd")
LATER = 1001
"""What the numbers of the later report begin with."""


@pytest.fixture
async def database(tmp_path: Path) -> SqliteDatabase:
    loaded = SqliteDatabase(tmp_path)
    await loaded.load(numbered_report(COUNT))
    await loaded.admit("rick")
    return loaded


def copied(database: SqliteDatabase, name: str = "copy") -> SqliteDatabase:
    """The same database at another place, byte for byte."""
    copy = SqliteDatabase(database.folder / name)
    copy.path.parent.mkdir()
    with (
        closing(sqlite3.connect(database.path)) as source,
        closing(sqlite3.connect(copy.path)) as target,
    ):
        source.backup(target)
    return copy


def move_away(database: SqliteDatabase) -> None:
    """With the files beside it."""
    for file in database.path.parent.iterdir():
        file.rename(file.with_name(f"former-{file.name}"))


def put(copy: SqliteDatabase, database: SqliteDatabase) -> None:
    """Another file takes the place of the one that is served."""
    move_away(database)
    copy.path.rename(database.path)


async def logged_out(api: Api) -> ClientResponse:
    return await api.client.post("/logout", headers={"SESSION": api.token})


async def assert_serves(api: Api, first: int) -> None:
    """Every kind of statement finds the same file: in the loop's thread, and in others."""
    assert_whole(await api.records("getData"), COUNT, first)
    (record,) = await api.records("getDataById", id="7")
    assert record["energy"] == f"{first + 6}.00000"
    (total,) = await api.records("getAggregate", interval="year")
    assert round(float(total["energy"] or 0)) == sum(range(first, first + COUNT))


async def test_restored_backup_is_served_at_once_and_revokes_all_tokens(
    serve: Serve, database: SqliteDatabase
) -> None:
    backup = database.folder / "backup"
    await SqliteBackup(database.path).backup(backup)
    await database.load(numbered_report(COUNT, LATER), allow_corrections=True)
    api = await serve(database)
    await assert_serves(api, LATER)
    move_away(database)
    await SqliteBackup(database.path).restore(backup)
    assert (await api.get("getData"))[0] == 406
    _, body = await api.login("rick", "rick")
    api.token = body["value_token"]
    await assert_serves(api, 1)


async def test_what_was_known_of_a_token_ends_with_the_file(
    serve: Serve, database: SqliteDatabase
) -> None:
    """Both files have counted as many changes of users and revocations."""
    disabled = copied(database)
    database.run("UPDATE users SET role = 'admin'")
    disabled.run("UPDATE users SET enabled = 0")
    api = await serve(database)
    _, body = await api.login("rick", "rick")
    api.token = body["value_token"]
    assert (await api.get("ping"))[0] == 200
    put(disabled, database)
    assert (await api.get("ping"))[0] == 406
    assert (await api.login("rick", "rick"))[0] == 401


async def test_login_alone_notices_another_file(serve: Serve, database: SqliteDatabase) -> None:
    disabled = copied(database)
    disabled.run("UPDATE users SET enabled = 0")
    api = await serve(database)
    assert (await api.login("rick", "rick"))[0] == 200
    put(disabled, database)
    assert (await api.login("rick", "rick"))[0] == 401


async def test_cached_answers_and_tags_do_not_outlive_their_file(
    serve: Serve, database: SqliteDatabase
) -> None:
    """The other file is of the same import: somebody has corrected a reading in it by hand."""
    corrected = copied(database)
    corrected.run("UPDATE readings SET energy = 777 * 100000 WHERE id = 5")
    api = await serve(database)
    for _ in range(3):  # it is cached, and then replayed
        async with await api.request("getDataById", {"id": "5"}) as response:
            assert b'"5.00000"' in await response.read()
            tag = response.headers["ETag"]
        await api.settled()
    put(corrected, database)
    async with await api.request("getDataById", {"id": "5"}) as response:
        assert b'"777.00000"' in await response.read()
    headers = {"If-None-Match": tag}
    async with await api.request("getDataById", {"id": "5"}, headers=headers) as response:
        assert response.status == 200


async def test_walk_over_the_former_file_has_to_begin_again(
    serve: Serve, database: SqliteDatabase
) -> None:
    """Both files have counted as many corrections."""
    copy = copied(database)
    api = await serve(database)
    params = {"limit": "9"}
    for _ in range(2):
        _, body = await api.get("getData", params)
        params["after"] = body["values"]["next"]
    put(copy, database)
    assert (await api.get("getData", params))[0] == 410
    assert len(await api.records("getData", limit="9")) == 9


async def test_file_that_is_away_is_not_read_on_and_no_logout_is_lost(
    serve: Serve, database: SqliteDatabase
) -> None:
    api = await serve(database)
    await assert_serves(api, 1)
    folder = database.path.parent
    away = folder.rename(folder.with_name("away"))
    assert (await api.get("ping"))[0] == 503
    assert (await api.login("rick", "rick"))[0] == 503
    assert (await logged_out(api)).status == 503
    away.rename(folder)
    assert (await api.get("ping"))[0] == 200
    assert (await logged_out(api)).status == 200
    assert (await api.get("ping"))[0] == 406


async def test_logout_is_not_told_as_done_where_its_file_is_replaced_meanwhile(
    serve: Serve, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copied(database)
    api = await serve(database)
    connect = sqlite3.connect

    def connect_and_replace(place: str | Path, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(place, **options)  # type: ignore[call-overload]  # as it was called
        if "mode=rw" in str(place) and copy.path.exists():
            put(copy, database)
        return connection

    monkeypatch.setattr("sqlite3.connect", connect_and_replace)
    response = await logged_out(api)
    assert (response.status, "still good" in await response.text()) == (503, True)
    assert (await logged_out(api)).status == 200
    assert len(await database.rows("SELECT 1 FROM revocations")) == 1


def after_pages(pages: int, act: Callable[[], None]) -> Callable[[str], Awaitable[str]]:
    """Lets something happen right before a statement about readings."""
    asked = 0

    async def step_in(sql: str) -> str:
        nonlocal asked
        asked += about_readings(sql)
        if about_readings(sql) and asked == pages:
            await asyncio.to_thread(act)
        return sql

    return step_in


async def test_stream_of_the_former_file_is_broken_off(
    serve: Serve, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pages_small(monkeypatch, 10)
    other = copied(database)
    await other.load(numbered_report(COUNT, LATER), allow_corrections=True)
    api = await serve(database, ELECDATA_CACHE__TTL="0")
    api.engine.step_in = after_pages(5, lambda: put(other, database))
    with pytest.raises(ClientPayloadError):
        await api.records("getData")
    api.engine.step_in = None
    await assert_serves(api, LATER)


async def test_file_of_an_older_schema_is_taken_for_what_it_is(
    serve: Serve, database: SqliteDatabase
) -> None:
    older = copied(database)
    make_older(older)
    api = await serve(database)
    assert len(await api.records("getData", columns="id,flags")) == COUNT
    put(older, database)
    assert_whole(await api.records("getData"), COUNT)
    assert (await api.get("getData", {"columns": "id,flags"}))[0] == 503


@pytest.mark.skipif(not FILES.exists(), reason="open files are listed in /proc")
async def test_no_connection_keeps_a_file_that_was_replaced(
    serve: Serve, database: SqliteDatabase
) -> None:
    """What was deleted would keep its space on the disk."""
    api = await serve(database, ELECDATA_CACHE__TTL="0")
    await asyncio.gather(*(api.records("getData", limit=str(n)) for n in range(100, 108)))
    put(copied(database), database)
    await assert_serves(api, 1)
    opened = await asyncio.to_thread(lambda: list(map(Path.resolve, FILES.iterdir())))
    assert not [each for each in opened if "former-" in each.name]


async def test_restore_is_refused_beside_a_log_of_the_former_file(
    database: SqliteDatabase,
) -> None:
    """SQLite would mix what stands in it into the restored file."""
    backup = database.folder / "backup"
    await SqliteBackup(database.path).backup(backup)
    log = database.path.with_name(database.path.name + "-wal")
    async with database.reader() as reader:
        await reader.state()
        await database.load(numbered_report(COUNT, LATER), allow_corrections=True)
        shutil.move(database.path, database.folder / "former")
        with pytest.raises(Conflict, match=f"{log} is left of another database"):
            await SqliteBackup(database.path).restore(backup)
        log.unlink()
        await SqliteBackup(database.path).restore(backup)
    assert_whole(await database.records(), COUNT)
