"""SQLite, read in threads through connections that cannot write."""

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from storage.errors import NotPrepared, StorageError, Unreachable
from storage.load import Load
from storage.reading import DECIMALS, NAMES, RECORD_KEYS, SCALE
from storage.sql import Dialect

_BETWEEN_INTERRUPTS = 0.01


def _record() -> str:
    """A reading as the text of a JSON object; the form without NULL is the quicker one."""
    whole = ",".join(
        f'"{key}":"%.{DECIMALS}f"' if key in NAMES else f'"{key}":"%s"' for key in RECORD_KEYS
    )
    parts = ",".join(f'"{key}":%s' if key in NAMES else f'"{key}":"%s"' for key in RECORD_KEYS)
    numbers = [f"{key} / {SCALE}.0" if key in NAMES else key for key in RECORD_KEYS]
    texts = [
        f"iif({key} IS NULL, 'null', printf('\"%.{DECIMALS}f\"', {key} / {SCALE}.0))"
        if key in NAMES
        else key
        for key in RECORD_KEYS
    ]
    return (
        f"CASE WHEN {' + '.join(NAMES)} IS NOT NULL"
        f" THEN printf('{{{whole}}}', {', '.join(numbers)})"
        f" ELSE printf('{{{parts}}}', {', '.join(texts)}) END"
    )


DIALECT = Dialect(
    place="?",
    joined=f"group_concat({_record()}, ',')",
    rows="(SELECT * FROM consumpdata WHERE {where} ORDER BY id)",
    by_id="NOT INDEXED",
    tables="SELECT name FROM sqlite_master WHERE type = 'table'",
)


def explained(error: sqlite3.Error, path: Path) -> StorageError:
    """What an error of the library means for whoever runs the service."""
    if not path.exists() or "no such table" in str(error):
        return NotPrepared(
            f"{path} has no readings yet: load a report with python -m loader REPORT.csv"
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
        self._slots = asyncio.Semaphore(connections)
        self.load = Load(connections)
        self._free: list[sqlite3.Connection] = []
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="sqlite")

    async def fetch(self, sql: str, args: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """The rows of a statement: integers as int, texts as bytes, NULL as None."""
        began = self.load.begin()
        try:
            async with self._slots:
                try:
                    connection = self._free.pop() if self._free else self._connect()
                    async with asyncio.timeout(self._statement_timeout):
                        return await self._run(connection, sql, args)
                except TimeoutError as error:
                    raise explained(sqlite3.OperationalError("interrupted"), self._path) from error
                except sqlite3.Error as error:
                    raise explained(error, self._path) from error
        finally:
            self.load.end(began)

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

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = bytes
        return connection

    async def close(self) -> None:
        """End all connections."""
        await asyncio.to_thread(self._threads.shutdown)
        while self._free:
            self._free.pop().close()
