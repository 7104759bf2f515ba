"""The server's account on MySQL or MariaDB, and its rights."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from settings import AccountSettings, MysqlUrl
from storage.backends.mysql.session import Session
from storage.common.errors import Refused

_READING = (
    "SELECT (SELECT 1 FROM consumpdata LIMIT 1), (SELECT MAX(statements) FROM schema_version),"
    " (SELECT version FROM states)"
)
"""Needs rights on all tables: the original's account may have them on single ones."""

_REVOKING = {
    "INSERT": "INSERT INTO revocations (jti, expires) SELECT jti, expires FROM revocations LIMIT 0",
    "DELETE": "DELETE FROM revocations WHERE id = 0",
}
"""The rights that a logout needs, each with a statement that needs it and changes nothing."""


class ReaderAccount:
    """The server's account, which may read, and revoke tokens."""

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
        """Create the account if it is missing, and grant it the rights that it lacks."""
        if not await self._may(_READING):
            account = (self._reader.user, await self._host())
            password = self._reader.password.get_secret_value()
            await self._admin.execute(
                "CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s", (*account, password)
            )
            await self._admin.execute("ALTER USER %s@%s IDENTIFIED BY %s", (*account, password))
            await self._admin.execute(
                f"GRANT SELECT ON `{self._location.name}`.* TO %s@%s", account
            )
            if not await self._may(_READING):
                raise Refused(
                    f"the account {account[0]}@{account[1]} was made, and {self._location.host} "
                    "still refuses it: is there another account of that name?"
                )
        for right, attempt in _REVOKING.items():
            if not await self._may(attempt):
                rows = await self._as_reader("SELECT CURRENT_USER()")
                await self._admin.execute(
                    f"GRANT {right} ON `{self._location.name}`.revocations TO %s@%s",
                    rows[0][0].rsplit("@", 1),
                )

    async def _may(self, statement: str) -> bool:
        try:
            await self._as_reader(statement)
        except Refused:
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
