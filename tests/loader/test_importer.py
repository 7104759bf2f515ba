"""Imports: what they leave in the database, the same on every engine."""

import asyncio
import gzip
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pymysql
import pytest

import loader.rows.file_reader
from cli.error_report import FaultyReportsError
from domain.quantities import QUANTITY_NAMES
from domain.readings_query import ReadingsQuery
from domain.record_layout import Encoding, RecordLayout, TimeStyle
from loader.importer import Importer, ImportListener
from loader.imports.outcome import ImportSummary
from loader.rows.errors import ReportError, RowError
from loader.rows.header import Header
from loader.rows.rejected import RejectedRows
from storage.backends.mysql.session import Session
from storage.backends.mysql.writer import MysqlWriteEngine
from storage.backends.schema import STATEMENTS
from storage.backends.sqlite.writer import SqliteWriteEngine
from storage.common.errors import Conflict, NotPrepared, Outdated, StorageError
from tests.support.databases import SILENT, DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.legacy_database import make_original
from tests.support.mariadb import MariaDB
from tests.support.paths import SAMPLE
from tests.support.report_factory import QUANTITIES, numbered, quarters, report, row

SUMMER = quarters("2019-08-01", 12)
BAD = row("1 Aug 2019 12:00:00", "many")


def counts(summary: ImportSummary) -> tuple[int, int, int, int]:
    """New, changed, unchanged, rejected."""
    imported = summary.imported
    assert imported is not None
    return imported.new, imported.changed, imported.unchanged, imported.rejected


async def energies(database: DatabaseFixture) -> list[tuple[str, str, str | None]]:
    """The id, the date and the energy of each reading."""
    return [
        (str(record["id"]), str(record["date"]), record["energy"])
        for record in await database.records()
    ]


async def contents(database: DatabaseFixture) -> list[Any]:
    """All that an import may change."""
    tables = ("readings", "imports", "meters")
    return [await database.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables]


# Counts and ids


async def test_second_import_changes_nothing(database: DatabaseFixture) -> None:
    (first,) = await database.load(SAMPLE)
    before = await database.rows("SELECT * FROM readings")
    (second,) = await database.load(SAMPLE)
    assert counts(first) == (11716, 0, 0, 0)
    assert counts(second) == (0, 0, 11716, 0)
    assert await database.rows("SELECT * FROM readings") == before


async def test_sample_has_a_hundred_readings_where_clocks_go_back(
    database: DatabaseFixture,
) -> None:
    await database.load(SAMPLE)
    records = await database.records(ReadingsQuery.by_date("2019-10-27%"))
    assert len(records) == 100
    assert [str(record["date"])[11:] for record in records[8:17]] == (
        ["02:00:00", "02:15:00", "02:30:00", "02:45:00"] * 2 + ["03:00:00"]
    )
    ids = [int(record["id"] or 0) for record in records]
    assert ids == list(range(ids[0], ids[0] + 100))


async def test_instants_are_a_quarter_of_an_hour_apart(database: DatabaseFixture) -> None:
    await database.load(SAMPLE)
    seconds = "utc" if database.kind == "sqlite" else "TIMESTAMPDIFF(SECOND, '1970-01-01', utc)"
    rows = await database.rows(f"SELECT {seconds} FROM readings ORDER BY id")
    first = int(datetime(2019, 7, 31, 22, tzinfo=UTC).timestamp())
    assert [int(row[0]) for row in rows] == [first + 900 * number for number in range(11716)]


async def test_corrected_report_updates_what_it_corrects(database: DatabaseFixture) -> None:
    rows = [row(moment, *QUANTITIES) for moment in SUMMER]
    await database.load(report(*rows))
    rows[3] = row(SUMMER[3], "9", *QUANTITIES[1:])
    rows[7] = row(SUMMER[7])
    (summary,) = await database.load(report(*rows))
    assert counts(summary) == (0, 1, 11, 0)
    records = await database.records()
    assert [record["id"] for record in records] == [str(number) for number in range(1, 13)]
    assert records[3]["energy"] == "9.00000"
    assert records[7]["energy"] == "1.21100"
    assert records[4]["reactive_power"] == "-8.38200"


async def test_missing_value_that_comes_later_is_a_change(database: DatabaseFixture) -> None:
    await database.load(report(row(SUMMER[0])))
    (summary,) = await database.load(report(row(SUMMER[0], "0")))
    assert counts(summary) == (0, 1, 0, 0)
    assert (await database.records())[0]["energy"] == "0.00000"


async def test_ids_are_dense_and_follow_the_files(database: DatabaseFixture) -> None:
    """Whatever the order of the rows, the reports and the imports, and in spite of failures."""
    later, sooner = numbered(SUMMER[6:9]), numbered(SUMMER[:3], 4)
    await database.load(report(later[2], later[0], later[1]))
    with pytest.raises(FaultyReportsError):
        await database.load(report(*numbered(SUMMER[3:5]), BAD))
    await database.load(report(*sooner, *later))
    await database.load(report(*numbered(SUMMER[9:10], 7)), report(*numbered(SUMMER[10:11], 8)))
    found = [(int(number), energy) for number, _, energy in await energies(database)]
    assert found == list(
        enumerate([f"{energy}.00000" for energy in (3, 1, 2, 4, 5, 6, 7, 8)], start=1)
    )


async def test_reports_of_one_import_may_overlap(database: DatabaseFixture) -> None:
    summaries = await database.load(
        report(*numbered(SUMMER[:4])), report(*numbered(SUMMER[2:6], 10))
    )
    assert [counts(summary) for summary in summaries] == [(4, 0, 0, 0), (2, 2, 0, 0)]
    assert [energy for _, _, energy in await energies(database)] == [
        f"{energy}.00000" for energy in (1, 2, 10, 11, 12, 13)
    ]


# All or nothing


@pytest.mark.parametrize("good_first", [True, False])
async def test_one_faulty_report_keeps_all_out(database: DatabaseFixture, good_first: bool) -> None:
    await database.load(report(*numbered(SUMMER[:2])))
    before = await contents(database)
    good, faulty = report(*numbered(SUMMER)), report(*numbered(SUMMER[:3]), BAD)
    with pytest.raises(FaultyReportsError) as caught:
        await database.load(*((good, faulty) if good_first else (faulty, good)))
    assert await contents(database) == before
    (error,) = caught.value.errors.shown
    assert error.endswith(
        f"report-{int(good_first)}.csv:5: Energy (kWh): many: expected a decimal like -8.382, "
        "at most 10 digits before the point and 5 after it, or nothing"
    )


async def test_all_faults_of_all_reports_are_counted_and_the_first_shown(
    database: DatabaseFixture,
) -> None:
    with pytest.raises(FaultyReportsError) as caught:
        await database.load(report(*[BAD] * 15), database.file(""), report(*[BAD] * 15))
    errors = caught.value.errors
    assert errors.count == 31
    assert len(errors.shown) == 20
    assert errors.shown[15].endswith("report.csv: expected a report, the file is empty")


async def test_report_that_breaks_off_after_many_rows_leaves_nothing(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader.rows.file_reader, "CHUNK_BYTES", 2**16)
    packed = gzip.compress(SAMPLE.read_bytes())
    path = database.file(packed[: len(packed) // 2], "half.csv.gz")
    with pytest.raises(FaultyReportsError) as caught:
        await database.load(path)
    assert caught.value.errors.shown == [
        f"{path}: cannot be read: Compressed file ended before the end-of-stream marker was reached"
    ]
    assert not any(await contents(database))


async def test_import_that_is_cancelled_stops_at_once_and_leaves_nothing(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader.rows.file_reader, "CHUNK_BYTES", 2**12)
    slices = 0

    def stop(_report: str, _size: int) -> None:
        nonlocal slices
        slices += 1
        if slices == 20:
            loop.call_soon_threadsafe(running.cancel)

    loop = asyncio.get_running_loop()
    listener = ImportListener(on_step=SILENT.on_step, on_wait=SILENT.on_wait, on_progress=stop)
    running = asyncio.create_task(database.load(SAMPLE, listener=listener))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert slices < SAMPLE.stat().st_size / 2**12
    assert not await database.records()
    (summary,) = await database.load(SAMPLE)
    assert counts(summary) == (11716, 0, 0, 0)


async def test_cancellation_that_comes_with_the_commit_is_too_late(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: type[Any] = SqliteWriteEngine if database.kind == "sqlite" else MysqlWriteEngine
    commit = engine.commit

    async def cancelled_commit(self: object) -> None:
        running.cancel()
        await commit(self)

    monkeypatch.setattr(engine, "commit", cancelled_commit)
    running = asyncio.create_task(database.load(report(*numbered(SUMMER))))
    await running
    assert len(await database.records()) == 12


# Rows left out


async def test_rejected_rows_load_again_once_mended(database: DatabaseFixture) -> None:
    good = numbered(SUMMER)
    bad = [good[2].replace(",3,", ",3?,"), good[5].replace("Aug", "Agosto"), good[7][:-2] + "\n"]
    path = database.file(report(*good[:2], bad[0], *good[3:5], bad[1], good[6], bad[2], *good[8:]))
    (summary,) = await database.load(path, skip_bad_rows=True)
    assert counts(summary) == (9, 0, 0, 3)
    rejected = summary.rejected_to
    assert rejected == database.folder / "report.rejected.csv"
    heading, *lines = rejected.read_text().splitlines()
    assert heading == f"{report().strip()},Rejected because"
    assert [line.split(",")[0] for line in lines] == [bad[0][:19], bad[1].split(",")[0], SUMMER[7]]
    assert lines[0].endswith(
        ',"line 4: Energy (kWh): expected a decimal like -8.382, at most 10 digits before the '
        'point and 5 after it, or nothing"'
    )

    # Partly mended, what is left is rejected with one reason still.
    mended = rejected.read_text().replace("3?", "3").replace("Agosto", "Aug")
    rejected.write_text(mended)
    (summary,) = await database.load(rejected, skip_bad_rows=True)
    assert counts(summary) == (2, 0, 0, 1)
    assert summary.rejected_to is not None
    (line,) = summary.rejected_to.read_text().splitlines()[1:]
    assert line.count("line ") == 1

    summary.rejected_to.write_text(report(good[7]))
    (summary,) = await database.load(summary.rejected_to)
    assert counts(summary) == (1, 0, 0, 0)
    found = {date: energy for _, date, energy in await energies(database)}
    assert found == {
        f"2019-08-01 {number // 4:02}:{number % 4 * 15:02}:00": f"{number + 1}.00000"
        for number in range(12)
    }


async def test_rejected_rows_never_replace_others(database: DatabaseFixture) -> None:
    path = database.file(report(*numbered(SUMMER), BAD))
    kept = database.folder / "report.rejected.csv"
    kept.write_text("mine")
    with pytest.raises(ReportError, match=r"report.rejected.csv: contains other rejected rows"):
        await database.load(path, skip_bad_rows=True)
    assert kept.read_text() == "mine"
    assert not await database.records()
    kept.unlink()
    await database.load(path, skip_bad_rows=True)
    await database.load(path, skip_bad_rows=True)
    assert sorted(database.folder.glob("*.rejected.csv*")) == [kept]


def test_rejected_rows_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    heading = Header(("Date",), ",", "utf-8")
    before = os.umask(0o027)
    try:
        with RejectedRows(str(tmp_path / "report.csv")) as rejected:
            rejected.add([RowError(2, "Date", "never", "a date")], b"never", heading)
            rejected.prepare()
            rejected.save()
    finally:
        after = os.umask(before)
    assert after == 0o027
    assert rejected.path.stat().st_mode & 0o777 == 0o640


async def test_report_of_bad_rows_only_is_refused_in_spite_of_skipping(
    database: DatabaseFixture,
) -> None:
    path = database.file(report(BAD))
    with pytest.raises(FaultyReportsError) as caught:
        await database.load(path, skip_bad_rows=True)
    assert caught.value.errors.shown[-1] == (
        f"{path}: expected at least one reading below the heading"
    )
    assert not (database.folder / "report.rejected.csv").exists()


# The record


async def test_every_import_is_on_record(database: DatabaseFixture) -> None:
    text = report(*numbered(SUMMER), BAD)
    path = database.file(gzip.compress(text.encode()), "august.csv.gz")
    before = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    await database.load(path, skip_bad_rows=True)
    await database.load(report(*numbered(SUMMER[2:4]), *numbered(SUMMER[:1], 5)))
    columns = "file, sha256, new, changed, unchanged, rejected, readings, first_id, last_id"
    first, second = await database.rows(f"SELECT {columns} FROM imports ORDER BY id")
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert first == ("august.csv.gz", digest, 12, 0, 0, 1, 12, 1, 12)
    assert (second[0], *second[2:]) == ("report-0.csv", 0, 3, 0, 0, 12, 1, 12)
    spans = await database.rows("SELECT first_reading, last_reading FROM imports ORDER BY id")
    assert [(str(first), str(last)) for first, last in spans] == [
        ("2019-08-01 00:00:00", "2019-08-01 02:45:00"),
        ("2019-08-01 00:00:00", "2019-08-01 00:45:00"),
    ]
    for finished, seconds in await database.rows("SELECT finished, seconds FROM imports"):
        assert (
            before
            <= datetime.fromisoformat(str(finished))
            <= datetime.now(UTC).replace(tzinfo=None)
        )
        assert 0 <= seconds < 60
    versions = await database.rows("SELECT version FROM imports ORDER BY id")
    assert len({version for (version,) in versions}) == 2
    async with database.reader() as reader:
        state = await reader.state()
    assert state.version == versions[1][0] + state.source.suffix
    assert state.span is not None
    assert (state.span.count, state.span.first_id, state.span.last_id) == (12, 1, 12)


async def test_file_name_that_is_not_utf8_is_recorded(database: DatabaseFixture) -> None:
    path = database.file(report(*numbered(SUMMER)), "caf\udce9 ☕.csv")
    await database.load(path)
    (recorded,) = await database.rows("SELECT file FROM imports")
    assert recorded == ("caf\ufffd ☕.csv",)


# Values


LARGEST = "9999999999.99999"


@pytest.mark.parametrize(
    ("written", "answered"),
    [
        (LARGEST, LARGEST),
        (f"-{LARGEST}", f"-{LARGEST}"),
        ("-0.000", "0.00000"),
        ("-0.00001", "-0.00001"),
        ("0000000000.1", "0.10000"),
        ("8388608.00001", "8388608.00001"),
        ("", None),
    ],
)
async def test_quantity_is_answered_as_it_was_written(
    database: DatabaseFixture, written: str, answered: str | None
) -> None:
    await database.load(report(row(SUMMER[0], *[written] * 8)))
    (record,) = await database.records()
    assert {record[name] for name in QUANTITY_NAMES} == {answered}


async def test_quantities_of_every_magnitude_come_back_exactly(database: DatabaseFixture) -> None:
    random = Random(5)  # noqa: S311 - not for secrets
    hundred_thousandths = [random.randrange(10 ** (number % 15 + 1)) for number in range(20_000)]
    values = [f"{value // 10**5}.{value % 10**5:05}" for value in hundred_thousandths]
    moments = quarters("2019-08-01", len(values))
    await database.load(report(*map(row, moments, values)))
    assert [record["energy"] for record in await database.records()] == values


# Loaders at once


async def test_loaders_at_once_take_turns(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a database that none of them finds prepared."""
    database.configure(api_users={"rick": "morty"})
    monkeypatch.setattr(loader.rows.file_reader, "CHUNK_BYTES", 2**14)
    results = await asyncio.gather(*(database.load(SAMPLE) for _ in range(3)))
    done = sorted(counts(summary) for (summary,) in results)
    assert done == [(0, 0, 11716, 0), (0, 0, 11716, 0), (11716, 0, 0, 0)]
    (number,) = await database.rows("SELECT COUNT(*) FROM users")
    assert number == (1,)


async def test_loader_that_waits_can_be_cancelled(database: DatabaseFixture) -> None:
    await database.load(report(*numbered(SUMMER)))
    waiting = asyncio.Event()
    listener = ImportListener(
        on_step=SILENT.on_step, on_wait=waiting.set, on_progress=SILENT.on_progress
    )
    async with database.writer() as first:
        assert await first.engine.is_prepared()
        await first.engine.begin()
        await first.meters.lock(1)
        second = asyncio.create_task(database.load(report(*numbered(SUMMER, 5)), listener=listener))
        await waiting.wait()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        await first.engine.rollback()
    assert (await database.records())[0]["energy"] == "1.00000"


# Users and rights


async def test_configured_users_are_made_once(database: DatabaseFixture) -> None:
    database.configure(api_users={"rick": "morty"})
    await database.load(report(*numbered(SUMMER)))
    (first,) = await database.rows("SELECT user, password FROM users")
    database.configure(api_users={"rick": "changed"})
    await database.load(report(*numbered(SUMMER)))
    (second,) = await database.rows("SELECT user, password FROM users")
    assert first == second
    assert first[0] == "rick"
    assert first[1].startswith("$argon2id$")


async def test_server_reads_and_cannot_write(database: DatabaseFixture) -> None:
    await database.load(report(*numbered(SUMMER)))
    async with database.reader() as reader:
        for sql in (
            "INSERT INTO readings (date, utc) VALUES ('2020-01-01 00:00:00', 0)",
            "UPDATE users SET enabled = 0",
            "DELETE FROM readings",
            "DROP TABLE imports",
        ):
            with pytest.raises(StorageError, match=r"denied|readonly"):
                await reader._engine.fetch(sql)
    assert len(await database.records()) == 12


async def test_empty_database_says_which_command_loads_it(database: DatabaseFixture) -> None:
    async with database.writer() as writer:
        assert not await writer.engine.is_prepared()
        async for _ in writer.engine.prepare():
            pass
        assert await writer.engine.is_prepared()
        await writer.engine.admit_reader()
    assert await database.records() == []


def test_plain_password_by_hand_is_hashed_on_mariadb(mariadb: MariaDB, tmp_path: Path) -> None:
    with MariadbDatabase(tmp_path, mariadb) as database:
        asyncio.run(database.load(report(*numbered(SUMMER))))
        database.run("INSERT INTO users (user, password) VALUES ('summer', 'smith')")
        digest = hashlib.sha256(b"smith").hexdigest()
        assert database.run("SELECT password, enabled FROM users") == ((digest, 1),)
        database.run("UPDATE users SET enabled = 0")
        assert database.run("SELECT password, enabled FROM users") == ((digest, 0),)
        database.run("UPDATE users SET password = 'jerry'")
        digest = hashlib.sha256(b"jerry").hexdigest()
        assert database.run("SELECT password FROM users") == ((digest,),)
        database.run("UPDATE users SET password = '$argon2id$v=19$whatever'")
        assert database.run("SELECT password FROM users") == (("$argon2id$v=19$whatever",),)


@pytest.mark.parametrize("password", ["smith", "A" * 64, "", "0" * 63])
async def test_plain_password_by_hand_is_refused_on_sqlite(tmp_path: Path, password: str) -> None:
    database = SqliteDatabase(tmp_path)
    await database.load(report(*numbered(SUMMER)))
    for sql in (
        f"INSERT INTO users (user, password) VALUES ('summer', '{password}')",
        f"UPDATE users SET password = '{password}'",
    ):
        database.run(
            "INSERT OR REPLACE INTO users (user, password)"
            f" VALUES ('rick', '{hashlib.sha256(b'morty').hexdigest()}')"
        )
        with pytest.raises(sqlite3.IntegrityError, match="stored as its hash only"):
            database.run(sql)


# What only one engine has


@pytest.fixture
def maria(mariadb: MariaDB, tmp_path: Path) -> Iterator[MariadbDatabase]:
    with MariadbDatabase(tmp_path, mariadb) as database:
        yield database


@pytest.fixture
def no_local_infile(maria: MariadbDatabase) -> Iterator[None]:
    maria._run("SET GLOBAL local_infile = 0")
    yield
    maria._run("SET GLOBAL local_infile = 1")


@pytest.mark.usefixtures("no_local_infile")
async def test_server_without_load_data_gets_the_same(
    maria: MariadbDatabase, tmp_path: Path
) -> None:
    sqlite = SqliteDatabase(tmp_path / "sqlite")
    (summary,) = await maria.load(SAMPLE)
    assert counts(summary) == (11716, 0, 0, 0)
    await sqlite.load(SAMPLE)
    assert await maria.records() == await sqlite.records()
    (late,) = await maria.rows("SELECT utc FROM consumpdata WHERE id = 11716")
    assert late == (datetime.fromisoformat("2019-11-30 22:45:00"),)


async def test_columns_name_their_units(maria: MariadbDatabase) -> None:
    await maria.load(report(*numbered(SUMMER)))
    comments = await maria.rows(
        "SELECT column_name, column_comment FROM information_schema.columns"
        f" WHERE table_schema = '{maria.name}' AND table_name = 'consumpdata'"
        f" AND column_name IN {QUANTITY_NAMES} ORDER BY ordinal_position"
    )
    units = [comment.partition("(")[2].rstrip(")") for _, comment in comments]
    assert units == ["kWh", "kVArh", "kW", "kW", "kVAr", "V", "A", "Fi"]


@pytest.fixture
async def original(maria: MariadbDatabase) -> MariadbDatabase:
    """A database that the original's importer made of the sample."""
    make_original(maria, SAMPLE)
    return maria


async def test_database_of_the_original_is_taken_over_as_it_is(original: MariadbDatabase) -> None:
    before = await original.rows(f"SELECT id, date, {', '.join(QUANTITY_NAMES)} FROM consumpdata")
    users = await original.rows("SELECT id, user, password FROM users")
    original.configure(api_users={"rick": "another"})
    (summary,) = await original.load(SAMPLE)
    assert counts(summary) == (0, 0, 11716, 0)
    assert (
        await original.rows(f"SELECT id, date, {', '.join(QUANTITY_NAMES)} FROM consumpdata")
        == before
    )
    assert await original.rows("SELECT id, user, password FROM users") == users
    assert users == ((1, "rick", hashlib.sha256(b"morty").hexdigest()),)
    fresh = await original.rows("SHOW TRIGGERS")
    assert "encpassword" not in {trigger[0] for trigger in fresh}
    assert summary.imported is not None
    assert summary.imported.flags["missing"] == 113


async def test_database_of_the_original_serves_all_that_needs_no_instants(
    original: MariadbDatabase,
) -> None:
    reader = f"'{original.reader_user}'@'localhost'"
    original.run(f"CREATE USER {reader} IDENTIFIED BY 'reads only'")
    original.run(f"GRANT SELECT ON {original.name}.* TO {reader}")
    rows = RecordLayout.of(("date", "energy"), Encoding.CSV_REPORT, TimeStyle.LOCAL, numbers=False)
    async with original.reader() as storage:
        state = await storage.state()
        query = ReadingsQuery(descending=True, limit=1)
        answer = await storage.readings(query, state, rows)
        assert [page async for page in answer.pages] == [b"30 Nov 2019 23:45:00,4.70000\r\n"]
        for shape in (
            RecordLayout.of(("date",), Encoding.JSON_OBJECTS, TimeStyle.UTC, numbers=False),
            RecordLayout.of(("date",), Encoding.CSV_TYPED, TimeStyle.LOCAL, numbers=False),
            RecordLayout.of(("flags",), Encoding.JSON_OBJECTS, TimeStyle.LOCAL, numbers=False),
        ):
            with pytest.raises(Outdated):
                await storage.readings(query, state, shape)
        with pytest.raises(Outdated):
            await storage.readings(ReadingsQuery(clean=True), state)


async def test_original_with_a_reading_twice_is_a_conflict(original: MariadbDatabase) -> None:
    original.run("INSERT INTO consumpdata (date) VALUES ('2019-08-01 00:00:00')")
    with pytest.raises(Conflict, match=r"two readings of .* stand for the same instant"):
        await original.load(SAMPLE)
    original.run("DELETE FROM consumpdata WHERE id > 11716")
    (summary,) = await original.load(SAMPLE)
    assert counts(summary) == (0, 0, 11716, 0)


async def test_original_with_a_time_that_no_clock_showed_is_a_conflict(
    original: MariadbDatabase,
) -> None:
    original.run("INSERT INTO consumpdata (date) VALUES ('2019-03-31 02:00:00')")
    with pytest.raises(Conflict, match=r"reading 11717 .* clocks go forward over this one"):
        await original.load(SAMPLE)


async def test_schema_is_finished_wherever_the_loaders_before_were_stopped(
    original: MariadbDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them when it had applied one more statement, and not noted it yet."""
    readings = f"SELECT id, date, {', '.join(QUANTITY_NAMES)} FROM consumpdata ORDER BY id"
    before = await original.rows(readings)
    execute = Session.execute
    applied: list[str] = []

    async def failing(self: Session, sql: str, args: tuple[object, ...] = ()) -> int:
        if sql in STATEMENTS["mysql"] and sql not in applied:
            applied.append(sql)
            # What a table that was made just before has already: the next loader ignores it, too.
            with suppress(StorageError):
                await execute(self, sql, args)
            raise NotPrepared("stopped")
        return await execute(self, sql, args)

    async def prepare() -> bool:
        async with original.writer() as writer:
            with suppress(NotPrepared):
                async for _ in writer.engine.prepare():
                    pass
                return True
        return False

    with monkeypatch.context() as patch:
        patch.setattr(Session, "execute", failing)
        for _ in STATEMENTS["mysql"]:
            assert not await prepare()
        assert await prepare()
    assert applied == STATEMENTS["mysql"]
    (summary,) = await original.load(SAMPLE)
    assert counts(summary) == (0, 0, 11716, 0)
    assert await original.rows(readings) == before
    assert await original.rows("SELECT statements FROM schema_version") == (
        (len(STATEMENTS["mysql"]),),
    )


async def test_server_that_dies_during_an_import_leaves_nothing(
    mariadb: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader.rows.file_reader, "CHUNK_BYTES", 2**14)
    with MariaDB(mariadb.program) as server:
        database = MariadbDatabase(tmp_path, server)
        await database.load(report(*numbered(SUMMER)))
        slices = 0

        def kill(_report: str, _size: int) -> None:
            nonlocal slices
            slices += 1
            if slices == 10:
                server.kill()

        listener = ImportListener(on_step=SILENT.on_step, on_wait=SILENT.on_wait, on_progress=kill)
        with pytest.raises(StorageError) as caught:
            await database.load(SAMPLE, listener=listener)
        assert f"{server.host}:{server.port} cannot be reached" in str(caught.value)
        server.start()
        assert len(await database.records()) == 12
        (summary,) = await database.load(SAMPLE)
        assert counts(summary) == (11704, 12, 0, 0)


async def test_wrong_admin_password_is_one_line(maria: MariadbDatabase) -> None:
    section = maria.section() | {"admin": {"user": "admin", "password": "wrong"}}
    maria.configure(database=section)
    with pytest.raises(StorageError, match="Access denied") as caught:
        await maria.load(report(*numbered(SUMMER)))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, pymysql.MySQLError)


async def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    database.path.parent.mkdir()
    database.path.write_bytes(b"This is not a database." * 1000)
    with pytest.raises(StorageError, match=r"elecprod.db cannot be written: file is not"):
        await database.load(report(*numbered(SUMMER)))
    async with database.writer() as writer:
        with pytest.raises(StorageError):
            await Importer(database.settings, writer, SILENT).run(
                [str(SAMPLE)], skip_bad_rows=False, dry_run=True
            )
