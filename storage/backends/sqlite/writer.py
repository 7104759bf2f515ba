"""SQLite, written by the loader."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from domain.quantities import QUANTITY_NAMES
from domain.report_source import BATCH_FIELDS, RowBatch
from files.creating import private_mode
from files.regular import require_regular
from storage.backends.schema import STATE_TRIGGERS, STATEMENTS
from storage.backends.sqlite.dialect import SqliteDialect, add_functions
from storage.common.deflate import DeflateBlock
from storage.common.errors import Unreachable

T = TypeVar("T")

WRITE_BUSY_TIMEOUT = 0.2
"""Seconds that a statement waits for another program before it is tried again."""

# All decimals are there, so that the digits alone are the number of hundred-thousandths.
_QUANTITIES = ", ".join(
    f"CAST(replace(NULLIF({name}, ''), '.', '') AS INTEGER)" for name in QUANTITY_NAMES
)
_ROWS = (
    f"SELECT number + {{before}}, date, strftime('%s', date) - seconds_ahead, {_QUANTITIES}"
    f" FROM (SELECT {', '.join(f'? AS {name}' for name in BATCH_FIELDS)})"
)
_STAGE = f"INSERT INTO incoming (number, date, utc, {', '.join(QUANTITY_NAMES)}) {_ROWS}"
_APPEND = f"INSERT INTO consumpdata (id, date, utc, {', '.join(QUANTITY_NAMES)}) {_ROWS}"


class SqliteWriteEngine:
    """A database file and its folder, created if missing."""

    def __init__(self, path: Path) -> None:
        self.dialect = SqliteDialect()
        self._path = path
        self.database = path.stem
        self.on_wait: Callable[[], None] = lambda: None
        self.on_warning: Callable[[str], None] = lambda _: None
        self._connection: sqlite3.Connection | None = None
        self._stopped = False

    async def prepare(self) -> AsyncGenerator[str]:
        """Create what is missing, up to the newest schema; yield the name of each part."""
        await self._in_thread(self._open)
        yield "Database connection"
        yield f"'{self.database}' database"
        await self._in_thread(self._migrate)
        yield f"'{self.database}.consumpdata' table"
        yield f"'{self.database}.users' table"
        yield "Trigger"

    async def is_prepared(self) -> bool:
        """Return whether the database has the newest schema."""
        if not self._path.exists():
            return False
        await self._in_thread(self._open)
        return await self._in_thread(self._applied) == len(STATEMENTS[SqliteDialect.name])

    async def admit_reader(self) -> str | None:
        """Return None: the file system says who may read the file."""
        return None

    async def begin_change(self) -> None:
        """Begin a transaction of a few rows."""
        await self.execute("BEGIN IMMEDIATE")

    async def begin(
        self,
        *,
        dry_run: bool = False,  # noqa: ARG002 - triggers are dropped within the transaction
    ) -> None:
        """Begin a transaction, once no other loader is in one."""
        await self.execute("BEGIN IMMEDIATE")
        for name in STATE_TRIGGERS[SqliteDialect.name]:
            await self.execute(f"DROP TRIGGER {name}")
        await self.execute("DROP TABLE IF EXISTS temp.incoming")
        await self.execute(
            f"CREATE TEMP TABLE incoming (number INTEGER PRIMARY KEY, date TEXT, utc INTEGER,"
            f" {', '.join(f'{name} INTEGER' for name in QUANTITY_NAMES)})"
        )

    async def append(self, batches: Iterable[RowBatch], last_id: int) -> int:
        """Insert rows as new readings with the ids after `last_id`; return how many."""
        return await self._in_thread(lambda: self._fill(_APPEND.format(before=last_id), batches))

    async def stage(self, batches: Iterable[RowBatch]) -> int:
        """Fill the temporary table `incoming`; return the number of its rows."""
        await self.execute("DELETE FROM incoming")
        return await self._in_thread(lambda: self._fill(_STAGE.format(before=0), batches))

    async def execute(self, sql: str, args: Sequence[object] = ()) -> int:
        """Run a statement; return the number of rows it wrote."""
        return await self._in_thread(lambda: self._opened().execute(sql, args).rowcount)

    async def fetch(self, sql: str, args: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Return a statement's rows: integers as int, texts as str."""
        return await self._in_thread(lambda: self._opened().execute(sql, args).fetchall())

    async def store_page(self, first_id: int, page: DeflateBlock) -> None:
        """Insert the compressed records of a page."""
        await self.execute(
            self.dialect.insert("pages", ("first_id", "size", "crc", "deflated")),
            (first_id, page.size, page.crc, page.deflated),
        )

    async def commit(self) -> None:
        """Commit the transaction."""
        for trigger in STATE_TRIGGERS[SqliteDialect.name].values():
            await self.execute(trigger)
        await self.execute("COMMIT")

    async def rollback(self) -> None:
        """Roll back the transaction, if there is one."""
        if self._opened().in_transaction:
            await self.execute("ROLLBACK")

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _open(self) -> None:
        if self._connection is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _create_private(self._path)
        connection = sqlite3.connect(
            self._path, timeout=WRITE_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            add_functions(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _opened(self) -> sqlite3.Connection:
        assert self._connection is not None, "prepare() or is_prepared() comes first"
        return self._connection

    def _applied(self) -> int:
        return int(self._opened().execute(SqliteDialect.schema_version).fetchone()[0])

    def _migrate(self) -> None:
        connection = self._opened()
        wanted = STATEMENTS[SqliteDialect.name]
        if self._applied() == len(wanted):
            return
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in wanted[self._applied() :]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(wanted)}")

    def _fill(self, statement: str, batches: Iterable[RowBatch]) -> int:
        connection = self._opened()
        filled = 0
        for batch in batches:
            if self._stopped:
                raise sqlite3.OperationalError("interrupted")
            rows = batch.rows.decode("ascii").splitlines()
            connection.executemany(statement, (row.split(",") for row in rows))
            filled += len(rows)
        return filled

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Return the result of work once no other program writes; call `on_wait` if one does."""
        has_waited = False
        while True:
            try:
                return await self._finished(work)
            except (sqlite3.Error, OSError) as error:
                if not _is_busy(error):
                    raise Unreachable(f"{self._path} cannot be written: {error}") from error
            if not has_waited:
                self.on_wait()
                has_waited = True

    async def _finished(self, work: Callable[[], T]) -> T:
        self._stopped = False
        thread = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            await asyncio.wait([thread])
        except asyncio.CancelledError:
            # The connection is free again once the thread has left it, however often that is asked.
            self._stopped = True
            if self._connection is not None:
                self._connection.interrupt()
            while not thread.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([thread])
            thread.exception()  # which nobody asks for any more
            raise
        return thread.result()


def _create_private(path: Path) -> None:
    """Create the file unless it exists; SQLite gives its -wal and -shm the same mode."""
    try:
        os.close(os.open(path.resolve(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, private_mode()))
    except FileExistsError:
        # Not opened: closing it would end the locks of this process's other connections.
        require_regular(path.stat(), path)


def _is_busy(error: sqlite3.Error | OSError) -> bool:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF == sqlite3.SQLITE_BUSY
