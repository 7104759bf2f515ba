"""The server's account on MySQL or MariaDB, and its rights."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from pymysql.constants import ER
from pymysql.err import MySQLError

from settings import AccountSettings, MysqlUrl
from storage.backends.mysql.session import Session
from storage.common.errors import NotPrepared, Refused, StorageError

_READ = ("consumpdata", "flags", "pages", "meters", "imports", "schema_version", "access")
"""The tables that the account may read whole."""

_PROCEDURES = {
    "user_by_name": """
        CREATE PROCEDURE user_by_name (
            IN name TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
        ) READS SQL DATA SQL SECURITY DEFINER
        SELECT u.user, u.password, u.enabled, u.role, u.generation
        FROM users AS u WHERE u.user = name
    """,
    "role_of_bearer": """
        CREATE PROCEDURE role_of_bearer (
            IN name TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
            IN number BIGINT,
            IN token TEXT CHARACTER SET ascii COLLATE ascii_bin
        ) READS SQL DATA SQL SECURITY DEFINER
        SELECT u.user, u.role FROM users AS u
        WHERE u.user = name AND u.generation = number AND u.enabled
        AND NOT EXISTS (SELECT 1 FROM revocations AS r WHERE r.jti = token)
    """,
}
"""What the account learns of users and tokens, one at a time: their tables are not its to read.

They are made where they are missing rather than by the schema: a dump may lack them.
"""

_GRANTS = (
    *(f"SELECT ON `{{}}`.{table}" for table in _READ),
    "SELECT (id) ON `{}`.users",
    "INSERT (jti, expires) ON `{}`.revocations",
    "UPDATE (entry) ON `{}`.audit_head",
    *(f"EXECUTE ON PROCEDURE `{{}}`.{name}" for name in _PROCEDURES),
)
"""The rights of the account, all that the server needs."""

_FORMER_GRANTS = (
    "SELECT ON `{}`.*",
    *(f"{right} ON `{{}}`.revocations" for right in ("SELECT", "INSERT", "DELETE")),
    "SELECT ON `{}`.users",
)
"""Rights that earlier loaders gave, or the original's installation."""

_NEEDED = (
    f"SELECT {', '.join(f'(SELECT 1 FROM {table} LIMIT 1)' for table in _READ)}",
    "SELECT id FROM users LIMIT 0",
    "INSERT INTO revocations (jti, expires) SELECT '', 0 FROM DUAL WHERE FALSE",
    "UPDATE audit_head SET entry = '' LIMIT 0",
    "CALL user_by_name('')",
    "CALL role_of_bearer('', 0, '')",
)
"""Statements that need those rights, and change nothing."""

_OLDER_NEEDED = "SELECT (SELECT 1 FROM users LIMIT 1), (SELECT 1 FROM consumpdata LIMIT 1)"

_SURPLUS = (
    "SELECT password FROM users LIMIT 0",
    "SELECT jti FROM revocations LIMIT 0",
    "SELECT entry FROM audit LIMIT 0",
    "DELETE FROM revocations LIMIT 0",
    "INSERT INTO revocations (id, jti, expires) SELECT 0, '', 0 FROM DUAL WHERE FALSE",
)
"""Statements that need rights which earlier loaders gave; they change nothing, either."""

_NO_SUCH_GRANT = {ER.NONEXISTING_GRANT, ER.NONEXISTING_TABLE_GRANT}


class ReaderAccount:
    """The server's account, which may read, revoke tokens and append to the audit trail."""

    def __init__(
        self,
        admin: Session,
        location: MysqlUrl,
        reader: AccountSettings,
        log_in: Callable[[], Awaitable[Session]],
    ) -> None:
        self._admin = admin
        self._location = location
        self._reader = reader
        self._log_in = log_in

    async def grant(self) -> None:
        """Give the account the rights that it lacks, and take from it what it does not need."""
        account = await self._existing() or await self._make()
        if not all([await self._may(statement) for statement in _NEEDED]):
            try:
                await self._make_procedures()
                await self._grant_all(account)
            except Refused:
                # Somebody else may look after the accounts: a server works with older rights.
                if not await self._may(_OLDER_NEEDED):
                    raise
            else:
                await self._require(account)
        if any([await self._may(statement) for statement in _SURPLUS]):
            await self._tighten(account)

    async def _require(self, account: tuple[str, str]) -> None:
        if not await self._may(_NEEDED[0]):
            raise Refused(
                f"the account {account[0]}@{account[1]} was made, and {self._location.host} "
                "still refuses it: is there another account of that name?"
            )

    async def _make_procedures(self) -> None:
        for name, create in _PROCEDURES.items():
            rows = await self._admin.fetch(
                "SELECT 1 FROM information_schema.routines WHERE routine_schema = %s"
                " AND routine_name = %s",
                (self._location.name, name),
            )
            if not rows:
                await self._admin.execute(create)

    async def _existing(self) -> tuple[str, str] | None:
        """Return the account as the database knows it, None if it cannot log in."""
        try:
            rows = await self._as_reader("SELECT CURRENT_USER()")
        except Refused:
            return None
        user, _, host = rows[0][0].rpartition("@")
        return user, host

    async def _make(self) -> tuple[str, str]:
        account = (self._reader.user, await self._host())
        password = self._reader.password.get_secret_value()
        await self._admin.execute(
            "CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s", (*account, password)
        )
        await self._admin.execute("ALTER USER %s@%s IDENTIFIED BY %s", (*account, password))
        return account

    async def _grant_all(self, account: tuple[str, str]) -> None:
        for grant in _GRANTS:
            await self._admin.execute(
                f"GRANT {grant.format(self._location.name)} TO %s@%s", account
            )

    async def _tighten(self, account: tuple[str, str]) -> None:
        """Take back what earlier loaders gave; other rights are not this program's to judge."""
        rows = await self._admin.fetch("SELECT CURRENT_USER()")
        if rows[0][0] == "@".join(account):
            return
        # `elecdata check` tells what is still too much.
        with suppress(Refused):
            # First of all, so that a server that runs lacks nothing meanwhile.
            await self._grant_all(account)
            for grant in _FORMER_GRANTS:
                try:
                    await self._admin.execute(
                        f"REVOKE {grant.format(self._location.name)} FROM %s@%s", account
                    )
                except StorageError as error:
                    cause = error.__cause__
                    if not isinstance(cause, MySQLError) or cause.args[0] not in _NO_SUCH_GRANT:
                        raise
            # To revoke a right on a table revokes it on the table's columns, too.
            await self._grant_all(account)

    async def _may(self, statement: str) -> bool:
        try:
            await self._as_reader(statement)
        except (Refused, NotPrepared):
            return False
        return True

    async def _as_reader(self, statement: str) -> Sequence[Sequence[Any]]:
        session = await self._log_in()
        try:
            return await session.fetch(statement)
        finally:
            session.close()

    async def _host(self) -> str:
        """Return where the reader may come from: the loader's machine, if the server is on it."""
        if not self._location.is_loopback:
            return "%"
        rows = await self._admin.fetch("SELECT SUBSTRING_INDEX(USER(), '@', -1)")
        return str(rows[0][0])
