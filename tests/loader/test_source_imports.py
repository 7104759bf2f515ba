"""Imports of archives, workbooks and other layouts, by the command."""

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import loader.imports.workers
from tests.loader.test_many_meters import BY_NAME, counts, load
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report, row
from tests.support.source_files import Metered, archive, green_button, nem12, workbook

REPORT = report(*numbered(quarters("2019-08-01", 4)))
FIRST = datetime(2024, 4, 30, 14, tzinfo=UTC)
DAY = {FIRST + timedelta(minutes=30) * at: Decimal(at) for at in range(48)}


def put(database: DatabaseFixture, name: str, content: bytes) -> str:
    return database.file(content, name)


def test_reports_of_an_archive_go_to_the_meters_of_their_names(database: DatabaseFixture) -> None:
    database.configure(meter=BY_NAME)
    members = {f"2024/{name}_1.csv": REPORT.encode() for name in ("a", "b")}
    path = put(database, "all.zip", archive({**members, "notes.pdf": b"%PDF"}))
    dry = load(database, "--register", "--dry-run", path)
    assert dry.exit_code == 0, dry.output
    done = load(database, "--register", "--json", path)
    assert done.exit_code == 0, done.output
    assert counts(database) == {"a": 4, "b": 4}
    assert f"{path}: notes.pdf: passed over, its name is not that of a report" in done.stderr
    told = json.loads(done.stdout)["reports"]
    assert [each["report"] for each in told] == ["all.zip: 2024/a_1.csv", "all.zip: 2024/b_1.csv"]
    names = database.run("SELECT file FROM imports ORDER BY file")
    assert [name for (name,) in names] == ["all.zip: 2024/a_1.csv", "all.zip: 2024/b_1.csv"]
    again = load(database, path)
    assert again.exit_code == 0
    assert "unchanged      4" in again.output


def test_reports_of_an_archive_are_imported_by_worker_processes(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.configure(meter=BY_NAME)
    members = {f"m{number}_1.csv": REPORT.encode() for number in range(12)}
    path = put(database, "all.zip", archive(members))
    assert load(database, "--register", "--dry-run", path).exit_code == 0
    monkeypatch.setattr(loader.imports.workers, "MIN_SECONDS", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    done = load(database, "--register", path)
    assert done.exit_code == 0, done.output
    assert counts(database) == {f"m{number}": 4 for number in range(12)}


def test_meters_of_nem12_are_imported_by_worker_processes(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = {(f"60{number}", "E1"): DAY for number in range(12)}
    path = put(database, "NEM12.csv", nem12(channels).encode())
    monkeypatch.setattr(loader.imports.workers, "MIN_SECONDS", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    done = load(database, "--register", path)
    assert done.exit_code == 0, done.output
    assert [*counts(database).values()] == [48] * 12


def test_rejected_rows_of_a_member_stand_beside_the_archive(database: DatabaseFixture) -> None:
    text = REPORT + row("1 Aug 2019 01:00:00", "many")
    path = put(database, "all.zip", archive({"2024/june.csv": text.encode()}))
    refused = load(database, path)
    assert refused.exit_code == 1
    assert f"{path}: 2024/june.csv:6: Energy (kWh): many: expected" in refused.stderr
    done = load(database, "--skip-bad-rows", path)
    assert done.exit_code == 0, done.output
    rejected = Path(path).with_name("all.2024_june.rejected.csv")
    rejected.write_text(rejected.read_text().replace("many", "5"))
    assert load(database, str(rejected)).exit_code == 0
    assert counts(database) == {"main": 5}


def test_rejected_rows_of_a_workbook_load_again(database: DatabaseFixture) -> None:
    cells = [line.split(",") for line in (REPORT + row("1 Aug 2019 01:00:00", "x")).splitlines()]
    path = put(database, "june.xlsx", workbook(cells))
    done = load(database, "--skip-bad-rows", path)
    assert done.exit_code == 0, done.output
    assert f"{path}:6: Energy (kWh): x: expected" in done.stderr
    rejected = Path(f"{path}.rejected.csv")
    rejected.write_text(rejected.read_text().replace(",x,", ",5,"))
    assert load(database, str(rejected)).exit_code == 0
    assert counts(database) == {"main": 5}


@pytest.mark.parametrize("kind", ["archive", "workbook", "UTF-16"])
def test_rows_that_are_repeated_are_compared_by_a_second_reading(
    database: DatabaseFixture, kind: str
) -> None:
    lines = REPORT.splitlines(keepends=True)
    text = REPORT + lines[2]
    name, content = {
        "archive": ("all.zip", archive({"june.csv": text.encode()})),
        "workbook": ("june.xlsx", workbook([line.split(",") for line in text.splitlines()])),
        "UTF-16": ("june.csv", text.encode("utf-16")),
    }[kind]
    done = load(database, put(database, name, content))
    assert done.exit_code == 0, done.output
    assert "repeated rows  1" in done.output
    assert counts(database) == {"main": 4}


def test_nem12_of_several_meters_is_loaded_into_each(database: DatabaseFixture) -> None:
    channels = {("6001", "E1"): DAY, ("6002", "E1"): DAY, ("6001", "B1"): DAY}
    path = put(database, "NEM12.csv", nem12(channels).encode())
    done = load(database, "--register", path)
    assert done.exit_code == 0, done.output
    assert sorted(counts(database).values()) == [48, 48]
    sums = database.run(
        "SELECT m.identifier, SUM(r.energy), SUM(r.exported_energy) FROM readings r"
        " JOIN meters m ON m.id = r.meter_id GROUP BY m.identifier ORDER BY m.identifier"
    )
    found = {name: (used is None, fed is None) for name, used, fed in sums}
    assert found == {"6001": (False, False), "6002": (False, True)}
    assert load(database, path).exit_code == 0


def test_green_button_of_one_usage_point_goes_to_the_only_meter(
    database: DatabaseFixture,
) -> None:
    path = put(database, "g.xml", green_button([Metered("1", DAY, seconds=1800)]).encode())
    done = load(database, path)
    assert done.exit_code == 0, done.output
    assert counts(database) == {"main": 48}
    assert "format         green-button" in done.output
    assert "interval       1800 s" in done.output
