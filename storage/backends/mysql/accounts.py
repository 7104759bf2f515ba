"""The server's account on MySQL or MariaDB, and its rights."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from settings import AccountSettings, MysqlUrl, is_demonstration, is_loopback_host
from storage.backends.mysql.session import Session
from storage.common.errors import Refused

_READING = (
    "SELECT (SELECT 1 FROM consumpdata LIMIT 1), (SELECT MAX(statements) FROM schema_version),"
    " (SELECT version FROM states)"
)
"""Needs rights on all tables: the original's account may have them on single ones."""

_WRITING = {
    ("INSERT", "revocations"): (
        "INSERT INTO revocations (jti, expires) SELECT jti, expires FROM revocations LIMIT 0"
    ),
    ("DELETE", "revocations"): "DELETE FROM revocations WHERE id = 0",
    ("INSERT", "sessions"): "INSERT INTO sessions SELECT * FROM sessions LIMIT 0",
    ("DELETE", "sessions"): "DELETE FROM sessions WHERE jti = ''",
}
"""The rights that logins and logouts need, each with a statement that only it allows.

The statements change nothing.
"""

_CHANGING_PASSWORDS = "UPDATE users SET password = password WHERE id = 0"
_MAY_CHANGE_PASSWORDS = (
    "SELECT COUNT(*) FROM information_schema.column_privileges WHERE table_schema = DATABASE()"
    " AND table_name = 'users' AND column_name = 'password' AND privilege_type = 'UPDATE'"
)
"""Selects whether the account has this right of its own, as the loader grants it."""


class ReaderAccount:
    """The server's account, which may read, record sessions and revoke tokens."""

    def __init__(
        self,
        admin: Session,
        location: MysqlUrl,
        reader: AccountSettings,
        log_in: Callable[[], Awaitable[Session]],
        *,
        changes_passwords: bool,
    ) -> None:
        self._admin = admin
        self._location = location
        self._reader = reader
        self._log_in = log_in
        self._changes_passwords = changes_passwords

    async def grant(self) -> None:
        """Create the account if it is missing, and grant it the rights that it lacks.

        Raises Refused for the demonstration's account where others than this machine could use it.
        """
        host = await self._host()
        password = self._reader.password.get_secret_value()
        if is_demonstration(self._reader.user, password) and not is_loopback_host(host):
            raise Refused(
                f"{self._location.host} knows this machine as {host}, as behind a tunnel or in a"
                " container: the demonstration's account may not be used there, set"
                " database.reader.password"
            )
        if not await self._may(_READING):
            account = (self._reader.user, host)
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
        for (right, table), attempt in _WRITING.items():
            if not await self._may(attempt):
                await self._change(f"GRANT {right} ON `{self._location.name}`.{table} TO %s@%s")
        users = f"`{self._location.name}`.users"
        if self._changes_passwords:
            if not await self._may(_CHANGING_PASSWORDS):
                await self._change(f"GRANT UPDATE (password) ON {users} TO %s@%s")
        elif (await self._as_reader(_MAY_CHANGE_PASSWORDS))[0][0]:
            await self._change(f"REVOKE UPDATE (password) ON {users} FROM %s@%s")

    async def _change(self, statement: str) -> None:
        rows = await self._as_reader("SELECT CURRENT_USER()")
        await self._admin.execute(statement, rows[0][0].rsplit("@", 1))

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
