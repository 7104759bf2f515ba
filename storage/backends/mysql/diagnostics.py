"""The diagnostics of MySQL and MariaDB."""

import re
from collections.abc import Iterator

from storage.backends.base import ReadEngine
from storage.backends.diagnostics import Diagnostics

_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?:TABLE )?(?P<place>\S+) TO ")
_RIGHT = re.compile(r"(?P<right>[A-Z][A-Z ]*[A-Z])(?: ?\((?P<columns>[^)]*)\))?")

_WRITING_RIGHTS = {"revocations": {"INSERT", "DELETE"}, "sessions": {"INSERT", "DELETE"}}
"""What logins and logouts need, by table."""


_READ_ONLY_RIGHTS = {
    "SELECT",
    "USAGE",
    "SHOW VIEW",
    "SHOW DATABASES",
    "PROCESS",
    "REPLICATION CLIENT",
}


class MysqlDiagnostics(Diagnostics):
    """Checks a MySQL or MariaDB server."""

    def __init__(self, engine: ReadEngine, database: str, *, changes_passwords: bool) -> None:
        super().__init__(engine)
        self._database = database
        self._allowed = dict(_WRITING_RIGHTS)
        if changes_passwords:
            self._allowed["users"] = {"UPDATE (password)"}

    async def cipher(self) -> str | None:
        rows = await self._engine.fetch("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        return rows[0][1].decode() or None if rows else None

    async def rights_to_write(self) -> list[str]:
        rows = await self._engine.fetch("SHOW GRANTS")
        return [found for row in rows for found in self._beyond_reading(row[0].decode())]

    def _beyond_reading(self, grant: str) -> Iterator[str]:
        parts = _GRANT.match(grant)
        if parts is None:
            return
        place = re.sub(r"[`\\]", "", parts["place"])
        if place != "*.*" and not place.startswith(f"{self._database}."):
            return
        allowed = self._allowed.get(place.removeprefix(f"{self._database}."), set())
        for right, columns in _RIGHT.findall(parts["rights"].replace("`", "")):
            found = f"{right} ({columns})" if columns else right
            if right not in _READ_ONLY_RIGHTS and found not in allowed:
                yield f"{found} ON {place}"

    async def time(self) -> float | None:
        rows = await self._engine.fetch("SELECT UNIX_TIMESTAMP(NOW(6))")
        return float(rows[0][0])

    async def most_connections(self) -> int | None:
        rows = await self._engine.fetch("SELECT @@max_connections, @@max_user_connections")
        return min(limit for limit in map(int, rows[0]) if limit)
