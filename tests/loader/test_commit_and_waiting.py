"""The last steps of an import, and the wait for the one before it."""

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage.backends.mysql.writer
from loader.importer import ImportListener
from loader.rows.errors import ReportError
from storage.backends.mysql.session import Session
from storage.backends.mysql.writer import MysqlWriteEngine
from storage.backends.sqlite.writer import SqliteWriteEngine
from storage.common.errors import Unreachable
from tests.loader.test_loader_command import BAD
from tests.support.databases import SILENT, DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.mariadb import MariaDB
from tests.support.paths import ROOT
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Bad nights")

COMMAND = (sys.executable, "-m", "loader.users")
SUMMER = quarters("2019-08-01", 12)
MIXED = report(*numbered(SUMMER), BAD)
INSERT_TRIGGERS = (
    "SELECT 1 FROM information_schema.triggers"
    " WHERE trigger_schema = DATABASE() AND trigger_name = 'state_after_insert'"
)


async def prepare(database: DatabaseFixture) -> None:
    """Create an empty database."""
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass


def around_commit(
    database: DatabaseFixture,
    patch: pytest.MonkeyPatch,
    *,
    before: Callable[[Any], Awaitable[object]] | None = None,
    after: Callable[[], object] = lambda: None,
) -> None:
    """Lets something happen right before and after an import's transaction ends."""
    engine: type[Any] = SqliteWriteEngine if database.kind == "sqlite" else MysqlWriteEngine
    commit = engine.commit

    async def committed(self: Any) -> None:
        if before is not None:
            await before(self)
        await commit(self)
        after()

    patch.setattr(engine, "commit", committed)


async def let_commit_fail(engine: Any) -> None:
    if isinstance(engine, MysqlWriteEngine):
        await break_connection(engine)
        return

    def refuse(action: int, what: str | None, *_: object) -> int:
        is_commit = action == sqlite3.SQLITE_TRANSACTION and what == "COMMIT"
        return sqlite3.SQLITE_DENY if is_commit else sqlite3.SQLITE_OK

    engine._opened().set_authorizer(refuse)


async def break_connection(engine: MysqlWriteEngine) -> None:
    ((number,),) = await engine.fetch("SELECT CONNECTION_ID()")
    with pytest.raises(Unreachable):
        await engine.execute(f"KILL {number}")


async def test_no_file_tells_of_rejected_rows_of_an_import_that_failed(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database.file(MIXED)
    with monkeypatch.context() as patch:
        around_commit(database, patch, before=let_commit_fail)
        with pytest.raises(Unreachable):
            await database.load(path, skip_bad_rows=True)
    assert not await database.records()
    assert not [*database.folder.glob("*.rejected.csv"), *database.folder.glob(".elecdata-*")]
    (summary,) = await database.load(path, skip_bad_rows=True)
    assert summary.rejected_to is not None
    assert summary.rejected_to.exists()


async def test_rejected_rows_that_cannot_be_put_in_place_are_an_error_that_reports_the_import(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two reports, one: the rows of the other are in place."""
    paths = [database.file(MIXED), database.file(MIXED, "other.csv")]
    around_commit(database, monkeypatch, after=(database.folder / "report.rejected.csv").mkdir)
    with pytest.raises(ReportError, match=r"/report\.rej.*the reports were imported: load"):
        await database.load(*paths, skip_bad_rows=True)
    assert len(await database.records()) == 12
    assert "many" in (database.folder / "other.rejected.csv").read_text()


async def test_lock_that_cannot_be_released_leaves_a_finished_import_finished(
    mariadb: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        release = MysqlWriteEngine._release_lock

        async def released(self: MysqlWriteEngine) -> None:
            await break_connection(self)
            await release(self)

        await database.load(report(*numbered(SUMMER[:1])))
        with monkeypatch.context() as patch:
            patch.setattr(MysqlWriteEngine, "_release_lock", released)
            (summary,) = await database.load(report(*numbered(SUMMER)))
        assert summary.imported is not None
        assert summary.imported.new == len(await database.records()) - 1
        # The lock has ended with its connection.
        await database.load(report(*numbered(SUMMER)))


@pytest.mark.parametrize("moment", ["START TRANSACTION", "LOAD DATA", "COMMIT", "CREATE TRIGGER"])
async def test_lost_connection_leaves_no_insert_uncounted(
    mariadb: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        await prepare(database)
        execute = Session.execute

        async def executed(self: Session, sql: str, args: Sequence[object] = ()) -> int:
            if sql.startswith(moment):
                monkeypatch.undo()
                self.close()
            return await execute(self, sql, args)

        monkeypatch.setattr(Session, "execute", executed)
        with suppress(Unreachable):
            await database.load(report(*numbered(SUMMER)))
        assert database.run(INSERT_TRIGGERS)


async def test_trigger_that_cannot_be_created_again_is_told(
    mariadb: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with MariadbDatabase(tmp_path, mariadb) as database:
        end = MysqlWriteEngine._end

        async def ended(self: MysqlWriteEngine) -> None:
            database.run("DROP TABLE consumpdata")
            await end(self)

        monkeypatch.setattr(MysqlWriteEngine, "_end", ended)
        (summary,) = await database.load(
            report(*numbered(SUMMER)), listener=replace(SILENT, on_warning=said.append)
        )
    assert summary.imported is not None
    (text,) = said
    assert text.startswith("the trigger state_after_insert could not be created again (")


async def test_database_is_complete_for_others_during_a_first_import(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        await prepare(database)
        async with database.writer() as first, database.writer() as second:
            assert await first.engine.is_prepared()
            await first.engine.begin(dry_run=True)
            assert database.run(INSERT_TRIGGERS)
            await first.engine.rollback()
            await first.engine.begin()
            assert await second.engine.is_prepared()
            await first.engine.rollback()
        assert database.run(INSERT_TRIGGERS)


async def test_loader_that_is_not_given_the_lock_goes_on_waiting_and_says_so(
    mariadb: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.backends.mysql.writer, "LOCK_SECONDS", 0)
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(report(*numbered(SUMMER[:1])))
        said = asyncio.Semaphore(0)
        listener = ImportListener(
            on_step=SILENT.on_step, on_wait=said.release, on_progress=SILENT.on_progress
        )
        async with database.writer() as first:
            assert await first.engine.is_prepared()
            await first.engine.begin()
            second = asyncio.create_task(
                database.load(report(*numbered(SUMMER)), listener=listener)
            )
            for _ in range(3):
                await said.acquire()
            assert len(await database.records()) == 1
            await first.engine.rollback()
        await second
        assert len(await database.records()) == 12


async def test_loader_whose_wait_for_the_lock_fails_writes_nothing(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(report(*numbered(SUMMER[:1])))

        def end_the_wait() -> None:
            waiting = (
                "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT GET_LOCK(%'"
                f" AND db = '{database.name}' AND id <> CONNECTION_ID()"
            )
            while not (found := database.run(waiting)):
                pass
            database.run(f"KILL QUERY {found[0][0]}")

        said = asyncio.Event()
        listener = ImportListener(
            on_step=SILENT.on_step, on_wait=said.set, on_progress=SILENT.on_progress
        )
        async with database.writer() as first:
            assert await first.engine.is_prepared()
            await first.engine.begin()
            second = asyncio.create_task(
                database.load(report(*numbered(SUMMER)), listener=listener)
            )
            await said.wait()
            await asyncio.to_thread(end_the_wait)
            with pytest.raises(Unreachable, match="ended the wait for another loader"):
                await second
            await first.engine.rollback()
        assert len(await database.records()) == 1


async def test_command_for_users_says_that_it_waits_for_an_import(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    await database.load(report(*numbered(SUMMER)))
    async with database.writer() as first:
        assert await first.engine.is_prepared()
        await first.engine.begin()
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--config", str(database.config), "add", "morgan",
            cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"a long password\n")
        process.stdin.close()
        assert await process.stdout.readline() == b"Waiting for another import to finish\n"
        await first.engine.commit()
        assert await process.stdout.read() == b"morgan was added\n"
        assert await process.wait() == 0
