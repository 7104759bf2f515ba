"""MySQL and MariaDB, read through aiomysql."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiomysql
from pymysql.constants import FIELD_TYPE
from pymysql.converters import encoders
from pymysql.err import MySQLError

from settings import AccountSettings, MysqlUrl
from storage.backends.mysql.dialect import DIALECT
from storage.backends.mysql.tls import SECURE_TRANSPORT_REQUIRED, tls_context, untrusted_reason
from storage.backends.pool import ConnectionPool
from storage.backends.statistics import PoolStatistics
from storage.common.errors import NotPrepared, Refused, StorageError, Unreachable, Untrusted

CONNECT_TIMEOUT = 10.0
"""Seconds until a server that doesn't answer, or has no connection to spare, is given up."""

KILL_TIMEOUT = 1.0
"""Seconds within which a statement that nobody waits for is ended."""

MAX_PAGE_BYTES = 64 * 2**20

# Bytes pass through as they are stored; only integers are converted.
_CONVERSIONS: dict[Any, Any] = {
    **encoders,
    **dict.fromkeys((FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG), int),
}

_REFUSED = {1044, 1045, 1130, 1142, 1143, 1227, 1410, 1698, SECURE_TRANSPORT_REQUIRED}
_NOT_PREPARED = {1049, 1146}
_TOO_LONG = {1969, 3024}


def translate_error(error: BaseException, location: MysqlUrl) -> StorageError:
    """What an error of the driver means for whoever runs the service."""
    where = f"{location.host}:{location.port}"
    if reason := untrusted_reason(error):
        return Untrusted(f"{where} is not trusted: {reason}")
    code, text = (*error.args, "")[:2] if isinstance(error, MySQLError) else (0, str(error))
    if code in _REFUSED:
        return Refused(f"{where}: access denied: {text}")
    if code in _NOT_PREPARED:
        return NotPrepared(
            f"{where} has no database or table for readings yet ({text}): "
            "load a report with elecdata load REPORT.csv"
        )
    if code in _TOO_LONG:
        return Unreachable(f"{where} took longer than database.statement_timeout allows")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{where} did not answer in time")
    return Unreachable(f"{where} cannot be reached: {text or type(error).__name__}")


class MysqlEngine:
    """A bounded pool of connections that only read."""

    dialect = DIALECT

    def __init__(
        self,
        location: MysqlUrl,
        account: AccountSettings,
        *,
        ca: Path | None,
        connections: int,
        statement_timeout: float,
    ) -> None:
        self._location = location
        self._statement_timeout = statement_timeout
        self._options: dict[str, Any] = {
            "host": location.host,
            "port": location.port,
            "db": location.name,
            "user": account.user,
            "password": account.password.get_secret_value(),
            "charset": "utf8mb4",
            "ssl": tls_context(ca),
            "connect_timeout": CONNECT_TIMEOUT,
            "autocommit": True,
            "use_unicode": False,
            "conv": _CONVERSIONS,
            "init_command": (
                f"SET SESSION group_concat_max_len = {MAX_PAGE_BYTES}"
                ", character_set_connection = binary, character_set_results = NULL"
                f" /*M!100100 , max_statement_time = {statement_timeout} */"
                f" /*!80000 , max_execution_time = {int(statement_timeout * 1000)} */"
            ),
        }
        # The pool's own queue of waiters misses a wake-up when a connection comes back broken,
        # so that nobody may ever wait in it.
        self._slots = ConnectionPool(connections, statement_timeout + CONNECT_TIMEOUT)
        self._pool: aiomysql.Pool | None = None
        self._connections = connections
        self._endings: set[asyncio.Task[None]] = set()
        self.load = PoolStatistics(connections)

    async def fetch(
        self, sql: str, args: Sequence[object] = (), *, brief: bool = False
    ) -> Sequence[Sequence[Any]]:
        """The rows of a statement: integers as int, texts as bytes, NULL as None."""
        began = self.load.begin()
        # The server's own limit ends a slow statement first; this one a silent server.
        patience = CONNECT_TIMEOUT + (0 if brief else self._statement_timeout)
        try:
            async with self._connection() as connection, connection.cursor() as cursor:
                async with asyncio.timeout(patience):
                    await cursor.execute(sql, args or None)
                    rows: Sequence[Sequence[Any]] = await cursor.fetchall()
                    return rows
        except (MySQLError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise translate_error(error, self._location) from error
        finally:
            self.load.end(began)

    def writes(self) -> int | None:
        """Unknown: to ask for it would cost as much as to ask for the state."""
        return None

    async def execute(self, sql: str, args: Sequence[object]) -> None:
        """Runs a statement that writes; the account's rights say which may."""
        await self.fetch(sql, args)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiomysql.Connection]:
        """A connection for one statement, which is ended where nobody waits for it any more."""
        await self._slots.acquire()
        abandoned = None
        try:
            if self._pool is None:
                self._pool = await aiomysql.create_pool(
                    minsize=0, maxsize=self._connections, **self._options
                )
            async with asyncio.timeout(CONNECT_TIMEOUT):
                connection = await self._pool.acquire()
            try:
                yield connection
            except (asyncio.CancelledError, TimeoutError):
                abandoned = connection.thread_id()
                raise
            finally:
                self._pool.release(connection)
        finally:
            if abandoned is None:
                self._slots.release()
            else:
                ending = asyncio.create_task(self._end(abandoned))
                self._endings.add(ending)
                ending.add_done_callback(self._ended)

    async def _end(self, thread: int) -> None:
        """Ends a statement whose connection the driver has closed: its server works on."""
        assert self._pool is not None
        # It has ended by itself, or the server's own limit will end it.
        with suppress(MySQLError, OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(KILL_TIMEOUT), self._pool.acquire() as connection:
                await connection.query(f"KILL {thread}")

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self._endings.remove(ending)
        self._slots.release()

    async def close(self) -> None:
        """End all connections."""
        await asyncio.gather(*self._endings)
        if self._pool is not None:
            self._pool.terminate()
            await self._pool.wait_closed()
