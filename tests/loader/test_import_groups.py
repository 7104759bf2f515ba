"""Imports of several meters that share a commit where the database is faster so."""

import json
import resource
from pathlib import Path

import pytest

from loader.formats.registry import known_formats
from loader.imports.assignment import MeterAssignment
from loader.imports.outcome import ImportOutcome
from loader.imports.plan import ImportPlan, MeterImport
from loader.imports.transaction import ImportOptions, ReportImporter
from loader.rows import rejected
from storage.factory import WritableDatabase
from tests.loader.test_many_meters import BAD, BY_NAME, counts, files, load
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.report_factory import numbered, quarters, report

NAMES = ("a", "b", "c", "d")
BEFORE, AFTER = 4, 100
DEFAULT = ImportOptions()


def with_readings(database: DatabaseFixture) -> None:
    """Give a database some readings of each meter."""
    database.configure(meter=BY_NAME)
    text = report(*numbered(quarters("2019-08-01", BEFORE)))
    paths = files(database, *(f"{name}_1" for name in NAMES), text=text)
    assert load(database, "--register", *paths).exit_code == 0


@pytest.fixture
def prepared(database: DatabaseFixture) -> DatabaseFixture:
    """A database with some readings of each meter."""
    with_readings(database)
    return database


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteDatabase:
    """The same, of the engine where meters share a commit."""
    database = SqliteDatabase(tmp_path)
    with_readings(database)
    return database


async def group_of(
    prepared: DatabaseFixture, writer: WritableDatabase, readings: int = AFTER - BEFORE
) -> list[MeterImport]:
    """The imports of a day's reports of all meters."""
    settings = prepared.settings
    plan = ImportPlan(
        known_formats(settings),
        settings.meter.timezone,
        skip_bad_rows=False,
        dry_run=False,
        on_errors=lambda _path, _errors: None,
    )
    text = report(*numbered(quarters("2019-08-02", readings)))
    paths = files(prepared, *(f"{name}_2" for name in NAMES), text=text)
    assert await writer.engine.is_prepared()
    await plan.find_meters(paths, MeterAssignment(writer.meters, settings.meter, None))
    return plan.imports


async def attempt(
    prepared: DatabaseFixture,
    writer: WritableDatabase,
    work: list[MeterImport],
    options: ImportOptions = DEFAULT,
) -> list[ImportOutcome]:
    """What becomes of imports that share a commit."""
    settings = prepared.settings
    importer = ReportImporter(settings, writer, known_formats(settings), options)
    return await importer.attempt(work)


def told(prepared: DatabaseFixture) -> list[str]:
    """The results of imports in the audit trail."""
    entries = [json.loads(row[0]) for row in prepared.run("SELECT entry FROM audit ORDER BY id")]
    return [entry["result"] for entry in entries if entry["event"] == "import"]


async def test_fault_in_a_meter_of_a_group_is_undone_alone(prepared: DatabaseFixture) -> None:
    async with prepared.writer() as writer:
        work = await group_of(prepared, writer)
        (bad,) = work[1].reports
        prepared.file(report(*numbered(quarters("2019-08-02", 40)), BAD), Path(bad.path).name)
        outcomes = await attempt(prepared, writer, work)
    assert [outcome.is_written for outcome in outcomes] == [True, False, True, True]
    assert outcomes[1].summaries[0].error == f"{bad.path}: 1 rows are wrong"
    assert counts(prepared) == {"a": AFTER, "b": BEFORE, "c": AFTER, "d": AFTER}
    assert told(prepared) == ["ok"] * 5 + ["failed"] + ["ok"] * 2


async def test_rejected_rows_of_a_group_are_put_in_place(prepared: DatabaseFixture) -> None:
    async with prepared.writer() as writer:
        work = await group_of(prepared, writer)
        (bad,) = work[1].reports
        prepared.file(report(*numbered(quarters("2019-08-02", 40)), BAD), Path(bad.path).name)
        options = ImportOptions(skip_bad_rows=True)
        outcomes = await attempt(prepared, writer, work, options)
    (summary,) = outcomes[1].summaries
    assert (summary.readings, summary.rejected) == (40, 1)
    assert summary.rejected_to == rejected.RejectedRows(bad.path).path
    assert summary.rejected_to.exists()
    assert counts(prepared)["b"] == BEFORE + 40


async def test_dry_run_of_a_group_writes_nothing(prepared: DatabaseFixture) -> None:
    async with prepared.writer() as writer:
        work = await group_of(prepared, writer)
        outcomes = await attempt(prepared, writer, work, ImportOptions(dry_run=True))
    assert [outcome.summaries[0].readings for outcome in outcomes] == [AFTER - BEFORE] * 4
    assert counts(prepared) == dict.fromkeys(NAMES, BEFORE)


async def test_group_whose_commit_fails_is_lost_whole_and_told(sqlite: SqliteDatabase) -> None:
    """No meter of it is told to be written, and the error is told once."""
    async with sqlite.writer() as writer:
        work = await group_of(sqlite, writer)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # There is room for a part of what the commit writes to the log, which is new.
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**15, hard))
        try:
            outcomes = await attempt(sqlite, writer, work)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not any(outcome.is_written for outcome in outcomes)
        assert [outcome.is_fatal for outcome in outcomes].count(True) == 1
        errors = {outcome.summaries[0].error for outcome in outcomes}
        assert errors == {f"{sqlite.path} cannot be written: disk I/O error"}
        assert counts(sqlite) == dict.fromkeys(NAMES, BEFORE)
        outcomes = await attempt(sqlite, writer, work)
    assert all(outcome.is_written for outcome in outcomes)
    assert counts(sqlite) == dict.fromkeys(NAMES, AFTER)
