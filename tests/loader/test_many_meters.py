"""Loading the reports of many meters with one command."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import loader.__main__
import loader.meters
import loader.sample
from loader import report_file
from loader.imports import workers
from loader.rows import file_reader
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report, row
from tests.support.report_formats import DISTRIBUTOR, hourly

SUMMER = quarters("2019-08-01", 96)
BAD = row(SUMMER[3], "many")
HOURS = range(1, 9)
BY_NAME = {"file_name": "{meter}_*.csv"}
COUNTS = (
    "SELECT m.public_id, COUNT(r.id), s.readings FROM meters m JOIN states s ON s.meter_id = m.id"
    " LEFT JOIN readings r ON r.meter_id = m.id GROUP BY m.id, m.public_id, s.readings"
)
CONTENT = (
    (
        "SELECT m.public_id, r.id, r.date, r.energy FROM readings r"
        " JOIN meters m ON m.id = r.meter_id ORDER BY m.public_id, r.id"
    ),
    (
        "SELECT m.public_id, i.id, i.file, i.new, i.changed FROM imports i"
        " JOIN meters m ON m.id = i.meter_id ORDER BY m.public_id, i.id"
    ),
    "SELECT m.public_id, d.* FROM days d JOIN meters m ON m.id = d.meter_id",
)


def load(database: DatabaseFixture, *args: str) -> Result:
    """Runs the loader in this process."""
    return CliRunner().invoke(loader.__main__.main, ["--config", str(database.config), *args])


def counts(database: DatabaseFixture) -> dict[str, int]:
    """The number of readings of each meter, which is that on record."""
    rows = database.run(COUNTS)
    assert all(counted == known for _, counted, known in rows)
    return {name: counted for name, counted, _ in rows}


def files(database: DatabaseFixture, *names: str, text: str = "") -> list[str]:
    """Reports of a quarter of an hour each, or of a text."""
    return [database.file(text or report(*numbered(SUMMER, 5)), f"{name}.csv") for name in names]


@pytest.fixture
def named(database: DatabaseFixture) -> DatabaseFixture:
    """A database whose reports are of the meters that their names tell."""
    database.configure(meter=BY_NAME)
    return database


# Which reports are written


def test_fault_in_one_report_stops_those_of_no_other_meter(named: DatabaseFixture) -> None:
    good = files(named, "a_1", "c_1")
    (bad,) = files(named, "b_1", text=report(*numbered(SUMMER[:3]), BAD))
    done = load(named, "--register", good[0], bad, good[1])
    assert done.exit_code == 1
    assert counts(named) == {"a": 96, "c": 96}
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"{bad}:5: Energy (kWh): many: expected a decimal")
    assert lines[-1] == "ERROR - 1 of 3 reports were not written"
    assert f"  error          {bad}: 1 rows are wrong" in done.stdout.splitlines()
    assert done.stdout.count("  new            96\n") == 2


def test_json_tells_what_became_of_each_report(named: DatabaseFixture) -> None:
    good = files(named, "a_1", "c_1")
    (bad,) = files(named, "b_1", text=report(*numbered(SUMMER[:3]), BAD))
    done = load(named, "--json", "--register", good[0], bad, good[1])
    assert done.exit_code == 1
    (line,) = done.stdout.splitlines()
    given = json.loads(line)
    assert given["ok"] is False
    assert given["faults"]["count"] == 1
    told = [(each["report"], each["new"], each["error"] is None) for each in given["reports"]]
    assert told == [("a_1.csv", 96, True), ("b_1.csv", None, False), ("c_1.csv", 96, True)]


def test_fault_stops_all_reports_of_all_or_nothing(named: DatabaseFixture) -> None:
    good = files(named, "a_1", "c_1")
    (bad,) = files(named, "b_1", text=report(*numbered(SUMMER[:3]), BAD))
    done = load(named, "--all-or-nothing", "--register", good[0], bad, good[1])
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == "ERROR - 1 error; nothing was written"
    assert counts(named) == {}
    assert load(named, "--all-or-nothing", "--register", *good).exit_code == 0
    assert counts(named) == {"a": 96, "c": 96}


def test_fault_stops_the_other_reports_of_the_meter(named: DatabaseFixture) -> None:
    """Those before it, too: they are one transaction."""
    good = files(named, "a_1", "b_1")
    (bad,) = files(named, "a_2", text=report(BAD))
    done = load(named, "--register", *good, bad)
    assert done.exit_code == 1
    assert counts(named) == {"b": 96}
    assert "another report of the meter has errors" in done.stdout


def test_reports_of_a_meter_are_loaded_in_the_order_of_the_command(named: DatabaseFixture) -> None:
    later, earlier, other = files(named, "a_2", "a_1", "b_1")
    Path(later).write_text(report(*numbered(SUMMER[:3], 70)))
    assert load(named, "--register", earlier, other, later).exit_code == 0
    done = named.run("SELECT file, new, changed FROM imports WHERE meter_id = 1 ORDER BY id")
    assert [tuple(each) for each in done] == [("a_1.csv", 96, 0), ("a_2.csv", 0, 3)]


# Whose reports they are


def of_two_meters(database: DatabaseFixture) -> str:
    """A report whose rows are those of two meters in turn."""
    rows = [hourly("01/08/2019", hour, cups=cups)[0] for hour in HOURS for cups in ("ES1", "ES2")]
    return database.file(DISTRIBUTOR + "".join(rows))


def test_file_of_several_meters_registers_each_with_a_random_id(database: DatabaseFixture) -> None:
    path = of_two_meters(database)
    assert load(database, "--register", path).exit_code == 0
    known = dict(database.run("SELECT identifier, public_id FROM meters"))
    assert known.keys() == {"ES1", "ES2"}
    assert known.keys().isdisjoint(known.values())
    assert counts(database) == dict.fromkeys(known.values(), 8)
    again = load(database, "--json", path)
    assert [each["unchanged"] for each in json.loads(again.stdout)["reports"]] == [8, 8]


BAD_ROWS = [
    f"{name};01/08/2019;{hour};many;R\n" for name, hour in (("ES1", 9), ("ES2", 10), ("", 11))
]


def rows_in(rejected: Path) -> list[str]:
    """The rows in a file of rejected ones, without their reasons."""
    lines = rejected.read_text().splitlines()[1:]
    return [";".join(line.split(";")[:5]) + "\n" for line in lines]


@pytest.mark.parametrize("options", [(), ("--all-or-nothing",)], ids=["apart", "together"])
def test_rejected_rows_of_meters_that_share_a_file_are_in_one_file(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """With those of no meter; each is told once, though the file is read twice."""
    monkeypatch.setattr(file_reader, "CHUNK_BYTES", 128)
    rows = [hourly("01/08/2019", hour, cups=cups)[0] for cups in ("ES1", "ES2") for hour in HOURS]
    path = Path(database.file(DISTRIBUTOR + "".join(rows + BAD_ROWS)))
    done = load(database, "--json", "--register", "--skip-bad-rows", *options, str(path))
    assert done.exit_code == 0, done.output
    given = json.loads(done.stdout)
    assert (given["faults"]["count"], [*counts(database).values()]) == (4, [8, 8])
    rejected = path.with_name("report.rejected.csv")
    assert {each["rejected_to"] for each in given["reports"]} == {str(rejected)}
    assert rows_in(rejected) == BAD_ROWS


def test_rejected_rows_of_a_meter_whose_import_fails_are_left_out_of_the_file(
    database: DatabaseFixture,
) -> None:
    """ES1 is in a time zone that the machine does not know."""
    path = Path(of_two_meters(database))
    with path.open("a") as file:
        file.writelines(BAD_ROWS)
    load(database, "--register", "--skip-bad-rows", str(path))
    rejected = path.with_name("report.rejected.csv")
    rejected.unlink()
    database.run("UPDATE meters SET timezone = 'Europe/Nowhere' WHERE identifier = 'ES1'")
    done = load(database, "--skip-bad-rows", str(path))
    assert done.exit_code == 1
    assert "1 of 2 reports were not written" in done.stderr
    assert rows_in(rejected) == BAD_ROWS[1:]


def test_rejected_rows_that_cannot_be_put_in_place_are_an_error(
    database: DatabaseFixture,
) -> None:
    """After the imports of all meters, which cannot be undone any more."""
    path = Path(of_two_meters(database))
    with path.open("a") as file:
        file.writelines(BAD_ROWS)
    other = path.with_name("report.rejected.csv")
    other.write_text("other rows\n")
    done = load(database, "--json", "--register", "--skip-bad-rows", str(path))
    assert done.exit_code == 1
    assert [*counts(database).values()] == [8, 8]
    given = json.loads(done.stdout)
    assert given["error"] == "rejected rows were not saved"
    assert given["faults"]["shown"][-1] == (
        f"{other}: contains other rejected rows: load or move the file first; the reports were"
        " imported: load them again, which does no harm, to get the rejected rows"
    )
    assert [each["rejected_to"] for each in given["reports"]] == [None, None]
    assert other.read_text() == "other rows\n"


def test_sample_file_of_all_meters_loads_into_those_of_its_list(
    database: DatabaseFixture,
) -> None:
    fleet = database.folder / "fleet"
    made = CliRunner().invoke(
        loader.sample.main, ["--meters", "8", "--one-file", "--output", str(fleet)]
    )
    assert made.exit_code == 0
    config = ["--config", str(database.config)]
    added = CliRunner().invoke(
        loader.meters.main, [*config, "add", "--from", str(fleet / "meters.csv")]
    )
    assert added.exit_code == 0
    done = load(database, str(fleet / "reports"))
    assert done.exit_code == 0, done.stderr
    assert set(counts(database).values()) <= {23, 24}


def test_unknown_meter_is_refused_with_the_line_to_type(named: DatabaseFixture) -> None:
    first, second = files(named, "a_1", "b_1")
    load(named, "--register", first)
    done = load(named, second, first)
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        (
            f"{second}: there is no meter 'b': to register it, run elecdata load --meter b"
            f" --register {second}"
        ),
        "ERROR - 1 of 2 reports were not written",
    ]
    assert counts(named) == {"a": 96}


def test_folder_stands_for_the_reports_in_it(named: DatabaseFixture) -> None:
    folder = named.folder / "reports"
    folder.mkdir()
    for name in ("a_1.csv", "b_1.csv", "b_1.rejected.csv", ".c_1.csv", "notes.txt"):
        (folder / name).write_text(report(*numbered(SUMMER)))
    assert load(named, "--register", str(folder)).exit_code == 0
    assert counts(named) == {"a": 96, "b": 96}
    (named.folder / "empty").mkdir()
    done = load(named, str(named.folder / "empty"))
    assert done.stderr.endswith(
        "expected a report, there is no *.csv, *.csv.gz, *.xlsx, *.xml or *.zip in it\n"
    )


# Worker processes

MANY = [f"meter-{number}_1" for number in range(12)]


def many(database: DatabaseFixture, quarter_hours: int = 96) -> list[str]:
    """Reports of twelve meters."""
    text = report(*numbered(quarters("2019-08-01", quarter_hours), 5))
    return files(database, *MANY, text=text)


def test_worker_processes_write_what_one_process_does(
    named: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And report the same faults."""
    paths = many(named)
    Path(paths[4]).write_text(report(BAD))
    started: list[object] = []
    start = workers._ImportWorker.start

    async def counted(order: Any) -> Any:
        started.append(order)
        return await start(order)

    monkeypatch.setattr(workers._ImportWorker, "start", counted)

    def outcome() -> list[object]:
        done = load(named, "--json", "--register", *paths)
        given = json.loads(done.stdout)
        for each in given["reports"]:
            del each["seconds"]
        meter_id = slice(1, 2)
        days = [list(day) for day in named.run(CONTENT[-1])]
        for day in days:
            del day[meter_id]
        return [done.exit_code, given, *map(named.run, CONTENT[:-1]), sorted(days)]

    alone = outcome()
    assert (alone[0], started) == (1, [])
    empty(named)
    monkeypatch.setattr(workers, "MIN_SECONDS", 0)
    # Where several meters share a commit, the fault is in one of those.
    monkeypatch.setattr(workers, "GROUPS_PER_WORKER", 1)
    assert outcome() == alone
    assert len(started) == min(len(os.sched_getaffinity(0)), workers.MAX_WORKERS)


def empty(database: DatabaseFixture) -> None:
    """Drops the database, so that the loader makes it anew."""
    database.drop()
    for file in database.folder.glob("data/*"):
        file.unlink()


@pytest.mark.parametrize("most", [report_file.MAX_PACKED_BYTES, 1], ids=["small", "too large"])
def test_worker_processes_load_the_small_parts_of_a_file_of_several_meters(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Beside other files; the rest is loaded by the command's own process."""
    monkeypatch.setattr(workers, "MIN_SECONDS", 0)
    monkeypatch.setattr(report_file, "MAX_PACKED_BYTES", most)
    handed_over: list[object] = []
    send = workers._ImportWorker.send

    def noted(worker: Any, group: Any) -> None:
        handed_over.extend(report.part for work in group for report in work.reports)
        send(worker, group)

    monkeypatch.setattr(workers._ImportWorker, "send", noted)
    single = [
        database.file(DISTRIBUTOR + "".join(hourly("02/08/2019", *HOURS, cups=name)), f"{name}.csv")
        for name in ("ES3", "ES4", "ES5")
    ]
    done = load(database, "--json", "--register", of_two_meters(database), *single)
    assert done.exit_code == 0, done.output
    assert [each["new"] for each in json.loads(done.stdout)["reports"]] == [8] * 5
    assert [*counts(database).values()] == [8] * 5
    assert sum(part is not None for part in handed_over) == (0 if most == 1 else 2)


def test_fault_in_a_part_of_a_file_is_told_with_its_line_by_a_worker_process(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MIN_SECONDS", 0)
    path = of_two_meters(database)
    with Path(path).open("a") as file:
        file.write(BAD_ROWS[1])
    done = load(database, "--register", path)
    assert done.exit_code == 1
    told, *_, last = done.stderr.splitlines()
    assert told.startswith(f"{path}:18: Consumo_kWh: many: expected ")
    assert last == "ERROR - 1 of 2 reports were not written"
    assert [*counts(database).values()] == [8]
