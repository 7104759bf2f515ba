"""Databases as the original service's importer creates them, or an older loader of ours."""

from datetime import datetime
from pathlib import Path

from domain.quantities import QUANTITY_NAMES
from storage.backends.schema import STATE_TRIGGERS, STATEMENTS
from tests.support.databases import DatabaseFixture, MariadbDatabase

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


def forget_states(database: DatabaseFixture) -> None:
    """Take the schema back to before there were states, or an audit trail."""
    dialect = "mysql" if isinstance(database, MariadbDatabase) else "sqlite"
    for trigger in STATE_TRIGGERS[dialect]:
        database.run(f"DROP TRIGGER {trigger}")
    for table in ("states", "audit", "audit_head"):
        database.run(f"DROP TABLE {table}")
    _set_statements(database, "CREATE TABLE states")


def forget_flags(database: DatabaseFixture) -> None:
    """Take the schema back to before there were flags."""
    forget_states(database)
    for sql in ("DROP TRIGGER forget_flags_of_deleted", "DROP TABLE flags"):
        database.run(sql)
    _set_statements(database, "CREATE TABLE flags")


def _set_statements(database: DatabaseFixture, following: str) -> None:
    """Note that all statements were applied up to, and without, one."""
    is_mariadb = isinstance(database, MariadbDatabase)
    statements = STATEMENTS["mysql" if is_mariadb else "sqlite"]
    number = next(n for n, sql in enumerate(statements) if sql.startswith(following))
    if is_mariadb:
        database.run(f"UPDATE schema_version SET statements = {number}")
    else:
        database.run(f"PRAGMA user_version = {number}")
