"""The last steps of an import, and the wait for the one before it."""

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage.backends.mysql.writer
from loader.importer import Importer, ImportListener
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


@contextmanager
def held_commit(engine: Any) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Holds an import before its commit: an event says that it is there, another lets it go on."""
    reached, may_commit = asyncio.Event(), asyncio.Event()
    commit = engine.commit

    async def committed() -> None:
        reached.set()
        await may_commit.wait()
        await commit()

    engine.commit = committed
    yield reached, may_commit


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

        await prepare(database)
        with monkeypatch.context() as patch:
            patch.setattr(MysqlWriteEngine, "_release_lock", released)
            (summary,) = await database.load(report(*numbered(SUMMER)))
        assert summary.imported is not None
        assert summary.imported.new == len(await database.records())
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
            database.run("DROP TABLE readings")
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
            await first.engine.begin(keeps_triggers=True)
            assert database.run(INSERT_TRIGGERS)
            await first.engine.rollback()
            await first.engine.begin()
            assert await second.engine.is_prepared()
            await first.engine.rollback()
        assert database.run(INSERT_TRIGGERS)


async def test_loader_that_is_not_given_the_lock_of_a_new_database_says_so_again_and_again(
    mariadb: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.backends.mysql.writer, "LOCK_SECONDS", 0)
    with MariadbDatabase(tmp_path, mariadb) as database:
        said = asyncio.Semaphore(0)
        listener = replace(SILENT, on_wait=said.release)
        async with database.writer() as first:
            steps = first.engine.prepare()
            await anext(steps)
            await first.engine.fetch("SELECT GET_LOCK(%s, 0)", (f"elecdata:{database.name}",))
            second = asyncio.create_task(
                database.load(report(*numbered(SUMMER)), listener=listener)
            )
            for _ in range(3):
                await said.acquire()
            await first.engine.fetch("SELECT RELEASE_LOCK(%s)", (f"elecdata:{database.name}",))
        await second
        assert len(await database.records()) == 12


async def test_loader_waits_for_another_one_of_the_same_meter_and_sees_what_it_wrote(
    database: DatabaseFixture,
) -> None:
    await database.load(report(*numbered(SUMMER[:1])))
    said = asyncio.Semaphore(0)
    listener = replace(SILENT, on_wait=said.release)
    path = database.file(report(*numbered(SUMMER)))
    async with database.writer() as writer:
        first = Importer(database.settings, writer, SILENT)
        assert await writer.engine.is_prepared()
        with held_commit(writer.engine) as (reached, may_commit):
            one = asyncio.create_task(first.run([path], skip_bad_rows=False))
            await reached.wait()
            two = asyncio.create_task(database.load(path, listener=listener))
            await said.acquire()
            may_commit.set()
            (before,), (after,) = await one, await two
    assert before.imported is not None
    assert after.imported is not None
    assert (before.imported.new, before.imported.unchanged) == (11, 1)
    assert (after.imported.new, after.imported.unchanged) == (0, 12)
    assert [number for (number,) in await database.rows("SELECT id FROM imports")] == [1, 2, 3]
    ((readings, last_id, imports),) = await database.rows(
        "SELECT readings, last_id, imports FROM states"
    )
    assert (readings, last_id, imports) == (12, 12, 3)


async def test_loader_of_another_meter_does_not_wait(mariadb: MariaDB, tmp_path: Path) -> None:
    said: list[str] = []
    listener = replace(SILENT, on_wait=lambda: said.append("waits"))
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(report(*numbered(SUMMER[:1])))
        await database.load(report(*numbered(SUMMER[:1])), meter="other", register=True)
        async with database.writer() as first:
            assert await first.engine.is_prepared()
            await first.engine.begin()
            await first.meters.lock(1)
            async with asyncio.timeout(60):
                await database.load(report(*numbered(SUMMER)), meter="other", listener=listener)
            await first.engine.rollback()
        assert not said
        counts = database.run("SELECT meter_id, COUNT(*) FROM readings GROUP BY meter_id")
        assert counts == ((1, 1), (2, 12))


async def test_meters_that_two_loaders_register_at_once_are_two(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    said = asyncio.Event()
    listener = replace(SILENT, on_wait=said.set)
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(report(*numbered(SUMMER[:1])))
        async with database.writer() as first:
            assert await first.engine.is_prepared()
            await first.engine.begin()
            one = await first.meters.register("one", "Europe/Madrid")
            text = report(*numbered(SUMMER))
            work = asyncio.create_task(
                database.load(text, meter="two", register=True, listener=listener)
            )
            await said.wait()
            await first.engine.commit()
            await work
        known = database.run("SELECT id, public_id FROM meters ORDER BY id")
        assert known == ((1, "main"), (one.id, "one"), (3, "two"))


async def test_trigger_is_created_again_once_other_loaders_leave_the_table(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    """The first import is done before, and tells that it waits."""
    said = asyncio.Event()
    with MariadbDatabase(tmp_path, mariadb) as database:
        await prepare(database)
        async with database.writer() as first, database.writer() as second:
            first.engine.on_wait = said.set
            for writer in (first, second):
                assert await writer.engine.is_prepared()
                await writer.engine.begin()
            await second.engine.fetch("SELECT COUNT(*) FROM readings")
            end = asyncio.create_task(first.engine.commit())
            await said.wait()
            assert not database.run(INSERT_TRIGGERS)
            await second.engine.rollback()
            await end
        assert database.run(INSERT_TRIGGERS)


async def test_loader_whose_wait_for_the_lock_fails_writes_nothing(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(report(*numbered(SUMMER[:1])))

        def end_the_wait() -> None:
            waiting = (
                "SELECT id FROM information_schema.processlist WHERE info LIKE '%FOR UPDATE'"
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
            await first.meters.lock(1)
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
