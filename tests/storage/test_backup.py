"""`python -m loader.backup`: what is restored answers as what was copied."""

import asyncio
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import loader.backup
from storage.common.errors import StorageError
from tests.support.app_client import Serve
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.mariadb import MariaDB
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Running it")

AUGUST = quarters("2019-08-01", 9000)


def copy(database: DatabaseFixture, *args: str) -> Result:
    """Runs the command."""
    return CliRunner().invoke(loader.backup.main, ["--config", str(database.config), *args])


@pytest.fixture
def loaded(database: DatabaseFixture) -> DatabaseFixture:
    """A database with readings, kept pages and a user."""
    database.configure(api_users={"rick": "morty"})
    asyncio.run(database.load(report(*numbered(AUGUST))))
    return database


@contextmanager
def another(database: DatabaseFixture, folder: Path) -> Iterator[DatabaseFixture]:
    """A second one of the same kind that does not exist yet."""
    if isinstance(database, MariadbDatabase):
        with MariadbDatabase(folder, database.server) as other:
            yield other
    else:
        with SqliteDatabase(folder) as other:
            yield other


async def test_restored_database_gives_the_same_answers(
    serve: Serve, loaded: DatabaseFixture, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    done = await asyncio.to_thread(copy, loaded, str(file))
    assert (done.exit_code, done.output) == (0, f"OK - database backed up to {file}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with another(loaded, tmp_path / "other") as other:
        done = await asyncio.to_thread(copy, other, "--restore", str(file))
        assert (done.exit_code, done.output) == (0, f"OK - database restored from {file}\n")
        tables = await names(loaded)
        assert tables == await names(other)
        assert {"access", "flags", "meters", "revocations", "users"} <= tables
        # A restore ends all tokens, its readings have a version of their own, and the trails go on
        # to tell of copy and restore.
        for table in tables - {"access", "states", "audit", "audit_head"}:
            columns = "id, user, password, enabled, role" if table == "users" else "*"
            sql = f"SELECT {columns} FROM {table}"
            assert await other.rows(sql) == await loaded.rows(sql)
        # The loader goes on where it was, triggers and all, and lets the server's account in.
        (summary,) = await other.load(report(*numbered(AUGUST[:10], 5)))
        assert summary.imported is not None
        assert summary.imported.changed == 10
        kept = "SELECT COUNT(*) FROM pages WHERE first_id = 1"
        assert (await other.rows(kept))[0][0] == 1
        await other.rows("UPDATE readings SET energy = 1 WHERE id = 1")
        assert (await other.rows(kept))[0][0] == 0
        ours, theirs = await serve(loaded), await serve(other)
        status, login = await theirs.login("rick", "morty")
        assert status == 200
        theirs.token = login["value_token"]
        for path in ("getDataById?id=5000,8999", "getDataByDate?date=2019-09-11%25"):
            assert await ours.get(path) == await theirs.get(path)


async def names(database: DatabaseFixture) -> set[str]:
    """All tables."""
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    if isinstance(database, MariadbDatabase):
        tables = "SELECT table_name FROM information_schema.tables WHERE table_schema"
        sql = f"{tables} = '{database.name}'"
    return {name for (name,) in await database.rows(sql)}


async def test_restore_ends_all_tokens_those_revoked_after_the_backup_too(
    serve: Serve, loaded: DatabaseFixture, tmp_path: Path
) -> None:
    file = str(tmp_path / "backup")
    assert (await asyncio.to_thread(copy, loaded, file)).exit_code == 0
    before = await serve(loaded)
    async with await before.request("ping") as response:
        assert response.status == 200
    await before.client.post("/logout", headers={"SESSION": before.token})
    with another(loaded, tmp_path / "other") as other:
        assert (await asyncio.to_thread(copy, other, "--restore", file)).exit_code == 0
        # The loader lets the server's account in.
        await other.load(report(*numbered(AUGUST[:1])))
        after = await serve(other)
        assert (await after.get("ping"))[0] == 406
        _, login = await after.login("rick", "morty")
        after.token = login["value_token"]
        assert (await after.get("ping"))[0] == 200


def test_backup_holds_what_is_committed_while_an_import_is_under_way(
    loaded: DatabaseFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.3 if isinstance(loaded, SqliteDatabase) else 60
    monkeypatch.setattr(loader.backup, "_AUDIT_SECONDS", seconds)

    async def copied_meanwhile() -> None:
        async with loaded.writer() as writer:
            async for _ in writer.engine.prepare():
                pass
            await writer.engine.begin()
            await writer.engine.execute("DELETE FROM readings")
            done = await asyncio.to_thread(copy, loaded, str(tmp_path / "backup"))
            assert done.exit_code == 0, done.output
            told = "the audit trail does not tell of this backup: another program is writing"
            assert (told in done.output) == isinstance(loaded, SqliteDatabase)
            await writer.engine.rollback()

    asyncio.run(copied_meanwhile())
    with another(loaded, tmp_path / "other") as other:
        done = copy(other, "--restore", str(tmp_path / "backup"))
        assert done.exit_code == 0, done.output
        assert other.run("SELECT COUNT(*) FROM readings")[0][0] == 9000


def test_backup_replaces_no_file_and_leaves_no_part(
    loaded: DatabaseFixture, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    file.write_text("precious")
    done = copy(loaded, str(file))
    assert (done.exit_code, done.output) == (1, f"ERROR - {file} already exists\n")
    assert file.read_text() == "precious"
    assert not list(tmp_path.glob(".backup*"))
    done = copy(loaded, str(tmp_path / "none" / "backup"))
    assert done.exit_code == 1
    assert done.output.startswith("ERROR - ")


def test_restore_leaves_alone_what_is_not_empty(loaded: DatabaseFixture, tmp_path: Path) -> None:
    file = str(tmp_path / "backup")
    assert copy(loaded, file).exit_code == 0
    loaded.run("DELETE FROM readings WHERE id > 10")
    done = copy(loaded, "--restore", file)
    assert done.exit_code == 1
    assert "is not empty" in done.output or "already exists" in done.output
    assert loaded.run("SELECT COUNT(*) FROM readings")[0][0] == 10


@pytest.mark.parametrize("kind", ["missing", "nonsense", "brief", "half"])
def test_restore_refuses_what_is_no_whole_backup(
    loaded: DatabaseFixture, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "backup"
    assert copy(loaded, str(file)).exit_code == 0
    if kind == "missing":
        file.unlink()
    elif kind == "nonsense":
        file.write_text("nonsense" * 1000)
    elif kind == "brief":
        file.write_text("nonsense")
    else:
        os.truncate(file, file.stat().st_size // 2)
    with another(loaded, tmp_path / "other") as other:
        done = copy(other, "--restore", str(file))
        assert done.exit_code == 1, done.output
        assert done.output.startswith("ERROR - ")
        if isinstance(other, MariadbDatabase):
            assert ("is not a complete backup" in done.output) == (kind != "missing")
            assert not other.exists()


def test_backup_is_restored_into_a_folder_that_is_there(
    loaded: DatabaseFixture, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    assert copy(loaded, str(file)).exit_code == 0
    with another(loaded, tmp_path / "other") as other:
        (other.folder / "data").mkdir()
        done = copy(other, "--restore", str(file))
        assert (done.exit_code, done.output) == (0, f"OK - database restored from {file}\n")


async def test_restored_database_is_served_where_the_account_that_made_it_is_unknown(
    serve: Serve, mariadb: MariaDB, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    with MariadbDatabase(tmp_path / "one", mariadb) as loaded:
        await loaded.load(report(*numbered(AUGUST[:4])))
        await loaded.admit("rick")
        assert (await asyncio.to_thread(copy, loaded, str(file))).exit_code == 0
    maker = f"`{mariadb.root_user}`@`%`".encode()
    dump = file.read_bytes()
    assert dump.count(maker) >= 10
    file.write_bytes(dump.replace(maker, b"`gone`@`%`"))
    with MariadbDatabase(tmp_path / "other", mariadb) as other:
        assert (await asyncio.to_thread(copy, other, "--restore", str(file))).exit_code == 0
        makers = (
            f"SELECT DISTINCT definer FROM information_schema.triggers"
            f" WHERE trigger_schema = '{other.name}'"
        )
        assert other.run(makers) == ((f"{mariadb.root_user}@%",),)
        api = await serve(other)
        api.token = (await api.login("rick", "rick"))[1]["value_token"]
        await other.load(report(*numbered(AUGUST[:4])))
        async with await api.client.post("/logout", headers={"SESSION": api.token}) as response:
            assert response.status == 200


async def test_backup_and_restore_keep_the_trail_and_tell_of_themselves(
    loaded: DatabaseFixture, tmp_path: Path
) -> None:
    file = str(tmp_path / "backup")
    assert (await asyncio.to_thread(copy, loaded, file)).exit_code == 0
    with another(loaded, tmp_path / "other") as other:
        assert (await asyncio.to_thread(copy, other, "--restore", file)).exit_code == 0
        for database, event in ((loaded, "backup"), (other, "restore")):
            rows = await database.rows("SELECT entry FROM audit ORDER BY id")
            contents = [json.loads(entry) for (entry,) in rows]
            events = [content["event"] for content in contents]
            assert events == ["user added", "import", event]
            assert contents[-1]["details"] == {"file": file}
            async with database.writer() as writer:
                assert await writer.engine.is_prepared()
                assert (await writer.audit.verify()).fault is None
                with pytest.raises(StorageError, match="only appended to"):
                    await writer.engine.execute("DELETE FROM audit")


def test_missing_database_cannot_be_copied(database: DatabaseFixture, tmp_path: Path) -> None:
    done = copy(database, str(tmp_path / "backup"))
    assert done.exit_code == 1
    assert not (tmp_path / "backup").exists()
    assert not database.exists()


def test_json_names_file_and_size(loaded: DatabaseFixture, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    done = copy(loaded, "--json", str(file))
    assert json.loads(done.output) == {
        "ok": True,
        "file": str(file),
        "bytes": file.stat().st_size,
    }
