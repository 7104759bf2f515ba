"""SQLite, read in threads through connections that cannot write; one thread writes."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from weakref import WeakSet

from storage.backends.base import FIRST_SOURCE, Source
from storage.backends.pool import ConnectionPool
from storage.backends.sqlite.dialect import SqliteDialect, add_functions
from storage.backends.statistics import PoolStatistics
from storage.common.errors import NotPrepared, StorageError, Unreachable

READ_BUSY_TIMEOUT = 5.0
"""Seconds that a statement waits in its thread for another program."""

SLOW_SECONDS = 0.02
"""Longer statements do not run in the event loop's own thread, nor any others for a while."""

SLOW_PAUSE = 1.0
"""Seconds for which threads run them instead: the disk is cold, or slow."""

_WRITE_SECONDS = 1.0
"""Seconds that a statement may write for after its wait, before it is given up."""

_INTERRUPT_INTERVAL = 0.01

Rows = Sequence[Sequence[Any]]
_File = tuple[int, int]


def translate_error(error: sqlite3.Error, path: Path) -> StorageError:
    """Return what an error of the library means for whoever runs the service."""
    if not path.exists() or "no such table" in str(error):
        return NotPrepared(
            f"{path} has no readings yet: load a report with elecdata load REPORT.csv"
        )
    if isinstance(error, sqlite3.OperationalError) and "interrupted" in str(error):
        return _too_long()
    return Unreachable(f"{path} cannot be read: {error}")


class _ReadConnection(sqlite3.Connection):
    is_usable = True
    """A file does not hang up, but another may take its place."""


class SqliteEngine:
    """A bounded number of connections that only read, each used by one thread at a time."""

    def __init__(self, path: Path, *, connections: int, statement_timeout: float) -> None:
        self.dialect = SqliteDialect()
        self.load = PoolStatistics(connections)
        self._path = path
        self._place = str(path)
        self._statement_timeout = statement_timeout
        self._pool = ConnectionPool(
            self._open,
            connections,
            statement_timeout + READ_BUSY_TIMEOUT,
            # More threads than processors would only keep the event loop from its own.
            most_long=max(2, os.cpu_count() or 1),
        )
        self._inline: sqlite3.Connection | None = None
        """Used in the event loop's own thread, for small statements."""
        self._inline_from = 0.0
        """When small statements may run there again, after one that was slow."""
        self._file: _File | None = None
        """The file that the connections are of, None if there was none at the last look."""
        self.known_source = FIRST_SOURCE
        self._open_connections: WeakSet[_ReadConnection] = WeakSet()
        self._is_closed = False
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="sqlite")
        # One that waits for an import to end keeps no reader from a thread.
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writing")

    async def fetch(
        self, sql: str, args: Sequence[object] = (), *, small: bool = False, quick: bool = True
    ) -> Rows:
        """Return a statement's rows: integers as int, texts as bytes, NULL as None.

        Those of a small statement are of the file that `source` has found last.
        """
        if not small:
            self.source()
        if small and quick and (rows := self._fetch_inline(sql, args)) is not None:
            # To take its time would cost too large a part of it.
            self.load.statements += 1
            return rows
        began = self.load.begin()
        try:
            connection = await self._pool.acquire(small=small)
            async with asyncio.timeout(self._statement_timeout):
                return await self._fetch(connection, sql, args)
        except TimeoutError as error:
            raise _too_long() from error
        except sqlite3.Error as error:
            raise translate_error(error, self._path) from error
        finally:
            self.load.end(began)

    async def _fetch(self, connection: _ReadConnection, sql: str, args: Sequence[object]) -> Rows:
        try:
            statement = asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: connection.execute(sql, args).fetchall()
            )
        except RuntimeError:  # the threads have ended
            self._pool.release(connection)
            raise Unreachable("all connections were ended") from None
        try:
            return await asyncio.shield(statement)
        finally:
            if statement.done():
                self._pool.release(connection)
            else:
                self._pool.clean_up(connection, self._interrupt(connection, statement))

    async def _interrupt(
        self, connection: _ReadConnection, statement: "asyncio.Future[list[Any]]"
    ) -> None:
        """End a statement whose client has left: before that, its connection is not free."""
        # One that has not begun yet does not notice an interrupt.
        while not statement.done():
            connection.interrupt()
            await asyncio.wait([statement], timeout=_INTERRUPT_INTERVAL)
        statement.exception()  # which nobody asks for any more
        self._pool.put(connection)

    def _fetch_inline(self, sql: str, args: Sequence[object]) -> Rows | None:
        """Return the rows, unless they have to be waited for: a thread costs ten times as much."""
        began = time.perf_counter()
        if began < self._inline_from:
            return None
        try:
            if self._inline is None:
                self._inline = self._connect(busy_timeout=0)
            return self._inline.execute(sql, args).fetchall()
        except sqlite3.Error:
            return None  # a thread waits, or says what is wrong
        finally:
            # Everybody has waited for it.
            if time.perf_counter() - began > SLOW_SECONDS:
                self._inline_from = began + SLOW_PAUSE

    def source(self) -> Source:
        """Look which file is at the path; if it is another one, connections are made anew.

        Its connections keep a file that was moved or deleted, so its inode is not used again.
        """
        file = _file(self._place)
        if file != self._file:
            self._file = file
            suffix = "" if file is None else f"-{file[0]:x}-{file[1]:x}"
            self.known_source = Source(self.known_source.number + 1, suffix)
            for connection in self._open_connections:
                connection.is_usable = False
            if self._inline is not None:
                self._inline.close()
                self._inline = None
            self._pool.discard_unusable()
        return self.known_source

    def writes(self) -> int | None:
        """Return a number that moves with every transaction of another connection."""
        rows = self._fetch_inline("PRAGMA data_version", ())
        return rows[0][0] if rows else None

    async def execute(
        self, sql: str, args: Sequence[object], *, patience: float | None = None
    ) -> int:
        """Run a statement that writes, through a connection of its own.

        One with a patience of its own is not left while it runs: its outcome is certain.
        """
        began = time.perf_counter()
        deadline = began + (self._statement_timeout if patience is None else patience)
        written = asyncio.get_running_loop().run_in_executor(
            self._writing, self._execute, sql, args, deadline
        )
        most = self._statement_timeout + _WRITE_SECONDS
        try:
            async with asyncio.timeout(most if patience is None else None):
                return await written
        except TimeoutError as error:
            raise Unreachable(f"{self._path} is being written by another program") from error
        except sqlite3.Error as error:
            raise Unreachable(f"{self._path} cannot be written: {error}") from error
        finally:
            self.load.record(began)

    def _execute(self, sql: str, args: Sequence[object], deadline: float) -> int:
        file = _file(self._path)
        with closing(
            sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=rw",
                uri=True,
                isolation_level=None,
                # Others that wrote before have taken a part of its time.
                timeout=max(0, deadline - time.perf_counter()),
            )
        ) as connection:
            add_functions(connection)
            _require_same(file, self._path)
            written = connection.execute(sql, args).rowcount
        # Otherwise it may have been written to a file that is not read any more.
        _require_same(file, self._path)
        return written

    async def _open(self) -> _ReadConnection:
        return self._connect(READ_BUSY_TIMEOUT)

    def _connect(self, busy_timeout: float) -> _ReadConnection:
        if self._is_closed:
            raise sqlite3.ProgrammingError("all connections were ended")
        self.source()
        file = self._file
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=min(busy_timeout, self._statement_timeout),
            isolation_level=None,
            check_same_thread=False,
            factory=_ReadConnection,
        )
        try:
            _require_same(file, self._path)
        except sqlite3.Error:
            connection.close()
            raise
        connection.text_factory = bytes
        self._open_connections.add(connection)
        return connection

    async def close(self) -> None:
        """Close all connections, once their statements have ended."""
        self._is_closed = True
        if self._inline is not None:
            self._inline.close()
        self._pool.shut()
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._writing.shutdown)
        await self._pool.close()


def _file(path: Path | str) -> _File | None:
    """Return the device and the inode of a file, None if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - in half the time of Path.stat
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _require_same(file: _File | None, path: Path) -> None:
    """Raise sqlite3.Error unless the file at a path is still this one."""
    if file is None or _file(path) != file:
        raise sqlite3.OperationalError("it was replaced just now")


def _too_long() -> Unreachable:
    return Unreachable("a statement took longer than database.statement_timeout allows")
