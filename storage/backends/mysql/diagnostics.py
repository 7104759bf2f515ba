"""The diagnostics of MySQL and MariaDB."""

import re
from collections.abc import Iterator

from storage.backends.base import ReadEngine
from storage.backends.diagnostics import Diagnostics

_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?:TABLE )?(?P<place>\S+) TO ")


_WRITTEN_BY_SERVER = {"revocations": {"INSERT"}, "audit_head": {"UPDATE"}}
"""What a logout and the audit trail need, by table."""

_HARMLESS = {"USAGE", "SHOW VIEW", "SHOW DATABASES", "PROCESS", "REPLICATION CLIENT"}


class MysqlDiagnostics(Diagnostics):
    """Checks a MySQL or MariaDB server."""

    def __init__(self, engine: ReadEngine, database: str) -> None:
        super().__init__(engine)
        self._database = database

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
        rights = re.sub(r" ?\([^)]*\)", "", parts["rights"]).split(", ")
        table = place.removeprefix(f"{self._database}.")
        allowed = _HARMLESS | _WRITTEN_BY_SERVER.get(table, set())
        if table not in {"*", "*.*"}:
            allowed |= {"SELECT"}
        yield from (f"{right} ON {place}" for right in rights if right not in allowed)

    async def time(self) -> float | None:
        rows = await self._engine.fetch("SELECT UNIX_TIMESTAMP(NOW(6))")
        return float(rows[0][0])

    async def most_connections(self) -> int | None:
        rows = await self._engine.fetch("SELECT @@max_connections, @@max_user_connections")
        return min(limit for limit in map(int, rows[0]) if limit)
