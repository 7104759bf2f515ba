"""Statements through one connection, their errors as StorageError."""

import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from settings import AccountSettings, MysqlUrl
from storage.backends.dialect import Condition
from storage.backends.mysql.connection import (
    DRIVER_ERRORS,
    MAX_PAGE_BYTES,
    QuietCursor,
    WritingConnection,
    connection_options,
    translate_error,
)

_ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
"""A transaction reads one snapshot, whatever the server's default is."""


class Result(NamedTuple):
    """How many rows a statement wrote, and those it found."""

    written: int
    rows: Sequence[Sequence[Any]]


class Session:
    """An account's connection to a server. Every call raises a StorageError if it fails."""

    def __init__(self, connection: WritingConnection, location: MysqlUrl) -> None:
        self.connection = connection
        self._location = location

    @classmethod
    async def open(
        cls,
        location: MysqlUrl,
        account: AccountSettings,
        tls: ssl.SSLContext | None,
        **options: Any,
    ) -> Self:
        """Connect and log in."""
        options |= connection_options(location, account, tls) | {
            "cursorclass": QuietCursor,
            "init_command": f"SET SESSION group_concat_max_len = {MAX_PAGE_BYTES}",
        }
        with _translated_errors(location):
            connection = await WritingConnection.open(options)
            try:
                await connection.query(_ISOLATION)
            except BaseException:
                connection.close()
                raise
        return cls(connection, location)

    async def execute(self, sql: str, args: Sequence[object] = ()) -> int:
        """Run a statement; return the number of rows it wrote."""
        with _translated_errors(self._location):
            async with self.connection.cursor() as cursor:
                return int(await cursor.execute(sql, args or None))

    async def post(self, sql: str, args: Sequence[object] = ()) -> None:
        """Run a statement that writes."""
        await self.execute(sql, args)

    async def run(self, statements: Sequence[Condition]) -> list[Result]:
        """Send statements at once, and return their results; the first error ends them."""
        # The server stops at the first error: what follows never runs without it.
        text = ";".join(map(self._with_values, statements))
        with _translated_errors(self._location):
            return [Result(*result) for result in await self.connection.results(text)]

    def _with_values(self, statement: Condition) -> str:
        """Return the text of a statement with its values."""
        if not statement.args:
            return statement.text
        return statement.text % tuple(self.literals(statement.args))

    def literals(self, values: Iterable[object]) -> Iterator[str]:
        """Return values as SQL."""
        return map(self._literal, values)

    def _literal(self, value: object) -> str:
        if value is None:
            return "NULL"
        return str(value) if type(value) is int else str(self.connection.escape(value))

    async def insert(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run an INSERT of many rows."""
        with _translated_errors(self._location):
            async with self.connection.cursor() as cursor:
                await cursor.executemany(sql, rows)

    async def fetch(self, sql: str, args: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Return a statement's rows: integers as int, texts as str."""
        with _translated_errors(self._location):
            async with self.connection.cursor() as cursor:
                await cursor.execute(sql, args or None)
                rows: Sequence[Sequence[Any]] = await cursor.fetchall()
                return rows

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


@contextmanager
def _translated_errors(location: MysqlUrl) -> Iterator[None]:
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate_error(error, location) from error
