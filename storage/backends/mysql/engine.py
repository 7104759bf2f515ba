"""MySQL and MariaDB, read through aiomysql."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from pymysql.constants import FIELD_TYPE
from pymysql.converters import encoders

from settings import AccountSettings, MysqlUrl
from storage.backends.base import FIRST_SOURCE, Source
from storage.backends.mysql.connection import (
    CONNECT_TIMEOUT,
    DRIVER_ERRORS,
    MAX_PAGE_BYTES,
    SecuredConnection,
    connection_options,
    tls_context,
    translate_error,
)
from storage.backends.mysql.dialect import MysqlDialect
from storage.backends.pool import ConnectionPool
from storage.backends.statistics import PoolStatistics
from storage.common.errors import StorageError

KILL_TIMEOUT = 1.0
"""Seconds to end a statement whose client has left."""

# Bytes pass through as they are stored; only integers are converted.
_CONVERSIONS: dict[Any, Any] = {
    **encoders,
    **dict.fromkeys((FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG), int),
}


class MysqlEngine:
    """A bounded pool of connections that only read."""

    def __init__(
        self,
        location: MysqlUrl,
        account: AccountSettings,
        *,
        ca: Path | None,
        connections: int,
        statement_timeout: float,
    ) -> None:
        self.dialect = MysqlDialect()
        self.load = PoolStatistics(connections)
        self.known_source = FIRST_SOURCE
        self._location = location
        self._statement_timeout = statement_timeout
        self._options = connection_options(location, account, tls_context(ca)) | {
            "db": location.name,
            "use_unicode": False,
            "conv": _CONVERSIONS,
            "init_command": (
                f"SET SESSION group_concat_max_len = {MAX_PAGE_BYTES}"
                ", character_set_connection = binary, character_set_results = NULL"
                f" /*M!100100 , max_statement_time = {statement_timeout} */"
                # MySQL would remember the time of a table's last change for a day.
                f" /*!80000 , max_execution_time = {int(statement_timeout * 1000)}"
                ", information_schema_stats_expiry = 0 */"
            ),
        }
        self._pool = ConnectionPool(
            lambda: SecuredConnection.open(self._options),
            connections,
            statement_timeout + CONNECT_TIMEOUT,
        )

    async def fetch(
        self,
        sql: str,
        args: Sequence[object] = (),
        *,
        small: bool = False,
        quick: bool = True,  # noqa: ARG002 - no statement runs in the event loop's thread
    ) -> Sequence[Sequence[Any]]:
        """Return a statement's rows: integers as int, texts as bytes, NULL as None."""
        return (await self._run(sql, args, small=small))[1]

    async def _run(
        self, sql: str, args: Sequence[object], *, small: bool = False
    ) -> tuple[int, Sequence[Sequence[Any]]]:
        """Return the number of rows that a statement found or wrote, and the rows found."""
        began = self.load.begin()
        # The server's own limit ends a slow statement first; this one a silent server.
        timeout = CONNECT_TIMEOUT + (0 if small else self._statement_timeout)
        try:
            async with self._connection(small=small) as connection, connection.cursor() as cursor:
                async with asyncio.timeout(timeout):
                    count = await cursor.execute(sql, args or None)
                    return count, await cursor.fetchall()
        except DRIVER_ERRORS as error:
            raise translate_error(error, self._location) from error
        finally:
            self.load.end(began)

    def source(self) -> Source:
        """Return the same always: a server keeps the name of its database."""
        return FIRST_SOURCE

    def writes(self) -> int | None:
        """Return None: to ask for the number would cost as much as to ask for the state."""
        return None

    async def execute(
        self,
        sql: str,
        args: Sequence[object],
        *,
        patience: float | None = None,  # noqa: ARG002 - the database locks rows, not all of it
    ) -> int:
        """Run a statement that writes; the account's rights say which may."""
        return (await self._run(sql, args, small=True))[0]

    @asynccontextmanager
    async def _connection(self, *, small: bool) -> AsyncIterator[SecuredConnection]:
        """Lend a connection for a statement, and kill the statement if its client leaves."""
        connection = await self._pool.acquire(small=small)
        try:
            yield connection
        except (asyncio.CancelledError, TimeoutError):
            connection.close()
            self._pool.clean_up(connection, self._kill(connection.thread_id()))
            self._pool.put(connection)
            raise
        except BaseException:
            self._pool.release(connection)
            raise
        self._pool.release(connection)

    async def _kill(self, thread: int) -> None:
        """Kill a statement whose connection is closed: its server works on."""
        # It has ended by itself, or the server's own limit will end it.
        with suppress(StorageError, *DRIVER_ERRORS):
            async with asyncio.timeout(KILL_TIMEOUT):
                connection = await self._pool.take()
                try:
                    await connection.query(f"KILL {thread}")
                finally:
                    self._pool.put(connection)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()
