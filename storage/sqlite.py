"""SQLite, read in threads through connections that cannot write; one thread writes."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from storage.errors import NotPrepared, StorageError, Unreachable
from storage.load import Load
from storage.quality import FLAGS
from storage.reading import DECIMALS, INTEGER_DIGITS, MONTHS, NAMES, SCALE
from storage.shape import FLAGS_COLUMN, Form, Shape, Time
from storage.slots import Slots
from storage.sql import ERA, MOST_SECONDS, Dialect

_BETWEEN_INTERRUPTS = 0.01
_ABOVE_LEAST = 10 ** (INTEGER_DIGITS + DECIMALS)
"""Makes any quantity positive."""

_PATIENCE = 5.0
"""Seconds that a statement waits in its thread for another program."""


_SECONDS_AHEAD = "(strftime('%s', date) - utc)"
_DATES = {
    Time.LOCAL: "date",
    Time.UTC: "strftime('%Y-%m-%dT%H:%M:%SZ', utc, 'unixepoch')",
    Time.OFFSET: (
        f"replace(date, ' ', 'T') || iif({_SECONDS_AHEAD} < 0, '-', '+') ||"
        f" strftime(iif({_SECONDS_AHEAD} % 60, '%H:%M:%S', '%H:%M'),"
        f" abs({_SECONDS_AHEAD}), 'unixepoch')"
    ),
}
_REPORTED = (
    "ltrim(substr(date, 9, 2), '0') || ' ' ||"
    f" substr('{''.join(MONTHS)}', substr(date, 6, 2) * 3 - 2, 3) ||"
    " ' ' || substr(date, 1, 4) || substr(date, 11)"
)
_EACH_FLAG = [f"iif(flags & {flag.bit}, ' {flag.name}', '')" for flag in FLAGS]
_FLAGS = f"ltrim({' || '.join(_EACH_FLAG)})"


@lru_cache
def _record(shape: Shape) -> str:
    """A reading as text; the form without NULL is the quicker one."""
    is_json = shape.is_json

    def printed(*, with_null: bool) -> str:
        text, values = "", []
        before = "{" if is_json else ""
        for column in shape.columns:
            form, value = f"%.{DECIMALS}f", f"{column} / {SCALE}.0"
            if column not in NAMES:
                form, value = "%s", _value(column, shape)
            if is_json and not shape.is_number(column):
                form = f'"{form}"'
            if with_null and column in NAMES:
                value = f"iif({column} IS NULL, '{shape.missing}', printf('{form}', {value}))"
                form = "%s"
            text += f'{before}"{column}":{form}' if is_json else f"{before}{form}"
            values.append(value)
            before = ","
        return f"printf('{text}{'}' if is_json else ''}{shape.end}', {', '.join(values)})"

    quantities = [column for column in shape.columns if column in NAMES]
    if not quantities:
        return printed(with_null=False)
    return (
        f"CASE WHEN {' + '.join(quantities)} IS NOT NULL"
        f" THEN {printed(with_null=False)} ELSE {printed(with_null=True)} END"
    )


def _value(column: str, shape: Shape) -> str:
    """What to print for a column that is no quantity."""
    if column == "date":
        if shape.form is Form.CELLS:
            return "utc"
        if shape.form is Form.ROWS and shape.time is Time.LOCAL:
            return _REPORTED
        return _DATES[shape.time]
    if column == FLAGS_COLUMN:
        return _FLAGS if shape.is_json else f"ifnull(nullif({_FLAGS}, ''), '{shape.missing}')"
    return column


def _grouped(key: str, values: Sequence[str], readings: str) -> str:
    return (
        f"SELECT {key} AS number, {', '.join(values)}"
        f" FROM {readings} GROUP BY number ORDER BY number"
    )


DIALECT = Dialect(
    place="?",
    record=_record,
    joined="group_concat({record}, '{separator}')",
    rows="(SELECT * FROM consumpdata{flags} WHERE {where} ORDER BY id{descending})",
    hundred_thousandths="COALESCE(SUM(energy), 0)",
    by_id="NOT INDEXED",
    tables="SELECT name FROM sqlite_master WHERE type = 'table'",
    instant=int,
    seconds=f"({{}} + {ERA})",
    quotient="(({}) / {})",
    grouped=_grouped,
    groups=lambda rows: [list(row) for row in rows],
    # Too long for an integer; as texts of one length they compare like numbers.
    greatest=(
        "MAX(iif({value} IS NULL, NULL, printf('%016d%012d',"
        f" {{value}} + {_ABOVE_LEAST}, {MOST_SECONDS - 1} - {{seconds}})))"
    ),
    greatest_base=_ABOVE_LEAST * MOST_SECONDS,
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
        self._slots = Slots(connections, statement_timeout + _PATIENCE)
        self.load = Load(connections)
        self._here: sqlite3.Connection | None = None
        self._free: list[sqlite3.Connection] = []
        self._is_closed = False
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
                    with self._connection() as connection:
                        async with asyncio.timeout(self._statement_timeout):
                            return await self._run(connection, sql, args)
                except TimeoutError as error:
                    raise explained(sqlite3.OperationalError("interrupted"), self._path) from error
                except sqlite3.Error as error:
                    raise explained(error, self._path) from error
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
            # Whoever asked may have gone, and may say so again: the statement must end before its
            # connection is free. One that has not begun yet does not notice an interrupt.
            while not statement.done():
                connection.interrupt()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([statement], timeout=_BETWEEN_INTERRUPTS)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one statement, kept for the next one unless the engine was closed."""
        connection = self._free.pop() if self._free else self._connect()
        try:
            yield connection
        finally:
            if self._is_closed:
                connection.close()
            else:
                self._free.append(connection)

    def _connect(self, patience: float = _PATIENCE) -> sqlite3.Connection:
        if self._is_closed:
            raise sqlite3.ProgrammingError("all connections were ended")
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
        """End all connections, those in use with their statements."""
        self._is_closed = True
        while self._free:
            self._free.pop().close()
        if self._here is not None:
            self._here.close()
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._writing.shutdown)
