"""What is to be known of a database before it is served."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from storage.engine import Engine
from storage.errors import NotPrepared
from storage.schema import statements

_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?:TABLE )?(?P<place>\S+) TO ")
_REVOKING = {"INSERT", "DELETE"}
"""What a logout needs on the table `revocations`."""
_HARMLESS = {"SELECT", "USAGE", "SHOW VIEW", "SHOW DATABASES", "PROCESS", "REPLICATION CLIENT"}


@dataclass(frozen=True, slots=True)
class Layout:
    """How many of the schema's statements a database has seen, and how many there are."""

    applied: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Readings:
    """How many readings there are, and the local time of the newest."""

    count: int
    newest: datetime | None


class Inspector(ABC):
    """Looks at a database through the server's account. Every call may raise a StorageError."""

    _layout: str
    _schema: str

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.close = engine.close

    async def connect(self) -> None:
        """Returns once the database has answered."""
        await self._engine.fetch("SELECT 1")

    async def layout(self) -> Layout:
        """How far the schema is."""
        try:
            rows = await self._engine.fetch(self._layout)
        except NotPrepared:
            return Layout(0, len(statements(self._schema)))
        return Layout(int(rows[0][0] or 0), len(statements(self._schema)))

    async def readings(self) -> Readings:
        """What there is to be served."""
        rows = await self._engine.fetch("SELECT COUNT(*), MAX(date) FROM consumpdata")
        count, newest = rows[0]
        return Readings(count, newest and datetime.fromisoformat(newest.decode()))

    @abstractmethod
    async def cipher(self) -> str | None:
        """What the connection is encrypted with; None where it isn't, or where there is none."""

    @abstractmethod
    async def rights_to_write(self) -> list[str]:
        """What the account may do besides reading and revoking tokens, as `RIGHT ON place`."""

    @abstractmethod
    async def time(self) -> float | None:
        """The database's clock, seconds since 1970; None where it has none of its own."""

    @abstractmethod
    async def most_connections(self) -> int | None:
        """How many connections it takes from this account; None where there is no limit."""


class MysqlInspector(Inspector):
    """Looks at a MySQL or MariaDB server."""

    _layout = "SELECT MAX(statements) FROM schema_version"
    _schema = "mysql"

    def __init__(self, engine: Engine, database: str) -> None:
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
        is_revocations = place == f"{self._database}.revocations"
        allowed = _HARMLESS | _REVOKING if is_revocations else _HARMLESS
        yield from (f"{right} ON {place}" for right in rights if right not in allowed)

    async def time(self) -> float | None:
        rows = await self._engine.fetch("SELECT UNIX_TIMESTAMP(NOW(6))")
        return float(rows[0][0])

    async def most_connections(self) -> int | None:
        rows = await self._engine.fetch("SELECT @@max_connections, @@max_user_connections")
        return min(limit for limit in map(int, rows[0]) if limit)


class SqliteInspector(Inspector):
    """Looks at a SQLite file."""

    _layout = "PRAGMA user_version"
    _schema = "sqlite"

    async def cipher(self) -> str | None:
        return None

    async def rights_to_write(self) -> list[str]:
        return []

    async def time(self) -> float | None:
        return None

    async def most_connections(self) -> int | None:
        return None
