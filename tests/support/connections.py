"""Which connections to SQLite files were made, and which of them nobody has closed."""

import sqlite3
from typing import Any


class Connections:
    """Stands for `sqlite3.connect`, and remembers what it has made."""

    def __init__(self) -> None:
        self._connect = sqlite3.connect
        self._made: list[sqlite3.Connection] = []

    def connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        """A new connection."""
        connection: sqlite3.Connection = self._connect(*args, **options)
        self._made.append(connection)
        return connection

    def open(self) -> list[sqlite3.Connection]:
        """Those that are not closed."""
        return [connection for connection in self._made if _is_open(connection)]


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        # It may be asked from any thread, and waits for no statement.
        _ = connection.isolation_level
    except sqlite3.ProgrammingError:
        return False
    return True
