"""The schema of a MySQL or MariaDB database, brought up to date statement by statement."""

from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import date, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from pymysql.constants import ER
from pymysql.err import MySQLError

from domain.time.local_time import LocalTimeResolver
from storage.backends.day_sums import day_sums, run_steps
from storage.backends.mysql.dialect import MysqlDialect
from storage.backends.mysql.session import Session
from storage.backends.schema import (
    MANY_READINGS,
    STATE_TRIGGERS,
    STATEMENTS,
    completes_days,
    shares,
)
from storage.common.errors import Conflict, NotPrepared, StorageError

_NEEDS_INSTANTS = "ALTER TABLE consumpdata\n    MODIFY utc"
"""How the statement begins before which readings are given their instants."""

_NEEDS_METER = "ALTER TABLE states\n    ADD COLUMN imports"
"""How the statement begins before which readings of no known meter are given one."""

_REBUILDS = "ALTER TABLE consumpdata\n    MODIFY"
"""How the statements begin that write all readings anew."""

_RENAMES = "RENAME TABLE"

INSERT_TRIGGER = "state_after_insert"
"""Counts what other programs insert; it is away during a first import."""

INSERT_TRIGGER_SQL = STATE_TRIGGERS[MysqlDialect.name][INSERT_TRIGGER]

_HAS_READINGS = (
    "SELECT 1 FROM information_schema.tables"
    " WHERE table_schema = DATABASE() AND table_name = 'consumpdata'"
)
_IS_RENAMED = (
    "SELECT 1 FROM information_schema.tables"
    " WHERE table_schema = DATABASE() AND table_name = 'readings'"
)
_APPLIED_BEFORE = {
    *(ER.TABLE_EXISTS_ERROR, ER.DUP_FIELDNAME, ER.DUP_KEYNAME, ER.TRG_ALREADY_EXISTS),
    ER.CANT_DROP_FIELD_OR_KEY,
}


async def restore_insert_trigger(session: Session) -> None:
    """Create the trigger, unless it is there."""
    try:
        await session.execute(INSERT_TRIGGER_SQL)
    except StorageError as error:
        if error_code(error) != ER.TRG_ALREADY_EXISTS:
            raise


class Migrations:
    """Applies the schema's statements. Every call raises a StorageError if the database fails."""

    def __init__(self, session: Session, database: str, timezone: ZoneInfo) -> None:
        self._session = session
        self._database = database
        self._timezone = timezone
        self._statements = STATEMENTS[MysqlDialect.name]

    async def is_newest(self) -> bool:
        """Return whether all statements were applied."""
        return await self._applied() == len(self._statements)

    async def is_complete(self) -> bool:
        """Return whether nothing is left to apply, not even what a killed loader left out."""
        return await self.is_newest() and await self._counts_inserts()

    async def apply(self, on_share: Callable[[int, int], None]) -> AsyncGenerator[str]:
        """Apply the statements that are missing, while no other loader does; yield long ones.

        Calls `on_share` with the shares of long ones that are done, and of all.
        """
        await self._session.execute(
            "CREATE TABLE IF NOT EXISTS schema_version ("
            "id INT NOT NULL DEFAULT 1 COMMENT 'Row id, of the only row',"
            " statements INT NOT NULL COMMENT 'Statements of the schema that were applied',"
            " PRIMARY KEY (id))"
        )
        applied = await self._applied()
        is_new = not applied and not await self._session.fetch(_HAS_READINGS)
        is_told = is_long = False
        missing = self._statements[applied:]
        parts = shares(missing)
        for number, statement in enumerate(missing, applied + 1):
            if is_new and _makes_or_drops_former(statement, self._statements[number:]):
                continue
            if statement.startswith(_REBUILDS) and not is_told:
                is_told = True
                readings = await self._readings()
                is_long = readings >= MANY_READINGS
                if is_long:
                    yield f"{readings} readings found, which are moved to a new layout"
            if is_long:
                on_share(sum(parts[: number - applied - 1]), sum(parts))
            await self._fill_before(statement)
            await self._apply(statement)
            if completes_days(MysqlDialect.name, number):
                await self._sum_days()
            if not statement.startswith(_RENAMES):
                # Nothing comes between it and the next one, without which no server can read.
                await self._note(number)
        if not await self._counts_inserts():
            # A loader was killed during a first import.
            await restore_insert_trigger(self._session)

    async def _fill_before(self, statement: str) -> None:
        """Write what a statement needs, or what has to be there before it is applied."""
        if statement.startswith(_NEEDS_INSTANTS):
            await self._set_instants()
        if statement.startswith(_NEEDS_METER):
            await self._register_meter()

    async def _note(self, number: int) -> None:
        """Note, for servers too, how many statements were applied."""
        sql = "UPDATE schema_version SET statements = %s"
        if not await self._session.execute(sql, (number,)):
            await self._session.execute(
                "INSERT INTO schema_version (statements) VALUES (%s)", (number,)
            )

    async def _readings(self) -> int:
        rows = await self._session.fetch("SELECT COUNT(*) FROM consumpdata")
        return int(rows[0][0])

    async def _register_meter(self) -> None:
        """Give readings that no loader has written a meter."""
        await self._session.execute(
            "INSERT INTO meters (id, public_id, timezone) SELECT 1, 'main', %s FROM DUAL"
            " WHERE EXISTS (SELECT 1 FROM consumpdata) AND NOT EXISTS (SELECT 1 FROM meters)",
            (str(self._timezone),),
        )

    async def _sum_days(self) -> None:
        sums = day_sums(MysqlDialect())
        for (meter_id,) in await self._session.fetch("SELECT id FROM meters"):
            await run_steps(self._session, sums.rebuild(meter_id))

    async def _apply(self, statement: str) -> None:
        if statement.startswith(_RENAMES) and await self._session.fetch(_IS_RENAMED):
            return
        try:
            await self._session.execute(statement)
        except StorageError as error:
            # The loader was stopped between a statement and the note that it was applied.
            code = error_code(error)
            if code == ER.DUP_ENTRY:
                raise Conflict(
                    f"two readings of {self._database} stand for the same instant "
                    f"({error.__cause__}): remove one of them"
                ) from None
            if code not in _APPLIED_BEFORE:
                raise

    async def _counts_inserts(self) -> bool:
        return bool(
            await self._session.fetch(
                "SELECT 1 FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
                f" AND trigger_name = '{INSERT_TRIGGER}'"
            )
        )

    async def _applied(self) -> int:
        try:
            rows = await self._session.fetch(MysqlDialect.schema_version)
        except NotPrepared:
            return 0
        return int(rows[0][0])

    async def _set_instants(self) -> None:
        """Give the readings of the original importer their instants."""
        rows = await self._session.fetch("SELECT DISTINCT DATE(date) FROM consumpdata ORDER BY 1")
        resolver = LocalTimeResolver(self._timezone)
        days = [(row[0], resolver.offset_all_day(row[0])) for row in rows]
        for offset, group in groupby(days, key=lambda day: day[1]):
            run = [day for day, _ in group]
            if offset is None:
                for day in run:
                    await self._set_instants_of(day, resolver)
            else:
                await self._session.execute(
                    "UPDATE consumpdata SET utc = date - INTERVAL %s SECOND"
                    " WHERE date >= %s AND date < %s",
                    (offset, run[0], run[-1] + timedelta(days=1)),
                )

    async def _set_instants_of(self, day: date, resolver: LocalTimeResolver) -> None:
        """Do so for a day on which clocks change: the order of its rows counts."""
        rows = await self._session.fetch(
            "SELECT id, date FROM consumpdata WHERE DATE(date) = %s ORDER BY id", (day,)
        )
        offsets = resolver.offsets([row[1] for row in rows])
        for (number, local), offset in zip(rows, offsets, strict=True):
            if isinstance(offset, str):
                raise Conflict(f"reading {number} of {self._database}: {local}: expected {offset}")
            await self._session.execute(
                "UPDATE consumpdata SET utc = date - INTERVAL %s SECOND WHERE id = %s",
                (offset, number),
            )


def _makes_or_drops_former(statement: str, later: Sequence[str]) -> bool:
    """Return whether a statement drops a trigger, or creates one that a later one drops."""
    _, kind, name, *_ = statement.split()
    drop = f"DROP TRIGGER IF EXISTS {name}"
    return kind == "TRIGGER" and (statement.startswith("DROP") or drop in later)


def error_code(error: StorageError) -> int | None:
    """Return the number of the database's error."""
    cause = error.__cause__
    return cause.args[0] if isinstance(cause, MySQLError) else None
