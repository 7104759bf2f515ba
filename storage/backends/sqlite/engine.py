"""SQLite, read in threads through connections that cannot write; one thread writes."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from storage.backends.pool import ConnectionPool
from storage.backends.sqlite.dialect import DIALECT
from storage.backends.statistics import PoolStatistics
from storage.common.errors import NotPrepared, StorageError, Unreachable

_BETWEEN_INTERRUPTS = 0.01

_PATIENCE = 5.0
"""Seconds that a statement waits in its thread for another program."""


def translate_error(error: sqlite3.Error, path: Path) -> StorageError:
    """What an error of the library means for whoever runs the service."""
    if not path.exists() or "no such table" in str(error):
        return NotPrepared(
            f"{path} has no readings yet: load a report with elecdata load REPORT.csv"
        )
    if isinstance(error, sqlite3.OperationalError) and "interrupted" in str(error):
        return Unreachable("a statement took longer than database.statement_timeout allows")
    return Unreachable(f"{path} cannot be read: {error}")


class SqliteEngine:
    """A bounded number of connections that only read, each used by one thread at a time."""

    dialect = DIALECT

    def __init__(self, path: Path, *, connections: int, statement_timeout: float) -> None:
        self._path = path
        self._statement_timeout = statement_timeout
        self._slots = ConnectionPool(connections, statement_timeout + _PATIENCE)
        self.load = PoolStatistics(connections)
        self._here: sqlite3.Connection | None = None
        self._free: list[sqlite3.Connection] = []
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="sqlite")
        # One that waits for an import to end keeps no reader from a thread.
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writing")

    async def fetch(
        self, sql: str, args: Sequence[object] = (), *, brief: bool = False
    ) -> Sequence[Sequence[Any]]:
        """The rows of a statement: integers as int, texts as bytes, NULL as None."""
        if brief and (rows := self._fetch_here(sql, args)) is not None:
            # To take its time would cost too large a part of it.
            self.load.statements += 1
            return rows
        began = self.load.begin()
        try:
            async with self._slots:
                try:
                    connection = self._free.pop() if self._free else self._connect()
                    async with asyncio.timeout(self._statement_timeout):
                        return await self._run(connection, sql, args)
                except TimeoutError as error:
                    raise translate_error(
                        sqlite3.OperationalError("interrupted"), self._path
                    ) from error
                except sqlite3.Error as error:
                    raise translate_error(error, self._path) from error
        finally:
            self.load.end(began)

    def _fetch_here(self, sql: str, args: Sequence[object]) -> Sequence[Sequence[Any]] | None:
        """The rows, unless they have to be waited for: a thread costs ten times as much."""
        try:
            if self._here is None:
                self._here = self._connect(patience=0)
            return self._here.execute(sql, args).fetchall()
        except sqlite3.Error:
            return None  # a thread waits, or says what is wrong

    def writes(self) -> int | None:
        """Moves with every transaction that another connection has written."""
        rows = self._fetch_here("PRAGMA data_version", ())
        return rows[0][0] if rows else None

    async def execute(self, sql: str, args: Sequence[object]) -> None:
        """Runs a statement that writes, through a connection of its own."""
        began = time.perf_counter()
        written = asyncio.get_running_loop().run_in_executor(
            self._writing, self._execute, sql, args
        )
        try:
            async with asyncio.timeout(self._statement_timeout):
                await written
        except TimeoutError as error:
            raise Unreachable(f"{self._path} is being written by another program") from error
        except sqlite3.Error as error:
            raise Unreachable(f"{self._path} cannot be written: {error}") from error
        finally:
            self.load.took(began)

    def _execute(self, sql: str, args: Sequence[object]) -> None:
        with closing(
            sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=rw",
                uri=True,
                isolation_level=None,
                timeout=self._statement_timeout,
            )
        ) as connection:
            connection.execute(sql, args)

    async def _run(
        self, connection: sqlite3.Connection, sql: str, args: Sequence[object]
    ) -> Sequence[Sequence[Any]]:
        statement = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: connection.execute(sql, args).fetchall()
        )
        try:
            return await asyncio.shield(statement)
        finally:
            # Whoever asked may have gone: the statement must end before its connection is free.
            # One that has not begun yet does not notice an interrupt.
            while not statement.done():
                connection.interrupt()
                await asyncio.wait([statement], timeout=_BETWEEN_INTERRUPTS)
            self._free.append(connection)

    def _connect(self, patience: float = _PATIENCE) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=min(patience, self._statement_timeout),
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = bytes
        return connection

    async def close(self) -> None:
        """End all connections."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._here is not None:
            self._here.close()
        await asyncio.to_thread(self._writing.shutdown)
        while self._free:
            self._free.pop().close()
