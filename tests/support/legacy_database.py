"""Databases as the original service's importer creates them, or an older loader of ours."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from domain.quantities import QUANTITY_NAMES
from storage.backends.schema import STATEMENTS
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase

ORIGINAL = [
    "CREATE DATABASE {name} DEFAULT CHARACTER SET 'utf8'",
    """CREATE TABLE {name}.consumpdata (
        id INT NOT NULL AUTO_INCREMENT, date DATETIME NOT NULL, energy DECIMAL(15,5),
        reactive_energy DECIMAL(15,5), power DECIMAL(15,5), maximeter DECIMAL(15,5),
        reactive_power DECIMAL(15,5), voltage DECIMAL(15,5), intensity DECIMAL(15,5),
        power_factor DECIMAL(15,5) COMMENT 'Fi', PRIMARY KEY (id)
    )""",
    """CREATE TABLE {name}.users (
        id INT NOT NULL AUTO_INCREMENT, user CHAR(10), password CHAR(200), PRIMARY KEY (id),
        UNIQUE (user)
    )""",
    """CREATE TRIGGER {name}.encpassword BEFORE INSERT ON {name}.users FOR EACH ROW
        SET NEW.password = SHA2(NEW.password, 256)""",
    "INSERT INTO {name}.users (user, password) VALUES ('rick', 'morty')",
]


def make_original(database: MariadbDatabase, report: Path) -> None:
    """Create the database, its user and the readings of a report."""
    for sql in ORIGINAL:
        database._run(sql.format(name=database.name))
    values = []
    for line in report.read_text().splitlines()[1:]:
        timestamp, *quantities = line.split(",")
        date = datetime.strptime(timestamp, "%d %b %Y %H:%M:%S")  # noqa: DTZ007 - local time, as in a report
        values.append(f"('{date}', {', '.join(value or 'NULL' for value in quantities)})")
    database.run(
        f"INSERT INTO consumpdata (date, {', '.join(QUANTITY_NAMES)}) VALUES {', '.join(values)}"
    )


BEFORE_SESSIONS = "CREATE TABLE sessions"
"""The first statement of the schema that release 1.0.0 lacks."""

BEFORE_INTERVALS = "CREATE TABLE intervals"
"""Without it and what follows, a database has many meters but does not know their intervals."""

_OLDER_NAMES = {"readings": "consumpdata"}
"""What an older layout calls a table."""

_TABLES = (
    *("users", "access", "revocations", "sessions", "meters", "imports"),
    *("readings", "flags", "pages", "states"),
)
"""Tables whose rows an older layout has, too, in an order in which no trigger changes them."""

_MOST_ROWS = 1000


def make_older(database: DatabaseFixture, following: str = BEFORE_SESSIONS) -> None:
    """Give a database of one meter an older layout, without one statement and all after it.

    It then is as a loader of that layout would have left it.
    """
    kept = {table: _rows(database, table) for table in _TABLES}
    statements = _empty(database)
    number = next(n for n, sql in enumerate(statements) if sql.startswith(following))
    if isinstance(database, MariadbDatabase):
        database.run("CREATE TABLE schema_version (statements INT NOT NULL)")
        database.run(f"INSERT INTO schema_version (statements) VALUES ({number})")
    for statement in statements[:number]:
        database.run(statement)
    for name, rows in kept.items():
        table, columns = name, _columns(database, name)
        if not columns and name in _OLDER_NAMES:
            table, columns = _OLDER_NAMES[name], _columns(database, _OLDER_NAMES[name])
        if columns:
            database.run(f"DELETE FROM {table}")
        known = [column for column in rows[0] if column in columns] if rows else []
        values = [f"({', '.join(_literal(row[column]) for column in known)})" for row in rows]
        for at in range(0, len(values) if known else 0, _MOST_ROWS):
            database.run(
                f"INSERT INTO {table} ({', '.join(known)})"
                f" VALUES {', '.join(values[at : at + _MOST_ROWS])}"
            )
    if isinstance(database, MariadbDatabase):
        database.run(f"GRANT SELECT ON {database.name}.* TO '{database.reader_user}'@'localhost'")
    else:
        database.run(f"PRAGMA user_version = {number}")


def _empty(database: DatabaseFixture) -> Sequence[str]:
    """Drop what a database holds; return the statements that make it again."""
    if isinstance(database, MariadbDatabase):
        database._run(f"DROP DATABASE {database.name}")
        database._run(f"CREATE DATABASE {database.name} DEFAULT CHARACTER SET utf8mb4")
        return STATEMENTS["mysql"]
    assert isinstance(database, SqliteDatabase)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database.path}{suffix}").unlink(missing_ok=True)
    return STATEMENTS["sqlite"]


def _columns(database: DatabaseFixture, table: str) -> Sequence[str]:
    if isinstance(database, MariadbDatabase):
        rows = database.run(
            "SELECT column_name FROM information_schema.columns"
            f" WHERE table_schema = '{database.name}' AND table_name = '{table}'"
        )
    else:
        rows = database.run(f"SELECT name FROM pragma_table_info('{table}')")
    return [name for (name,) in rows]


def _rows(database: DatabaseFixture, table: str) -> Sequence[dict[str, object]]:
    columns = _columns(database, table)
    rows = database.run(f"SELECT {', '.join(columns)} FROM {table}")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return f"'{value}'" if isinstance(value, str | datetime) else str(value)
