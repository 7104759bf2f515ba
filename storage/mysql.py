"""MySQL and MariaDB, read through aiomysql."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiomysql
from pymysql.constants import FIELD_TYPE
from pymysql.converters import encoders
from pymysql.err import MySQLError

from settings import Account, MysqlUrl
from storage.errors import NotPrepared, Refused, StorageError, Unreachable, Untrusted
from storage.load import Load
from storage.mysql_tls import SECURE_TRANSPORT_REQUIRED, context, distrust
from storage.quality import FLAGS
from storage.reading import MONTHS, NAMES, SCALE
from storage.shape import FLAGS_COLUMN, Form, Shape, Time
from storage.slots import Slots
from storage.sql import MOST_SECONDS, Dialect

CONNECT_TIMEOUT = 10.0
"""Seconds until a server that doesn't answer, or has no connection to spare, is given up."""

TIME_TO_END = 1.0
"""Seconds within which a statement that nobody waits for is ended."""

LONGEST_PAGE = 64 * 2**20

# Bytes pass through as they are stored; only integers are converted.
_CONVERSIONS: dict[Any, Any] = {
    **encoders,
    **dict.fromkeys((FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG), int),
}

_REFUSED = {1044, 1045, 1130, 1142, 1143, 1227, 1410, 1698, SECURE_TRANSPORT_REQUIRED}
_NOT_PREPARED = {1049, 1146}
_TOO_LONG = {1969, 3024}


_SECONDS_AHEAD = "TIMESTAMPDIFF(SECOND, utc, date)"
_AHEAD = f"SEC_TO_TIME(ABS({_SECONDS_AHEAD}))"
_DATES = {
    Time.LOCAL: "date",
    Time.UTC: "REPLACE(utc, ' ', 'T'), 'Z'",
    Time.OFFSET: (
        f"REPLACE(date, ' ', 'T'), IF(utc > date, '-', '+'),"
        f" LEFT({_AHEAD}, IF({_SECONDS_AHEAD} MOD 60, 8, 5))"
    ),
}
_REPORTED = (
    f"DAYOFMONTH(date), ' ', ELT(MONTH(date), {str(MONTHS)[1:-1]}), ' ', YEAR(date), ' ',"
    " TIME(date)"
)
_SECONDS = "TIMESTAMPDIFF(SECOND, '1970-01-01', utc)"
_EACH_FLAG = [f"IF(flags & {flag.bit}, '{flag.name}', NULL)" for flag in FLAGS]
_FLAGS = f"CONCAT_WS(' ', {', '.join(_EACH_FLAG)})"


@lru_cache
def _record(shape: Shape) -> str:
    """A reading as text; the form without NULL is the quicker one."""
    is_json = shape.is_json

    def joined(*, with_null: bool) -> str:
        parts = []
        before = "{" if is_json else ""
        for column in shape.columns:
            value = _value(column, shape)
            before += f'"{column}":' if is_json else ""
            quote = '"' if is_json and not shape.is_number(column) else ""
            if with_null and column in NAMES:
                value = f"IFNULL(CONCAT('{quote}', {value}, '{quote}'), '{shape.missing}')"
                quote = ""
            parts += [f"'{before}{quote}'", value]
            before = f"{quote},"
        end = before.removesuffix(",") + ("}" if is_json else "") + shape.end
        return f"CONCAT({', '.join(parts)}, '{end}')"

    whole = joined(with_null=False)
    if set(NAMES).isdisjoint(shape.columns):
        return whole
    return f"COALESCE({whole}, {joined(with_null=True)})"


def _value(column: str, shape: Shape) -> str:
    """What to concatenate for a column."""
    if column == "date":
        if shape.form is Form.CELLS:
            return _SECONDS
        if shape.form is Form.ROWS and shape.time is Time.LOCAL:
            return _REPORTED
        return _DATES[shape.time]
    if column == FLAGS_COLUMN:
        return _FLAGS if shape.is_json else f"IFNULL(NULLIF({_FLAGS}, ''), '{shape.missing}')"
    return column


def _grouped(key: str, values: Sequence[str], readings: str) -> str:
    """One text for all groups: the driver takes longer for their rows than the server."""
    texts = ", ".join(f"IFNULL({value}, '')" for value in values)
    # Readings come in the order of time, and are quickly sorted; a temporary table is slow.
    return (
        "SELECT GROUP_CONCAT(number, ',', line ORDER BY number SEPARATOR ';') FROM"
        f" (SELECT SQL_BIG_RESULT {key} AS number, CONCAT_WS(',', {texts}) AS line"
        f" FROM {readings} GROUP BY number) AS found"
    )


def _groups(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    text = rows[0][0]
    if text is None:
        return []
    return [
        [int(value) if value else None for value in line.split(b",")]
        for line in text.replace(b".", b"").split(b";")
    ]


DIALECT = Dialect(
    place="%s",
    record=_record,
    joined="GROUP_CONCAT({record} ORDER BY id{descending} SEPARATOR '{separator}')",
    rows="consumpdata{flags} WHERE {where}",
    hundred_thousandths=f"CAST(COALESCE(SUM(energy), 0) * {SCALE} AS SIGNED)",
    by_id="FORCE INDEX (PRIMARY)",
    tables="SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
    instant=lambda seconds: str(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)),
    seconds="TO_SECONDS({})",
    quotient="(({}) DIV {})",
    grouped=_grouped,
    groups=_groups,
    greatest=(
        f"CAST(MAX({{value}} * {SCALE * MOST_SECONDS} - {{seconds}}) + {MOST_SECONDS - 1}"
        " AS DECIMAL(40))"
    ),
    greatest_base=0,
    original_state=(
        "SELECT CONCAT_WS('-', (SELECT MAX(id) FROM consumpdata), update_time)"
        " FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name = 'consumpdata'"
    ),
)


def explained(error: BaseException, location: MysqlUrl) -> StorageError:
    """What an error of the driver means for whoever runs the service."""
    where = f"{location.host}:{location.port}"
    if reason := distrust(error):
        return Untrusted(f"{where} is not trusted: {reason}")
    code, text = (*error.args, "")[:2] if isinstance(error, MySQLError) else (0, str(error))
    if code in _REFUSED:
        return Refused(f"{where} refused the account or its rights: {text}")
    if code in _NOT_PREPARED:
        return NotPrepared(
            f"{where} has no database or table for readings yet ({text}): "
            "load a report with python -m loader REPORT.csv"
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
        account: Account,
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
            "ssl": context(ca),
            "connect_timeout": CONNECT_TIMEOUT,
            "autocommit": True,
            "use_unicode": False,
            "conv": _CONVERSIONS,
            "init_command": (
                f"SET SESSION group_concat_max_len = {LONGEST_PAGE}"
                ", character_set_connection = binary, character_set_results = NULL"
                f" /*M!100100 , max_statement_time = {statement_timeout} */"
                f" /*!80000 , max_execution_time = {int(statement_timeout * 1000)} */"
            ),
        }
        # The pool's own queue of waiters misses a wake-up when a connection comes back broken,
        # so that nobody may ever wait in it.
        self._slots = Slots(connections, statement_timeout + CONNECT_TIMEOUT)
        self._pool: aiomysql.Pool | None = None
        self._connections = connections
        self._endings: set[asyncio.Task[None]] = set()
        self.load = Load(connections)

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
            raise explained(error, self._location) from error
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
            async with asyncio.timeout(TIME_TO_END), self._pool.acquire() as connection:
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
