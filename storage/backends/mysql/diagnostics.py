"""The diagnostics of MySQL and MariaDB."""

import re
from collections.abc import Iterator

from storage.backends.base import ReadEngine
from storage.backends.diagnostics import Diagnostics
from storage.backends.mysql.accounts import reader_grants

_GRANT = re.compile(
    r"GRANT (?P<rights>.+?) ON (?:TABLE )?(?P<place>(?:PROCEDURE |FUNCTION |PACKAGE )?\S+) TO "
)
_RIGHT = re.compile(r"(?P<right>[A-Z][A-Z ]*[A-Z])(?: ?\((?P<columns>[^)]*)\))?")

_HARMLESS = {"USAGE", "SHOW VIEW", "SHOW DATABASES", "PROCESS", "REPLICATION CLIENT"}


class MysqlDiagnostics(Diagnostics):
    """Checks a MySQL or MariaDB server."""

    def __init__(self, engine: ReadEngine, database: str, *, changes_passwords: bool) -> None:
        super().__init__(engine)
        self._database = database
        self._needed = {
            right
            for grant in reader_grants(database, changes_passwords=changes_passwords)
            for right in self._rights(f"GRANT {grant} TO ")
        }

    async def cipher(self) -> str | None:
        rows = await self._engine.fetch("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        return rows[0][1].decode() or None if rows else None

    async def rights_to_write(self) -> list[str]:
        rows = await self._engine.fetch("SHOW GRANTS")
        found = [right for row in rows for right in self._rights(row[0].decode())]
        return [right for right in found if right not in self._needed]

    def _rights(self, grant: str) -> Iterator[str]:
        """Yield the rights of a grant that are of any use in this database."""
        parts = _GRANT.match(grant)
        if parts is None:
            return
        place = re.sub(r"[`\\]", "", parts["place"])
        if place != "*.*" and not place.split()[-1].startswith(f"{self._database}."):
            return
        for right, columns in _RIGHT.findall(parts["rights"].replace("`", "")):
            of = f" ({', '.join(sorted(columns.split(', ')))})" if columns else ""
            if right not in _HARMLESS:
                yield f"{right}{of} ON {place}"

    async def time(self) -> float | None:
        rows = await self._engine.fetch("SELECT UNIX_TIMESTAMP(NOW(6))")
        return float(rows[0][0])

    async def most_connections(self) -> int | None:
        rows = await self._engine.fetch("SELECT @@max_connections, @@max_user_connections")
        return min(limit for limit in map(int, rows[0]) if limit)
