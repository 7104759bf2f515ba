"""What is to be known of a database before it is served."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime

from storage.backends.base import ReadEngine
from storage.backends.schema import statements
from storage.common.errors import NotPrepared


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
    """Looks at a database through the server's account. Every call may raise a StorageError."""

    _layout: str
    _schema: str

    def __init__(self, engine: ReadEngine) -> None:
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

    async def readings(self) -> ReadingsCount:
        """What there is to be served."""
        rows = await self._engine.fetch("SELECT COUNT(*), MAX(date) FROM consumpdata")
        count, newest = rows[0]
        return ReadingsCount(count, newest and datetime.fromisoformat(newest.decode()))

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
