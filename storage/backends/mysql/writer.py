"""MySQL and MariaDB, written by the loader."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pymysql.constants import ER
from pymysql.err import MySQLError

from domain.local_time import LocalTimeResolver
from domain.quantities import QUANTITY_NAMES
from domain.report_source import RowBatch
from settings import AccountSettings, MysqlUrl
from storage.backends.mysql.connection import QuietCursor, WritingConnection
from storage.backends.mysql.dialect import DIALECT as READING
from storage.backends.mysql.engine import CONNECT_TIMEOUT, MAX_PAGE_BYTES, translate_error
from storage.backends.mysql.tls import tls_context
from storage.backends.schema import statements
from storage.backends.write_base import WriteDialect
from storage.common.deflate import DeflateBlock
from storage.common.errors import Conflict, NotPrepared, Refused, StorageError, Unreachable
from storage.meters import METER

_SAME = " AND ".join(f"c.{name} <=> i.{name}" for name in QUANTITY_NAMES)

DIALECT = WriteDialect(
    place="%s",
    instant="TIMESTAMPDIFF(SECOND, '1970-01-01', utc)",
    update=(
        f"UPDATE consumpdata c JOIN incoming i ON c.meter_id = {METER} AND c.utc = i.utc"
        f" SET {', '.join(f'c.{name} = i.{name}' for name in QUANTITY_NAMES)} WHERE NOT ({_SAME})"
    ),
    same=_SAME,
    unless_taken="ON DUPLICATE KEY UPDATE id = id",
    epoch="TIMESTAMP'1970-01-01 00:00:00'",
    later="({0} + INTERVAL {1} SECOND)",
    elapsed="TIMESTAMPDIFF(SECOND, {0}, {1})",
    exceeds="c.energy * 360000 > c.maximeter * ({times}) + {more}",
)

_LOAD = (
    "LOAD DATA LOCAL INFILE 'report' INTO TABLE {table} CHARACTER SET ascii"
    " FIELDS TERMINATED BY ',' (@number, date, @ahead, {names})"
    " SET {key} = @number + {before}, utc = date - INTERVAL @ahead SECOND"
)
_INSERT = "INSERT INTO {table} ({key}, date, utc, {names}) VALUES ({places})"
_PLACES = ", ".join(["%s"] * (len(QUANTITY_NAMES) + 3))

_REVOKING = {
    "INSERT": "INSERT INTO revocations (jti, expires) SELECT jti, expires FROM revocations LIMIT 0",
    "DELETE": "DELETE FROM revocations WHERE id = 0",
}
"""The rights that a logout needs, each with a statement that needs it and changes nothing."""

_DATED_BEFORE = "ALTER TABLE consumpdata\n    MODIFY utc"
"""How the statement begins that needs the instants of readings which are there already."""

_DONE_BEFORE = {ER.TABLE_EXISTS_ERROR, ER.DUP_FIELDNAME, ER.DUP_KEYNAME, ER.TRG_ALREADY_EXISTS}


class MysqlWriteEngine:
    """A database on a server, made with the rights of the loader's account."""

    dialect = DIALECT
    reading = READING

    def __init__(
        self,
        location: MysqlUrl,
        admin: AccountSettings,
        reader: AccountSettings | None,
        timezone: ZoneInfo,
        *,
        ca: Path | None,
    ) -> None:
        self._location = location
        self._admin = admin
        self._reader = reader
        self._timezone = timezone
        self.database = location.name
        self._connection: WritingConnection | None = None
        self._tls = tls_context(ca)
        self._lock = f"elecdata:{location.name}"[:64]

    async def prepare(self) -> AsyncGenerator[str]:
        """Makes what is missing, up to the newest layout; names each part when it is there."""
        await self.open()
        yield "Database connection"
        if not await self._exists():
            await self.execute(
                f"CREATE DATABASE IF NOT EXISTS `{self.database}` DEFAULT CHARACTER SET utf8mb4"
            )
        await self.execute(f"USE `{self.database}`")
        yield f"'{self.database}' database"
        await self._migrate()
        yield f"'{self.database}.consumpdata' table"
        yield f"'{self.database}.users' table"
        yield "Trigger"

    async def is_prepared(self) -> bool:
        """Whether the database has the newest layout."""
        await self.open()
        if not await self._exists():
            return False
        await self.execute(f"USE `{self.database}`")
        return await self._applied() == len(statements("mysql"))

    async def admit_reader(self) -> str | None:
        """Lets the server's account read and revoke tokens, nothing else, and names it."""
        if self._reader is None:
            return None
        reader = (self._reader.user, await self._reader_host())
        if not await self._may("SELECT 1 FROM consumpdata LIMIT 1"):
            password = self._reader.password.get_secret_value()
            await self.execute(
                "CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s", (*reader, password)
            )
            await self.execute("ALTER USER %s@%s IDENTIFIED BY %s", (*reader, password))
            await self.execute(f"GRANT SELECT ON `{self.database}`.* TO %s@%s", reader)
            if not await self._may("SELECT 1 FROM consumpdata LIMIT 1"):
                raise Refused(
                    f"the account {reader[0]}@{reader[1]} was made, and {self._location.host} "
                    "still refuses it: is there another account of that name?"
                )
        for right, attempt in _REVOKING.items():
            if not await self._may(attempt):
                rows = await self._as_reader("SELECT CURRENT_USER()")
                await self.execute(
                    f"GRANT {right} ON `{self.database}`.revocations TO %s@%s",
                    rows[0][0].rsplit("@", 1),
                )
        return self._reader.user

    async def begin(self, waiting: Callable[[], None]) -> None:
        """Starts a transaction in its turn; calls `waiting` where another loader is in one."""
        await self._take_turn(waiting)
        # Standard input may be slow, and nothing is sent after the first fault.
        await self.execute("SET SESSION net_read_timeout = 86400")
        await self.execute("DROP TEMPORARY TABLE IF EXISTS incoming")
        await self.execute(
            "CREATE TEMPORARY TABLE incoming (number INT PRIMARY KEY, date DATETIME, utc DATETIME, "
            + ", ".join(f"{name} DECIMAL(15,5)" for name in QUANTITY_NAMES)
            + ")"
        )
        await self.execute("START TRANSACTION")

    async def append(self, blocks: Iterable[RowBatch], before: int) -> int:
        """Adds rows as new readings, with ids that are their numbers and `before` added."""
        return await self._fill("consumpdata", "id", blocks, before)

    async def stage(self, blocks: Iterable[RowBatch]) -> int:
        """Fills the temporary table `incoming` and returns the number of its rows."""
        await self.execute("DELETE FROM incoming")
        return await self._fill("incoming", "number", blocks, 0)

    async def execute(self, sql: str, args: Sequence[object] = ()) -> int:
        """Runs a statement and returns how many rows it wrote."""
        with self._explaining():
            async with self._opened().cursor() as cursor:
                return int(await cursor.execute(sql, args or None))

    async def fetch(self, sql: str, args: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """The rows of a statement: integers as int, texts as str."""
        with self._explaining():
            async with self._opened().cursor() as cursor:
                await cursor.execute(sql, args or None)
                rows: Sequence[Sequence[Any]] = await cursor.fetchall()
                return rows

    async def keep_page(self, first_id: int, page: DeflateBlock) -> None:
        """Keeps the records of a page, compressed."""
        # The driver would escape a blob character by character; hexadecimal digits need none.
        await self.execute(
            "INSERT INTO pages (first_id, size, crc, deflated)"
            f" VALUES ({first_id}, {page.size}, {page.crc}, x'{page.deflated.hex()}')"
        )

    async def commit(self) -> None:
        """Makes everything since `begin` last."""
        try:
            await self.execute("COMMIT")
        except Unreachable as error:
            raise Unreachable(
                f"{error}; this was at the last step, and whether the reports were written is"
                " not known: load them again, which does no harm"
            ) from error
        await self.execute("DO RELEASE_LOCK(%s)", (self._lock,))

    async def rollback(self) -> None:
        """Forgets everything since `begin`."""
        await self.execute("ROLLBACK")
        await self.execute("DO RELEASE_LOCK(%s)", (self._lock,))

    async def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()

    async def open(self) -> None:
        """Connects, if that was not done yet."""
        if self._connection is None:
            self._connection = await self._connect(self._admin, local_infile=True)

    async def _connect(
        self, account: AccountSettings, *, database: str | None = None, local_infile: bool = False
    ) -> WritingConnection:
        connection = WritingConnection(
            host=self._location.host,
            port=self._location.port,
            user=account.user,
            password=account.password.get_secret_value(),
            charset="utf8mb4",
            ssl=self._tls,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT,
            db=database,
            local_infile=local_infile,
            cursorclass=QuietCursor,
            init_command=f"SET SESSION group_concat_max_len = {MAX_PAGE_BYTES}",
        )
        with self._explaining():
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await connection._connect()
        return connection

    def _opened(self) -> WritingConnection:
        assert self._connection is not None, "prepare() or is_prepared() comes first"
        return self._connection

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Turns what the driver raises into a StorageError."""
        try:
            yield
        except (MySQLError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise translate_error(error, self._location) from error

    async def _exists(self) -> bool:
        return bool(
            await self.fetch(
                "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s",
                (self.database,),
            )
        )

    async def _take_turn(self, waiting: Callable[[], None]) -> None:
        rows = await self.fetch("SELECT GET_LOCK(%s, 0)", (self._lock,))
        if not rows[0][0]:
            waiting()
            await self.fetch("SELECT GET_LOCK(%s, 86400)", (self._lock,))

    async def _migrate(self) -> None:
        wanted = statements("mysql")
        if await self._applied() == len(wanted):
            return
        await self._take_turn(lambda: None)
        await self.execute(
            "CREATE TABLE IF NOT EXISTS schema_version (statements INT NOT NULL"
            " COMMENT 'Statements of the schema that were applied')"
        )
        for number, statement in enumerate(wanted, 1):
            if number > await self._applied():
                if statement.startswith(_DATED_BEFORE):
                    await self._date_readings()
                await self._apply(statement)
                await self.execute("DELETE FROM schema_version")
                await self.execute("INSERT INTO schema_version VALUES (%s)", (number,))
        await self.execute("DO RELEASE_LOCK(%s)", (self._lock,))

    async def _apply(self, statement: str) -> None:
        try:
            await self.execute(statement)
        except StorageError as error:
            # The loader was stopped between a statement and the note that it was applied.
            cause = error.__cause__
            code = cause.args[0] if isinstance(cause, MySQLError) else None
            if code == ER.DUP_ENTRY:
                raise Conflict(
                    f"two readings of {self.database} stand for the same instant "
                    f"({cause}): remove one of them"
                ) from None
            if code not in _DONE_BEFORE:
                raise

    async def _applied(self) -> int:
        try:
            rows = await self.fetch("SELECT COALESCE(MAX(statements), 0) FROM schema_version")
        except NotPrepared:
            return 0
        return int(rows[0][0])

    async def _date_readings(self) -> None:
        """Gives readings of the original importer their instants."""
        rows = await self.fetch("SELECT DISTINCT DATE(date) FROM consumpdata ORDER BY 1")
        clock = LocalTimeResolver(self._timezone)
        days = [(row[0], clock.offset_all_day(row[0])) for row in rows]
        for offset, group in groupby(days, key=lambda day: day[1]):
            run = [day for day, _ in group]
            if offset is None:
                for day in run:
                    await self._date_day(clock, day)
            else:
                await self.execute(
                    "UPDATE consumpdata SET utc = date - INTERVAL %s SECOND"
                    " WHERE date >= %s AND date < %s",
                    (offset, run[0], run[-1] + timedelta(days=1)),
                )

    async def _date_day(self, clock: LocalTimeResolver, day: date) -> None:
        """The same for a day on which clocks change, whose rows count in their order."""
        rows = await self.fetch(
            "SELECT id, date FROM consumpdata WHERE DATE(date) = %s ORDER BY id", (day,)
        )
        for (number, local), offset in zip(
            rows, clock.offsets([row[1] for row in rows]), strict=True
        ):
            if isinstance(offset, str):
                raise Conflict(f"reading {number} of {self.database}: {local}: expected {offset}")
            await self.execute(
                "UPDATE consumpdata SET utc = date - INTERVAL %s SECOND WHERE id = %s",
                (offset, number),
            )

    async def _fill(self, table: str, key: str, blocks: Iterable[RowBatch], before: int) -> int:
        names = ", ".join(QUANTITY_NAMES)
        rows = await self.fetch("SELECT @@local_infile")
        if rows[0][0]:
            load = _LOAD.format(table=table, key=key, names=names, before=before)
            return await self._send(load, blocks)
        insert = _INSERT.format(table=table, key=key, names=names, places=_PLACES)
        return await self._insert(insert, blocks, before)

    async def _send(self, load: str, blocks: Iterable[RowBatch]) -> int:
        """Sends blocks through LOAD DATA, which is lenient: what it warns of is an error."""
        connection = self._opened()
        connection.blocks = (_with_nulls(block.rows) for block in blocks)
        filled = await self.execute(load)
        warned = await self.fetch("SHOW WARNINGS")
        if warned:
            raise Conflict(f"the database would not keep the report as it is: {warned[0][2]}")
        return filled

    async def _insert(self, insert: str, blocks: Iterable[RowBatch], before: int) -> int:
        """The slower way, for servers that forbid LOAD DATA LOCAL."""
        filled = 0
        for block in blocks:
            rows = [_inserted(row, before) for row in block.rows.decode("ascii").splitlines()]
            with self._explaining():
                async with self._opened().cursor() as cursor:
                    await cursor.executemany(insert, rows)
            filled += len(rows)
        return filled

    async def _may(self, statement: str) -> bool:
        """Whether the server's account has the rights to a statement."""
        try:
            await self._as_reader(statement)
        except Refused:
            return False
        return True

    async def _as_reader(self, statement: str) -> Sequence[Sequence[Any]]:
        assert self._reader is not None
        connection = await self._connect(self._reader, database=self.database)
        try:
            with self._explaining():
                async with connection.cursor() as cursor:
                    await cursor.execute(statement)
                    rows: Sequence[Sequence[Any]] = await cursor.fetchall()
                    return rows
        finally:
            connection.close()

    async def _reader_host(self) -> str:
        """Where the reader may come from: where the loader does, if that is the same machine."""
        if not self._location.is_loopback:
            return "%"
        rows = await self.fetch("SELECT SUBSTRING_INDEX(USER(), '@', -1)")
        return str(rows[0][0])


def _inserted(row: str, before: int) -> list[object]:
    """The values of a row for INSERT."""
    number, local, ahead, *quantities = row.split(",")
    utc = datetime.fromisoformat(local) - timedelta(seconds=int(ahead))
    return [int(number) + before, local, utc, *(quantity or None for quantity in quantities)]


def _with_nulls(block: bytes) -> bytes:
    """A block in which LOAD DATA reads an empty field as NULL."""
    while b",," in block:
        block = block.replace(b",,", b",\\N,")
    return block.replace(b",\n", b",\\N\n")
