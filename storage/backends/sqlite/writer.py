"""SQLite, written by the loader."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from domain.fixed_point import SCALE
from domain.quantities import QUANTITY_NAMES
from domain.report_source import BATCH_FIELDS, RowBatch
from storage.backends.schema import statements
from storage.backends.sqlite.dialect import DIALECT as READING
from storage.backends.write_base import WriteDialect
from storage.common.deflate import DeflateBlock
from storage.common.errors import Unreachable
from storage.meters import METER

T = TypeVar("T")

_SAME = " AND ".join(f"c.{name} IS i.{name}" for name in QUANTITY_NAMES)

DIALECT = WriteDialect(
    place="?",
    instant="utc",
    update=(
        f"UPDATE consumpdata AS c SET {', '.join(f'{name} = i.{name}' for name in QUANTITY_NAMES)}"
        f" FROM incoming AS i WHERE c.meter_id = {METER} AND c.utc = i.utc"
        f" AND NOT ({_SAME})"
    ),
    same=_SAME,
    unless_taken="ON CONFLICT (user) DO NOTHING",
    epoch="0",
    later="({0} + {1})",
    elapsed="({1} - {0})",
    # An integer that grows too large becomes a real, which is not exact: so the maximeter is taken
    # apart, and what may still grow too large is far from what it is compared with.
    exceeds=(
        "(c.energy - c.maximeter / 360000 * ({times})) * 360000"
        f" > c.maximeter % 360000 * ({{times}}) + {{more}} * {SCALE}"
    ),
)

_PATIENCE = 0.2
"""Seconds that a statement waits for another program; then it is tried again, or given up."""

# All decimals are there, so that the digits alone are the number of hundred-thousandths.
_QUANTITIES = ", ".join(
    f"CAST(replace(NULLIF(?{place}, ''), '.', '') AS INTEGER)"
    for place in range(len(BATCH_FIELDS) - len(QUANTITY_NAMES) + 1, len(BATCH_FIELDS) + 1)
)
_ROWS = f"VALUES (?1 + {{before}}, ?2, strftime('%s', ?2) - ?3, {_QUANTITIES})"
_STAGE = f"INSERT INTO incoming (number, date, utc, {', '.join(QUANTITY_NAMES)}) {_ROWS}"
_APPEND = f"INSERT INTO consumpdata (id, date, utc, {', '.join(QUANTITY_NAMES)}) {_ROWS}"


class SqliteWriteEngine:
    """A database file and its folder, made where they are missing."""

    dialect = DIALECT
    reading = READING

    def __init__(self, path: Path) -> None:
        self._path = path
        self.database = path.stem
        self._connection: sqlite3.Connection | None = None
        self._stopped = False

    async def prepare(self) -> AsyncGenerator[str]:
        """Makes what is missing, up to the newest layout; names each part when it is there."""
        await self._in_thread(self._open)
        yield "Database connection"
        yield f"'{self.database}' database"
        await self._in_thread(self._migrate)
        yield f"'{self.database}.consumpdata' table"
        yield f"'{self.database}.users' table"
        yield "Trigger"

    async def is_prepared(self) -> bool:
        """Whether the database has the newest layout."""
        if not self._path.exists():
            return False
        await self._in_thread(self._open)
        return await self._in_thread(self._applied) == len(statements("sqlite"))

    async def admit_reader(self) -> str | None:
        """None: who may read the file is what the file system says."""
        return None

    async def begin(self, waiting: Callable[[], None]) -> None:
        """Starts a transaction in its turn; calls `waiting` where another loader is in one."""
        await self._in_thread(lambda: self._opened().execute("BEGIN IMMEDIATE"), waiting)
        await self.execute("DROP TABLE IF EXISTS temp.incoming")
        await self.execute(
            f"CREATE TEMP TABLE incoming (number INTEGER PRIMARY KEY, date TEXT, utc INTEGER,"
            f" {', '.join(f'{name} INTEGER' for name in QUANTITY_NAMES)})"
        )

    async def append(self, blocks: Iterable[RowBatch], before: int) -> int:
        """Adds rows as new readings, with ids that are their numbers and `before` added."""
        return await self._in_thread(lambda: self._fill(_APPEND.format(before=before), blocks))

    async def stage(self, blocks: Iterable[RowBatch]) -> int:
        """Fills the temporary table `incoming` and returns the number of its rows."""
        await self.execute("DELETE FROM incoming")
        return await self._in_thread(lambda: self._fill(_STAGE.format(before=0), blocks))

    async def execute(self, sql: str, args: Sequence[object] = ()) -> int:
        """Runs a statement and returns how many rows it wrote."""
        return await self._in_thread(lambda: self._opened().execute(sql, args).rowcount)

    async def fetch(self, sql: str, args: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """The rows of a statement: integers as int, texts as str."""
        return await self._in_thread(lambda: self._opened().execute(sql, args).fetchall())

    async def keep_page(self, first_id: int, page: DeflateBlock) -> None:
        """Keeps the records of a page, compressed."""
        await self.execute(
            "INSERT INTO pages (first_id, size, crc, deflated) VALUES (?, ?, ?, ?)",
            (first_id, page.size, page.crc, page.deflated),
        )

    async def commit(self) -> None:
        """Makes everything since `begin` last."""
        await self.execute("COMMIT")

    async def rollback(self) -> None:
        """Forgets everything since `begin`."""
        if self._opened().in_transaction:
            await self.execute("ROLLBACK")

    async def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()

    def _open(self) -> None:
        if self._connection is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection

    def _opened(self) -> sqlite3.Connection:
        assert self._connection is not None, "prepare() or is_prepared() comes first"
        return self._connection

    def _applied(self) -> int:
        return int(self._opened().execute("PRAGMA user_version").fetchone()[0])

    def _migrate(self) -> None:
        connection = self._opened()
        wanted = statements("sqlite")
        if self._applied() == len(wanted):
            return
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in wanted[self._applied() :]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(wanted)}")

    def _fill(self, statement: str, blocks: Iterable[RowBatch]) -> int:
        connection = self._opened()
        filled = 0
        for block in blocks:
            if self._stopped:
                raise sqlite3.OperationalError("interrupted")
            rows = block.rows.decode("ascii").splitlines()
            connection.executemany(statement, (row.split(",") for row in rows))
            filled += len(rows)
        return filled

    async def _in_thread(
        self, work: Callable[[], T], waiting: Callable[[], None] = lambda: None
    ) -> T:
        """The result of work, once no other program writes; calls `waiting` while one does."""
        is_told = False
        while True:
            try:
                return await self._finished(work)
            except (sqlite3.Error, OSError) as error:
                if not _is_busy(error):
                    raise Unreachable(f"{self._path} cannot be written: {error}") from error
            if not is_told:
                waiting()
                is_told = True

    async def _finished(self, work: Callable[[], T]) -> T:
        self._stopped = False
        thread = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            await asyncio.wait([thread])
        except asyncio.CancelledError:
            # The connection is free again once the thread has left it.
            self._stopped = True
            if self._connection is not None:
                self._connection.interrupt()
            await asyncio.wait([thread])
            thread.exception()  # which nobody asks for any more
            raise
        return thread.result()


def _is_busy(error: sqlite3.Error | OSError) -> bool:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF == sqlite3.SQLITE_BUSY
