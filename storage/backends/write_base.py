"""What a database must offer to be written to."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domain.report_source import RowBatch
from storage.backends.dialect import Dialect
from storage.common.deflate import DeflateBlock


@dataclass(frozen=True, slots=True)
class WriteDialect:
    """What the two databases spell differently where they are written to."""

    place: str
    instant: str
    """A reading's instant in seconds since 1970."""
    same: str
    """Whether `i`, a row of `incoming`, has the quantities of the reading `c`."""
    update: str
    """Gives the readings that are there already the quantities of `incoming` where they differ."""
    unless_taken: str
    """Ends an INSERT that leaves a user of the same name alone."""
    epoch: str
    """The instant 1970-01-01 00:00:00 UTC."""
    later: str
    """The instant that is the seconds {1} after the instant {0}."""
    elapsed: str
    """The seconds from the instant {0} to the instant {1}."""
    exceeds: str
    """Whether, exactly, energy in kWh > (maximeter in kW * {times} + {more}) / 360000 for `c`."""


class WriteEngine(Protocol):
    """A database that is written to, through one connection.

    Every call raises a StorageError where the database fails.
    """

    dialect: WriteDialect
    reading: Dialect
    database: str
    """What messages call the database."""

    def prepare(self) -> AsyncGenerator[str]:
        """Makes what is missing, up to the newest layout; names each part when it is there."""

    async def is_prepared(self) -> bool:
        """Whether the database has the newest layout."""

    async def admit_reader(self) -> str | None:
        """Lets the server's account read, where the database has accounts, and names it."""

    async def begin(self, waiting: Callable[[], None]) -> None:
        """Starts a transaction in its turn; calls `waiting` where another loader is in one."""

    async def append(self, blocks: Iterable[RowBatch], before: int) -> int:
        """Adds rows as new readings, with ids that are their numbers and `before` added."""

    async def stage(self, blocks: Iterable[RowBatch]) -> int:
        """Fills the temporary table `incoming` and returns the number of its rows."""

    async def execute(self, sql: str, args: Sequence[object] = ()) -> int:
        """Runs a statement and returns how many rows it wrote."""

    async def fetch(self, sql: str, args: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """The rows of a statement: integers as int, texts as str."""

    async def keep_page(self, first_id: int, page: DeflateBlock) -> None:
        """Keeps the records of a page, compressed."""

    async def commit(self) -> None:
        """Makes everything since `begin` last."""

    async def rollback(self) -> None:
        """Forgets everything since `begin`."""

    async def close(self) -> None:
        """Ends the connection."""
