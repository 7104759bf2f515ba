"""A private MariaDB server with room for all readings."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pymysql

from bench.process import cpu_seconds
from tests.support.mariadb import MariaDB

BUFFER_POOL = "4G"
_OF_SERVICE = "user NOT IN (%s, 'system user', 'event_scheduler')"
_STATE = "FROM access AS a"
"""Is in the query of the state of the data."""
_OF_THE_RECORD = {
    "access",
    "states",
    "imports",
    "revocations",
    "users",
    "meters",
    "information_schema",
    "schema_version",
}


class BenchMariaDB(MariaDB):
    """The server, with an administrator's statements."""

    def command(self) -> list[str]:
        return [*super().command(), f"--innodb-buffer-pool-size={BUFFER_POOL}"]

    def query(self, sql: str, args: Sequence[object] = ()) -> Sequence[Any]:
        """Run a statement as the administrator; return its rows."""
        with (
            closing(
                pymysql.connect(
                    host=self.host,
                    port=self.port,
                    user=self.root_user,
                    password=self.root_password,
                    autocommit=True,
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql, args or None)
            return list(cursor.fetchall())

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def cpu_seconds(self) -> dict[int, float]:
        """The processor time so far, by thread."""
        return cpu_seconds(self.pid)

    def size(self, schema: str) -> int:
        """Return the bytes of a database's tables and indexes."""
        rows = self.query(
            "SELECT SUM(data_length + index_length) FROM information_schema.tables"
            " WHERE table_schema = %s",
            (schema,),
        )
        return int(rows[0][0])

    def threads(self) -> list[int]:
        """Return the threads of the service's connections."""
        rows = self.query(
            f"SELECT tid FROM information_schema.processlist WHERE {_OF_SERVICE}",
            (self.root_user,),
        )
        return [thread for (thread,) in rows]

    def busy(self) -> int:
        """Return the number of the service's connections that run a statement now."""
        rows = self.query(
            "SELECT COUNT(*) FROM information_schema.processlist"
            f" WHERE {_OF_SERVICE} AND command <> 'Sleep'",
            (self.root_user,),
        )
        return int(rows[0][0])

    @contextmanager
    def watched(self) -> Iterator[list[str]]:
        """Collect the service's queries of readings in a list, complete at the exit."""
        seen: list[str] = []
        self.query("SET GLOBAL general_log = 0")
        self.query("TRUNCATE mysql.general_log")
        self.query("SET GLOBAL log_output = 'TABLE', general_log = 1")
        try:
            yield seen
        finally:
            self.query("SET GLOBAL general_log = 0")
        rows = self.query(
            "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log"
            " WHERE command_type IN ('Query', 'Execute') AND user_host NOT LIKE %s",
            (f"{self.root_user}[%",),
        )
        seen.extend(text for (text,) in rows if _reads_readings(text))


def _reads_readings(statement: str) -> bool:
    if _STATE in statement:  # which also looks at the largest id
        return False
    tables = re.findall(r"\b(?:FROM|JOIN)\s+`?(\w+)", statement)
    return any(table not in _OF_THE_RECORD for table in tables)
