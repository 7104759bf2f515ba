"""What a database must offer to be read from."""

from collections.abc import Sequence
from typing import Any, Protocol

from storage.backends.dialect import Dialect
from storage.backends.statistics import PoolStatistics

Row = Sequence[Any]


class ReadEngine(Protocol):
    """A database that is read from: connections that outlive no statement, and its dialect.

    Every call raises a StorageError where the database fails.
    """

    dialect: Dialect
    load: PoolStatistics

    async def fetch(
        self, sql: str, args: Sequence[object] = (), *, brief: bool = False
    ) -> Sequence[Row]:
        """The rows of a statement: integers as int, texts as bytes, NULL as None.

        A brief one finds a few rows by their keys, so that no thread is worth its while.
        """

    def writes(self) -> int | None:
        """A number that moves with everything that is written, None where it costs a question."""

    async def execute(self, sql: str, args: Sequence[object]) -> None:
        """Runs a statement that writes, at once and for good."""

    async def close(self) -> None:
        """End all connections."""
