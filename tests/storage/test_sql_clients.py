"""SQL clients know the table of the original's importer: its view has the default meter's readings.

The meter has readings of ten years here, and stands among others.
"""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pymysql
import pytest

from domain.readings_query import ReadingsQuery
from storage.backends.dialect import readings_of
from storage.common.errors import StorageError
from tests.conftest import fresh
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.neighbours import ENERGY, add_neighbours
from tests.support.report_factory import report, row, written

READINGS = 350_000
FIRST = datetime(2010, 1, 1)  # noqa: DTZ001 - local time, which is UTC here
COLUMNS = (
    ("id", "int(11)", "NO", "Row id"),
    ("date", "datetime", "NO", "Start of the interval, local time"),
    ("energy", "decimal(15,5)", "YES", "Energy (kWh)"),
    ("reactive_energy", "decimal(15,5)", "YES", "Reactive energy (kVArh)"),
    ("power", "decimal(15,5)", "YES", "Power (kW)"),
    ("maximeter", "decimal(15,5)", "YES", "Maximeter (kW)"),
    ("reactive_power", "decimal(15,5)", "YES", "Reactive power (kVAr)"),
    ("voltage", "decimal(15,5)", "YES", "Voltage (V)"),
    ("intensity", "decimal(15,5)", "YES", "Intensity (A)"),
    ("power_factor", "decimal(15,5)", "YES", "Power factor (Fi)"),
    ("meter_id", "int(11)", "NO", "Meter that was read"),
    ("utc", "datetime", "NO", "Start of the interval, UTC"),
)
"""The name, type, nullability and comment of each, on MariaDB as release 1.0.0 had them."""

SCALES = {"sqlite": 100_000, "mariadb": 1}
Rows = Sequence[tuple[Any, ...]]
FILL = {
    "sqlite": (
        "INSERT INTO readings (meter_id, id, date, utc, energy)"
        " WITH RECURSIVE more (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM more"
        f" WHERE n < {READINGS - 1}) SELECT 1, n + 1,"
        " datetime(1262304000 + n * 900, 'unixepoch'), 1262304000 + n * 900, n * 100000 FROM more"
    ),
    # A variable of the session leaves to this statement what triggers count otherwise.
    "mariadb": (
        "INSERT INTO readings (meter_id, id, date, utc, energy)"
        " SELECT 1, seq + 1, '2010-01-01' + INTERVAL seq * 15 MINUTE,"
        " '2010-01-01' + INTERVAL seq * 15 MINUTE, seq"
        f" FROM (SELECT @elecdata_loading := 1) AS quiet, seq_1_to_{READINGS - 1}"
    ),
}


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def decade(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseFixture]:
    """A database of each kind with the meter of ten years among others."""
    with fresh(request, tmp_path_factory.mktemp("decade")) as database:
        database.configure(meter={"timezone": "UTC", "default": "main"})
        asyncio.run(database.load(report(row(written(FIRST), "0"))))
        add_neighbours(database, [*range(-20, 0), *range(2, 22)])
        if isinstance(database, SqliteDatabase):
            database.run("INSERT INTO loading VALUES (1)")
        database.run(FILL[database.kind])
        if isinstance(database, SqliteDatabase):
            database.run("DELETE FROM loading")
        yield database


def local_time(number: int) -> str:
    return str(FIRST + timedelta(minutes=15) * (number - 1))


def cost(database: DatabaseFixture, sql: str, args: Sequence[object] = ()) -> tuple[int, Rows]:
    """How many steps, or reads of rows, a statement of the server's account takes; its rows."""
    if isinstance(database, SqliteDatabase):
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        with closing(sqlite3.connect(database.path)) as connection:
            connection.execute("SELECT 1 FROM consumpdata LIMIT 0")  # reads the schema
            connection.set_progress_handler(count, 1)
            rows: Rows = connection.execute(sql, args).fetchall()
        return steps, rows
    assert isinstance(database, MariadbDatabase)
    with closing(as_reader(database)) as reader, reader.cursor() as cursor:
        before = reads(cursor)
        cursor.execute(sql, args)
        rows = cursor.fetchall()
        return reads(cursor) - before, rows


def reads(cursor: pymysql.cursors.Cursor) -> int:
    """How many rows and index entries the statements of a connection have read."""
    cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(times) for _, times in cursor.fetchall())


@pytest.mark.parametrize("number", [1, 200_000, READINGS])
def test_reading_is_found_by_its_local_time_at_the_cost_of_a_few(
    decade: DatabaseFixture, number: int
) -> None:
    sql = f"SELECT id, energy FROM consumpdata WHERE date = '{local_time(number)}'"
    taken, [(id_, energy)] = cost(decade, sql)
    assert (id_, int(energy)) == (number, (number - 1) * SCALES[decade.kind])
    assert taken < 100


async def test_server_finds_it_at_the_cost_of_a_few_too(decade: DatabaseFixture) -> None:
    query = ReadingsQuery.by_date(local_time(200_000))
    async with decade.reader() as reader:
        dialect = reader._engine.dialect
    where = dialect.dated(query)
    assert where is not None
    taken, [(count, records)] = cost(decade, dialect.page(readings_of(1), where), where.args)
    assert (count, '"id":"200000"' in records) == ("1 ", True)
    assert taken < 1000


def test_view_has_the_readings_of_the_default_meter_alone(decade: DatabaseFixture) -> None:
    ((count, least, most),) = decade.run("SELECT COUNT(*), MIN(id), MAX(id) FROM consumpdata")
    assert (count, least, most) == (READINGS, 1, READINGS)
    strangers = ENERGY * SCALES[decade.kind]
    ((count,),) = decade.run(f"SELECT COUNT(*) FROM consumpdata WHERE energy = {strangers}")
    assert count == 0
    ((count,),) = decade.run(f"SELECT COUNT(*) FROM readings WHERE energy = {strangers}")
    assert count == 40 * 3


def test_account_that_may_read_the_view_needs_no_right_on_other_tables(
    decade: DatabaseFixture,
) -> None:
    if not isinstance(decade, MariadbDatabase):
        return  # a file has no accounts
    account = f"'only_{decade.reader_user}'@'localhost'"
    decade.run(f"CREATE USER {account} IDENTIFIED BY 'reads only'")
    try:
        decade.run(f"GRANT SELECT ON {decade.name}.consumpdata TO {account}")
        with (
            closing(as_reader(decade, f"only_{decade.reader_user}")) as client,
            client.cursor() as cursor,
        ):
            cursor.execute("SELECT id FROM consumpdata WHERE id < 3 ORDER BY id")
            assert cursor.fetchall() == ((1,), (2,))
            with pytest.raises(pymysql.MySQLError, match="denied"):
                cursor.execute("SELECT id FROM readings")
    finally:
        decade.run(f"DROP USER {account}")


def test_columns_are_those_of_before(decade: DatabaseFixture) -> None:
    if isinstance(decade, SqliteDatabase):
        names = decade.run("SELECT name FROM pragma_table_info('consumpdata')")
        assert [name for (name,) in names] == [name for name, *_ in COLUMNS]
    else:
        columns = decade.run("SHOW FULL COLUMNS FROM consumpdata")
        described = [(name, kind, null, note) for name, kind, _, null, *_, note in columns]
        assert described == [*COLUMNS]


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO consumpdata (id, date, meter_id, utc) VALUES (999999, '2030-01-01', 1, 0)",
        "UPDATE consumpdata SET energy = 0",
        "DELETE FROM consumpdata",
        "INSERT INTO readings (meter_id, id, date, utc) VALUES (1, 999999, '2030-01-01', 0)",
        "UPDATE readings SET energy = 0 WHERE meter_id = 2",
        "DELETE FROM readings WHERE meter_id = 2",
        "UPDATE meters SET public_id = 'mine' WHERE id = 2",
        "DELETE FROM states WHERE meter_id = 2",
        "DROP VIEW consumpdata",
    ],
)
async def test_reader_selects_and_changes_nothing(decade: DatabaseFixture, change: str) -> None:
    async with decade.reader() as reader:
        rows = await reader._engine.fetch("SELECT id FROM consumpdata WHERE id < 3")
        assert len(rows) == 2
        with pytest.raises(StorageError):
            await reader._engine.fetch(change)
    assert await decade.rows("SELECT COUNT(*) FROM readings") in (
        [(READINGS + 120,)],
        ((READINGS + 120,),),
    )


@pytest.mark.parametrize("others", [0, 1])
async def test_view_shows_the_default_meter_at_the_end_of_the_load_that_registers_it(
    database: DatabaseFixture, others: int
) -> None:
    await database.load(report(row(written(FIRST), "1")))
    database.configure(meter={"default": "cellar", "file_name": "{meter}.csv"})
    files = [
        database.file(report(row(written(FIRST), "2")), f"{name}.csv")
        for name in ("cellar", "loft")[: 1 + others]
    ]
    await database.load(*files, register=True)
    ((energy,),) = await database.rows("SELECT energy FROM consumpdata")
    assert energy == 2 * SCALES[database.kind]


def as_reader(
    database: MariadbDatabase, user: str | None = None
) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    """Connect as the account of the server does, or another one."""
    return pymysql.connect(
        host=database.server.host,
        port=database.server.port,
        user=user or database.reader_user,
        password="reads only",
        database=database.name,
        ssl_disabled=True,
    )
