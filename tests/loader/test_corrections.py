"""Loading over readings that are there: what the command says, asks for and records."""

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

import loader.__main__
import loader.meters.command
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import QUANTITIES, numbered, quarters, report, row
from tests.support.report_formats import CUPS, DISTRIBUTOR, SUMMER, hourly

DAY = quarters("2019-08-01", 96)
HOURLY = [f"2019-08-01 {hour:02}:00" for hour in range(24)]
ENERGY_ONLY = {
    "portal": {
        "columns": {"energy": "kWh"},
        "time": {"column": "t", "pattern": "%Y-%m-%d %H:%M", "marks": "start"},
    }
}
READINGS = "SELECT * FROM readings ORDER BY id"


def load(database: DatabaseFixture, *args: str) -> Result:
    """Runs the loader in this process."""
    return CliRunner().invoke(loader.__main__.main, ["--config", str(database.config), *args])


def outcome(database: DatabaseFixture, *args: str) -> dict[str, Any]:
    """What --json says of the only report."""
    done = load(database, "--json", *args)
    assert done.exit_code == 0, done.stderr
    (found,) = json.loads(done.stdout)["reports"]
    return dict(found)


def portal(energies: dict[str, str]) -> str:
    return "t,kWh\n" + "".join(f"{time},{energy}\n" for time, energy in energies.items())


@pytest.fixture
def portals(database: DatabaseFixture) -> DatabaseFixture:
    """A database that knows a format of energy only."""
    database.configure(formats=ENERGY_ONLY)
    return database


def test_energy_alone_leaves_all_other_quantities(portals: DatabaseFixture) -> None:
    full = [row(moment, *QUANTITIES) for moment in DAY[:4]]
    asyncio.run(portals.load(report(*full)))
    times = [f"2019-08-01 00:{minute:02}" for minute in (0, 15, 30, 45)]
    energies = dict(zip(times, ["1.211", "1.211", "9", ""], strict=True))
    (summary,) = asyncio.run(portals.load(portal(energies)))
    imported = summary.imported
    assert imported is not None
    assert (imported.changed, imported.unchanged, imported.kept) == (1, 3, 1)
    records = asyncio.run(portals.records())
    assert [record["energy"] for record in records] == ["1.21100", "1.21100", "9.00000", "1.21100"]
    assert {record["voltage"] for record in records} == {"121.95500"}


def test_empty_fields_are_kept_counted_and_recorded(portals: DatabaseFixture) -> None:
    asyncio.run(portals.load(portal(dict.fromkeys(HOURLY, "0.5"))))
    emptied = portals.file(portal(dict.fromkeys(HOURLY[:4], "")))
    found = outcome(portals, emptied)
    assert (found["changed"], found["unchanged"], found["kept"]) == (0, 4, 4)
    assert found["corrections"] == []
    assert "  kept values    4" in load(portals, "--dry-run", emptied).stdout.splitlines()
    assert [*portals.run("SELECT kept, format FROM imports ORDER BY id")] == [
        (0, "portal"),
        (4, "portal"),
    ]
    (entry,) = portals.run("SELECT entry FROM audit ORDER BY id DESC LIMIT 1")
    assert json.loads(entry[0])["details"]["kept"] == 4
    found = outcome(portals, "--empty-erases", emptied)
    assert (found["changed"], found["kept"]) == (4, 0)
    assert found["corrections"][0] == {
        "date": "2019-08-01T00:00:00+02:00",
        "old": {"energy": "0.50000"},
        "new": {"energy": None},
    }
    assert [record["energy"] for record in asyncio.run(portals.records())][:5] == [
        *[None] * 4,
        "0.50000",
    ]


def test_later_report_says_whether_a_reading_was_estimated(database: DatabaseFixture) -> None:
    """One that does not say it leaves that as it is."""
    tells = ENERGY_ONLY["portal"] | {"quality": {"column": "How", "estimated": "E*"}}
    formats = ENERGY_ONLY | {"tells": tells}
    database.configure(formats=formats)

    def told(*marks: str, energy: str = "0.5") -> str:
        rows = zip(HOURLY, marks, strict=False)
        return "t,kWh,How\n" + "".join(f"{time},{energy},{mark}\n" for time, mark in rows)

    def flagged() -> list[int]:
        rows = database.run("SELECT reading_id FROM flags WHERE flags = 32 ORDER BY reading_id")
        return [number for (number,) in rows]

    first = outcome(database, database.file(told("E", "Est", "R", "")))
    assert (first["flags"], flagged()) == ({"estimated": 2}, [1, 2])
    again = outcome(database, database.file(portal(dict.fromkeys(HOURLY[:4], "0.5"))))
    assert (again["changed"], again["unchanged"], flagged()) == (0, 4, [1, 2])
    asyncio.run(database.load(portal({HOURLY[0]: "0.6"})))
    assert flagged() == [1, 2]
    real = database.file(told("R", "E", "E", "R"))
    lines = load(database, "--dry-run", real).stdout.splitlines()
    assert [line for line in lines if line.startswith("  correction ")] == [
        "  correction     2019-08-01T00:00:00+02:00: energy 0.6 -> 0.5, estimated yes -> no",
        "  correction     2019-08-01T02:00:00+02:00: estimated no -> yes",
    ]
    assert flagged() == [1, 2]
    later = outcome(database, real)
    assert (later["changed"], later["unchanged"], flagged()) == (2, 2, [2, 3])
    assert later["corrections"][1] == {
        "date": "2019-08-01T02:00:00+02:00",
        "old": {"estimated": None},
        "new": {"estimated": "1"},
    }
    # All flags are worked out anew.
    database.configure(formats=formats, quality={"maximeter_tolerance": 3})
    assert outcome(database, real)["changed"] == 0
    assert flagged() == [2, 3]


@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_first_twenty_corrections_are_shown_and_the_others_counted(
    database: DatabaseFixture, options: list[str]
) -> None:
    asyncio.run(database.load(report(*numbered(DAY))))
    corrected = database.file(report(*numbered(DAY[:25], 501)))
    before = database.run(READINGS)
    done = load(database, *options, corrected)
    assert done.exit_code == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("  correction")]
    assert lines[0] == "  correction     2019-08-01T00:00:00+02:00: energy 1 -> 501"
    assert lines[19] == "  correction     2019-08-01T04:45:00+02:00: energy 20 -> 520"
    assert lines[20:] == ["  corrections    5 more readings"]
    assert (database.run(READINGS) == before) == bool(options)
    ((replaced,),) = database.run("SELECT COUNT(*) FROM replaced_values")
    assert replaced == (0 if options else 25)


def test_report_of_another_meter_is_refused_with_what_to_write(
    portals: DatabaseFixture,
) -> None:
    asyncio.run(portals.load(report(*(row(moment, *QUANTITIES) for moment in DAY))))
    before = portals.run(READINGS)
    other = portals.file(portal({"2019-08-01 00:00": "3", "2019-08-01 00:15": "4"}), "flat.csv")
    for options in ([], ["--dry-run"]):
        done = load(portals, *options, other)
        assert done.exit_code == 1
        assert (
            "flat.csv: 2 of 2 values in a format that it never had differ from those of the meter"
            " at the same times, first energy at 2019-08-01 00:00:00: 1.211 kWh there, 3 kWh in the"
            " report, which does not say whose it is: if it corrects them, add --allow-corrections;"
            " if it is another meter's, --meter NAME, and --register if that one is new"
        ) in done.stderr
    assert portals.run(READINGS) == before
    assert outcome(portals, "--dry-run", "--meter", "flat", "--register", other)["new"] == 2
    assert outcome(portals, "--dry-run", "--meter", "main", other)["changed"] == 2
    assert outcome(portals, "--allow-corrections", other)["changed"] == 2
    # From now on, the format is one that the meter had.
    assert outcome(portals, portals.file(portal({"2019-08-01 00:30": "5"})))["changed"] == 1


def test_name_of_the_file_says_whose_a_report_is(database: DatabaseFixture) -> None:
    database.configure(meter={"file_name": "{meter}_*.csv"})
    assert load(database, "--register", database.file(report(*numbered(DAY)), "barn_1.csv"))
    found = outcome(database, database.file(report(*numbered(DAY, 501)), "barn_2.csv"))
    assert (found["meter"], found["changed"]) == ("barn", 96)


@pytest.mark.parametrize(("first", "second"), [("", "0F"), ("0F", ""), ("0F", "1P")])
def test_cups_with_and_without_border_point_is_one_meter(
    database: DatabaseFixture, first: str, second: str
) -> None:
    neighbour = CUPS.replace("1AA", "2AA")
    asyncio.run(database.load(DISTRIBUTOR + "".join(hourly(SUMMER, 1, 2, cups=CUPS + first))))
    asyncio.run(
        database.load(DISTRIBUTOR + "".join(hourly(SUMMER, 1, 2, cups=neighbour)), register=True)
    )
    later = hourly("02/08/2019", 1, 2, cups=CUPS + second)
    (summary,) = asyncio.run(database.load(DISTRIBUTOR + "".join(later)))
    assert summary.meter is not None
    assert summary.meter.public_id == "main"
    # A report of both, named by the other one's identifier.
    mixed = hourly("03/08/2019", 1, cups=CUPS + first) + hourly("03/08/2019", 2, cups=CUPS + second)
    asyncio.run(database.load(DISTRIBUTOR + "".join(mixed), meter=CUPS + second))
    counts = database.run("SELECT COUNT(*) FROM readings GROUP BY meter_id ORDER BY meter_id")
    assert [*counts] == [
        (6,),
        (2,),
    ]
    taken = CliRunner().invoke(
        loader.meters.command.main,
        ["--config", str(database.config), "add", "--identifier", CUPS + second, "attic"],
    )
    assert taken.exit_code == 1
    assert f"the meter main is {CUPS + second} in reports" in taken.stderr
