"""What the startup checks ask a database."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime

from storage.backends.base import ReadEngine
from storage.backends.schema import STATEMENTS, Feature, SchemaVersion
from storage.common.errors import NotPrepared, StorageError


@dataclass(frozen=True, slots=True)
class Layout:
    """How many of the schema's statements a database has seen, and how many there are."""

    applied: int
    wanted: int


@dataclass(frozen=True, slots=True)
class ReadingsCount:
    """How many readings there are, and the local time of the newest."""

    count: int
    newest: datetime | None


class Diagnostics(ABC):
    """Checks a database with the server's account. Every call may raise a StorageError."""

    def __init__(self, engine: ReadEngine) -> None:
        self._engine = engine
        self.close = engine.close

    async def connect(self) -> None:
        """Return once the database has answered."""
        await self._engine.fetch("SELECT 1")

    async def layout(self) -> Layout:
        """Return how far the schema is."""
        wanted = len(STATEMENTS[self._engine.dialect.name])
        try:
            rows = await self._engine.fetch(self._engine.dialect.schema_version)
        except NotPrepared:
            return Layout(0, wanted)
        return Layout(rows[0][0], wanted)

    async def readings(self) -> ReadingsCount:
        """Count the readings."""
        schema = SchemaVersion(self._engine)
        await schema.refresh()
        table = "readings" if schema.supports(Feature.METERS) else "consumpdata"
        rows = await self._engine.fetch(f"SELECT COUNT(*), MAX(date) FROM {table}")
        count, newest = rows[0]
        return ReadingsCount(count, newest and datetime.fromisoformat(newest.decode()))

    async def timezone(self) -> str | None:
        """Return the time zone of all meters, None if they have several or it is not on record."""
        try:
            rows = await self._engine.fetch("SELECT DISTINCT timezone FROM meters LIMIT 2")
        except StorageError:
            if (await self.layout()).applied:
                raise
            return None
        return rows[0][0].decode() if len(rows) == 1 else None

    @abstractmethod
    async def cipher(self) -> str | None:
        """Return the cipher of the connection, None if it is not encrypted."""

    @abstractmethod
    async def rights_to_write(self) -> list[str]:
        """Return the account's rights beyond what the server needs, as `RIGHT ON place`."""

    @abstractmethod
    async def time(self) -> float | None:
        """Return the database's clock in seconds since 1970, None if it has none of its own."""

    @abstractmethod
    async def most_connections(self) -> int | None:
        """Return how many connections it takes from this account, None without a limit."""
