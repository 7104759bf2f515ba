"""SQLite, written by the loader."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from domain.columns import Column
from domain.quantities import ALL_QUANTITY_NAMES, QUANTITY_NAMES
from domain.report_source import ESTIMATED_FIELD, RowBatch
from files.creating import private_mode
from files.regular import require_regular
from storage.backends.day_sums import day_sums
from storage.backends.dialect import Condition
from storage.backends.schema import (
    MANY_READINGS,
    STATE_TRIGGERS,
    STATEMENTS,
    completes_days,
    meter_of_view,
    shares,
    view_of,
)
from storage.backends.sqlite.dialect import SqliteDialect, add_functions
from storage.backends.sqlite.write_turn import WriteTurn
from storage.common.deflate import DeflateBlock
from storage.common.errors import Unreachable

T = TypeVar("T")

_NEEDS_METER = "ALTER TABLE states ADD COLUMN imports"
"""How the statement begins before which readings of no known meter are given one."""
_MAIN_METER = (
    "INSERT INTO meters (id, public_id, timezone) SELECT 1, 'main', ?"
    " WHERE EXISTS (SELECT 1 FROM consumpdata) AND NOT EXISTS (SELECT 1 FROM meters)"
)
_HAS_OLD_TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'consumpdata'"

WRITE_BUSY_TIMEOUT = 0.2
"""Seconds that a statement waits for another program before it is tried again."""

_FULL_COLUMNS = (*ALL_QUANTITY_NAMES, ESTIMATED_FIELD)
_ROWS_AT_ONCE = 1000
"""Rows of a statement: a row's own statement would take half as long again."""
_INCOMING = f"date TEXT, utc INTEGER, {', '.join(f'{name} INTEGER' for name in _FULL_COLUMNS)}"
_CHANGE = ("BEGIN IMMEDIATE",)
_BEGIN = (
    *_CHANGE,
    # The triggers leave the counting to this transaction, as long as there is a row.
    "INSERT INTO loading (meter_id) VALUES (0)",
    f"CREATE TEMP TABLE IF NOT EXISTS incoming (number INTEGER PRIMARY KEY, {_INCOMING})",
)

_SAVEPOINT = ("SAVEPOINT transaction_of_group",)
_RELEASE = "RELEASE transaction_of_group"
_ROLLBACK_TO = "ROLLBACK TO transaction_of_group"

_LARGE_BATCH = 2000
"""Rows at once for which it is worth to drop triggers and create them again."""
_INSERT_TRIGGERS = {
    name: sql
    for name, sql in STATE_TRIGGERS[SqliteDialect.name].items()
    if " INSERT ON readings" in sql
}


class SqliteWriteEngine:
    """A database file and its folder, created if missing."""

    def __init__(self, path: Path, timezone: ZoneInfo, turns: int | None = None) -> None:
        """Write a file; the zone is that of readings whose meter is not on record.

        If several processes import many reports, `turns` is the descriptor of a file that they
        share. Then all statements run in this thread, and what was committed may be lost in a power
        failure until somebody calls `sync`.
        """
        self.dialect = SqliteDialect()
        self._path = path
        self._timezone = timezone
        self.database = path.stem
        self.on_wait: Callable[[], None] = lambda: None
        self.on_warning: Callable[[str], None] = lambda _: None
        self.on_takeover: Callable[[int, int], None] = lambda _done, _all: None
        self._connection: sqlite3.Connection | None = None
        self._stopped = False
        # One of its own: memory that a thread gives back is of no use to others.
        self._thread = ThreadPoolExecutor(1)
        self._dropped_triggers = False
        self._has_group = False
        self._is_one_of_several = turns is not None
        self._turn = WriteTurn(turns)

    async def prepare(self) -> AsyncGenerator[str]:
        """Create what is missing, up to the newest schema; yield the name of each part."""
        await self._in_thread(self._open)
        yield "Database connection"
        yield f"'{self.database}' database"
        readings = await self._in_thread(self._readings_to_move)
        if readings >= MANY_READINGS:
            yield f"{readings} readings found, which are moved to a new layout"
        on_share = self.on_takeover if readings >= MANY_READINGS else lambda _done, _all: None
        await self._in_thread(lambda: self._migrate(on_share))
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

    async def shown_meter(self) -> int | None:
        """Return the id of the meter whose readings the view `consumpdata` shows."""
        rows = await self.fetch("SELECT sql FROM sqlite_master WHERE name = 'consumpdata'")
        return meter_of_view(rows[0][0]) if rows else None

    async def show_meter(self, meter_id: int) -> None:
        """Let the view `consumpdata` show the readings of a meter."""
        if await self.shown_meter() != meter_id:
            view = view_of(self.dialect.name, meter_id)
            await self._in_thread(lambda: self._replace_view(view))

    async def begin_change(self) -> None:
        """Begin a transaction of a few rows."""
        await self._begin_in_group(_CHANGE)

    async def prepare_removal(self) -> None:
        """Do nothing: triggers are quick, and others wait for the end of a transaction anyway."""

    async def begin(
        self,
        *,
        keeps_triggers: bool = False,  # noqa: ARG002 - they cost nothing
    ) -> None:
        """Begin a transaction that imports reports, once no other program is in one that writes."""
        # Whoever wants to stop the import can do so here.
        await asyncio.sleep(0)
        await self._begin_in_group(_BEGIN)

    @property
    def commits_together(self) -> bool:
        """Return True: neighbouring meters share pages, each of which is written once a commit."""
        return True

    async def begin_group(self) -> None:
        """Begin to import meters that share a commit."""
        await asyncio.sleep(0)
        await self._begin(_BEGIN)
        self._has_group = True

    async def commit_group(self) -> None:
        """Commit what the transactions of a group have committed."""
        self._require_group()
        self._has_group = False
        await self._commit()

    async def rollback_group(self) -> None:
        """Roll back all transactions of a group, if there is one."""
        self._has_group = False
        await self.rollback()

    def _require_group(self) -> None:
        """Raise Unreachable if an error has ended the transaction of a group."""
        if not self._opened().in_transaction:
            raise Unreachable(
                f"{self._path}: an error has ended the transaction; nothing of it was written"
            )

    async def _begin_in_group(self, statements: Sequence[str]) -> None:
        """Begin a transaction, as a part of the group if there is one."""
        if self._has_group:
            self._require_group()
            await self._in_thread(lambda: self._run(_SAVEPOINT))
        else:
            await self._begin(statements)

    async def _begin(self, statements: Sequence[str]) -> None:
        self._turn.take()
        try:
            await self._in_thread(lambda: self._run(statements))
        except BaseException:
            self._turn.end()
            raise

    async def lock_meters(self) -> None:
        """Do nothing: the transaction has locked the whole file."""

    async def fetch_locked(
        self, sql: str, args: Sequence[object] = (), then: Sequence[Condition] = ()
    ) -> list[Sequence[Sequence[Any]]]:
        """Return the rows of statements: the transaction has locked the whole file."""
        return [
            await self.fetch(each.text, each.args) for each in (Condition(sql, tuple(args)), *then)
        ]

    async def append(
        self, batches: Iterable[RowBatch], meter_id: int, import_id: int, last_id: int
    ) -> int:
        """Insert rows as new readings of a meter, with the ids after `last_id`; return how many."""
        columns = {"meter_id": meter_id, "import_id": import_id}
        return await self._in_thread(
            lambda: self._fill("readings", "id", batches, columns, last_id)
        )

    async def stage(self, batches: Iterable[RowBatch]) -> int:
        """Fill the temporary table `incoming`; return the number of its rows."""
        await self.execute("DELETE FROM incoming")
        return await self._in_thread(lambda: self._fill("incoming", "number", batches, {}, 0))

    async def execute(self, sql: str, args: Sequence[object] = ()) -> int:
        """Run a statement; return the number of rows it wrote."""
        is_alone = self._turn.take()
        try:
            return await self._in_thread(lambda: self._opened().execute(sql, args).rowcount)
        finally:
            if is_alone:
                self._turn.end()

    async def post(self, sql: str, args: Sequence[object] = ()) -> None:
        """Run a statement that writes."""
        await self.execute(sql, args)

    async def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Insert rows."""
        sql = self.dialect.insert(table, columns)
        await self._in_thread(lambda: self._opened().executemany(sql, rows))

    async def fetch(self, sql: str, args: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Return a statement's rows: integers as int, texts as str."""
        return await self._in_thread(lambda: self._opened().execute(sql, args).fetchall())

    async def store_page(self, meter_id: int, first_id: int, page: DeflateBlock) -> None:
        """Insert the compressed records of a page."""
        await self.execute(
            self.dialect.insert("pages", ("meter_id", "first_id", "size", "crc", "deflated")),
            (meter_id, first_id, page.size, page.crc, page.deflated),
        )

    async def store_block(
        self, meter_id: int, first_id: int, times: tuple[int, int], columns: bytes
    ) -> None:
        """Insert the columns of readings whose page was stored before."""
        names = ("meter_id", "first_id", "first_utc", "last_utc", "columns")
        await self.execute(
            self.dialect.insert("blocks", names), (meter_id, first_id, *times, columns)
        )

    async def commit(self) -> None:
        """Commit the transaction."""
        if self._dropped_triggers:
            await self._in_thread(self._create_triggers)
        if self._has_group:
            await self.execute(_RELEASE)
        else:
            await self._commit()

    async def _commit(self) -> None:
        await self.execute("DELETE FROM loading")
        await self.execute("COMMIT")
        self._turn.end()

    async def rollback(self) -> None:
        """Roll back the transaction, if there is one."""
        self._dropped_triggers = False
        if self._opened().in_transaction:
            if self._has_group:
                await self._in_thread(lambda: self._run([_ROLLBACK_TO, _RELEASE]))
                return
            await self.execute("ROLLBACK")
        if not self._has_group:
            self._turn.end()

    async def sync(self) -> None:
        """Return once all that is committed would survive a power failure."""
        await self._in_thread(self._sync_log)

    async def close(self) -> None:
        """Close the connection."""
        self._thread.shutdown()
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
            # Without FULL, the log is written to the disk by `sync`, and before its content is
            # moved to the file.
            connection.execute(
                f"PRAGMA synchronous = {'NORMAL' if self._is_one_of_several else 'FULL'}"
            )
            add_functions(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _opened(self) -> sqlite3.Connection:
        assert self._connection is not None, "prepare() or is_prepared() comes first"
        return self._connection

    def _sync_log(self) -> None:
        try:
            descriptor = os.open(f"{self._path.resolve()}-wal", os.O_RDWR)
        except FileNotFoundError:
            return  # its content was moved to the file
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _replace_view(self, view: str) -> None:
        with self._opened():
            self._run(["BEGIN IMMEDIATE", "DROP VIEW consumpdata", view])

    def _create_triggers(self) -> None:
        self._run([*_INSERT_TRIGGERS.values()])
        self._dropped_triggers = False

    def _run(self, statements: Sequence[str]) -> None:
        for statement in statements:
            self._opened().execute(statement)

    def _applied(self) -> int:
        return int(self._opened().execute(SqliteDialect.schema_version).fetchone()[0])

    def _readings_to_move(self) -> int:
        """Return the number of readings in a table of an older layout."""
        connection = self._opened()
        if connection.execute(_HAS_OLD_TABLE).fetchone() is None:
            return 0
        return int(connection.execute("SELECT COUNT(*) FROM consumpdata").fetchone()[0])

    def _migrate(self, on_share: Callable[[int, int], None]) -> None:
        connection = self._opened()
        wanted = STATEMENTS[SqliteDialect.name]
        if self._applied() >= len(wanted):
            return
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            applied = self._applied()
            missing = wanted[applied:]
            parts = shares(missing)
            for number, statement in enumerate(missing, applied + 1):
                on_share(sum(parts[: number - applied - 1]), sum(parts))
                if statement.startswith(_NEEDS_METER):
                    connection.execute(_MAIN_METER, (str(self._timezone),))
                connection.execute(statement)
                if completes_days(SqliteDialect.name, number):
                    self._sum_days()
            connection.execute(f"PRAGMA user_version = {len(wanted)}")

    def _sum_days(self) -> None:
        connection = self._opened()
        sums = day_sums(self.dialect)
        for (meter_id,) in connection.execute("SELECT id FROM meters").fetchall():
            steps = sums.rebuild(meter_id)
            with suppress(StopIteration):
                statement = next(steps)
                while True:
                    rows = connection.execute(statement.text, statement.args).fetchall()
                    statement = steps.send(rows)

    def _fill(
        self,
        table: str,
        key: str,
        batches: Iterable[RowBatch],
        constants: Mapping[str, int],
        before: int,
    ) -> int:
        """Insert rows with constant values of some columns; return how many."""
        connection = self._opened()
        statements = {
            is_full: _insertion(table, key, constants, is_full=is_full) for is_full in (False, True)
        }
        filled = 0
        for batch in batches:
            if self._stopped:
                raise sqlite3.OperationalError("interrupted")
            if batch.count >= _LARGE_BATCH and not self._dropped_triggers:
                # Even one that does nothing costs a tenth of a long import.
                self._run([f"DROP TRIGGER {name}" for name in _INSERT_TRIGGERS])
                self._dropped_triggers = True
            statement, row = statements[batch.is_full]
            columns = batch.columns
            fields = [(columns.ids + before).tolist(), batch.dates, columns.utc.tolist()]
            fields += [_values(column) for column in columns.quantities.values()]
            if batch.is_full:
                fields.append([1 if bits else None for bits in columns.flags.tolist()])
            for at in range(0, batch.count, _ROWS_AT_ONCE):
                some = [field[at : at + _ROWS_AT_ONCE] for field in fields]
                values = [*constants.values(), *_by_row(some)]
                connection.execute(statement + ", ".join([row] * len(some[0])), values)
            filled += batch.count
        return filled

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Return the result of work once no other program writes; call `on_wait` if one does."""
        has_waited = False
        while True:
            try:
                return work() if self._is_one_of_several else await self._finished(work)
            except (sqlite3.Error, OSError) as error:
                if not _is_busy(error):
                    raise Unreachable(f"{self._path} cannot be written: {error}") from error
            if not has_waited:
                self.on_wait()
                has_waited = True
            await asyncio.sleep(0)

    async def _finished(self, work: Callable[[], T]) -> T:
        self._stopped = False
        thread = asyncio.get_running_loop().run_in_executor(self._thread, work)
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


def _by_row(fields: Sequence[Sequence[object]]) -> list[object]:
    """Return the values of rows, one row after the other."""
    values: list[object] = [None] * (len(fields) * len(fields[0]))
    for place, field in enumerate(fields):
        values[place :: len(fields)] = field
    return values


def _values(column: Column) -> list[int | None]:
    values: list[int | None] = column.values.tolist()
    if column.known is not None:
        for place in np.flatnonzero(~column.known).tolist():
            values[place] = None
    return values


def _insertion(table: str, key: str, constants: Iterable[str], *, is_full: bool) -> tuple[str, str]:
    """Return the beginning of the statement that inserts rows, and the placeholders of a row."""
    own = (key, "date", "utc", *(_FULL_COLUMNS if is_full else QUANTITY_NAMES))
    numbered = [f"?{number}" for number, _ in enumerate(constants, 1)]
    placeholders = ", ".join([*numbered, *("?" * len(own))])
    return (
        f"INSERT INTO {table} ({', '.join((*constants, *own))}) VALUES ",
        f"({placeholders})",
    )


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
