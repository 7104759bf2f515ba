"""The command `elecdata meters`."""

import asyncio
import gzip
import json
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

import loader.__main__
import loader.audit
from domain.quantities import ALL_QUANTITY_NAMES
from elecdata import main
from storage.meter_directory import MeterDirectory
from storage.meters import PUBLIC_ID_EXPECTED
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.direct_parts import Part, Values
from tests.support.report_factory import HEADING, numbered, quarters, report, row

AUGUST = report(*numbered(quarters("2019-08-01", 8)))
DAY = report(*numbered(quarters("2019-09-01", 96)))


def run(database: DatabaseFixture, *args: str, typed: str | None = None) -> Result:
    """Runs `elecdata meters`."""
    command = ["meters", "--config", str(database.config), *args]
    return CliRunner().invoke(main, command, input=typed)


def done(database: DatabaseFixture, *args: str) -> str:
    """What the command prints, which must succeed."""
    result = run(database, *args)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(database: DatabaseFixture, *args: str) -> str:
    """The last line of what the command says, which must fail."""
    result = run(database, *args)
    assert result.exit_code in (1, 2), result.output
    assert "Traceback" not in result.output
    return result.stderr.splitlines()[-1]


def load(database: DatabaseFixture, meter: str, text: str) -> None:
    """Loads a report into a meter, which is registered."""
    args = ["--config", str(database.config), "--meter", meter, "--register"]
    result = CliRunner().invoke(loader.__main__.main, [*args, database.file(text)])
    assert result.exit_code == 0, result.output


def listed(database: DatabaseFixture, *args: str) -> list[dict[str, Any]]:
    lines = done(database, "list", "--json", *args).splitlines()
    return [json.loads(line) for line in lines]


def names(database: DatabaseFixture, *args: str) -> list[str]:
    return [meter["meter"] for meter in listed(database, *args)]


def trail(database: DatabaseFixture) -> list[tuple[str, dict[str, Any]]]:
    args = ["--config", str(database.config), "list", "--json"]
    lines = CliRunner().invoke(loader.audit.main, args).stdout.splitlines()
    return [(entry["event"], entry["details"]) for entry in map(json.loads, lines)]


# list


def test_list_shows_meters_by_public_id(database: DatabaseFixture) -> None:
    load(database, "west", DAY)
    done(database, "add", "east", "--identifier", "ES1", "--timezone", "UTC")
    database.run("UPDATE meters SET name = 'Flat \x1b[31m' WHERE public_id = 'east'")
    (imported,) = database.run("SELECT finished FROM imports")
    lines = done(database, "list").splitlines()
    assert [re.split("  +", line) for line in lines] == [
        [
            *("public id", "name", "identifier", "time zone", "interval", "readings"),
            *("first reading", "last reading", "last import (UTC)"),
        ],
        ["east", "Flat \\x1b[31m", "ES1", "UTC", "-", "0", "-", "-", "-"],
        [
            *("west", "-", "-", "Europe/Madrid", "900 s", "96"),
            *("2019-09-01 00:00:00", "2019-09-01 23:45:00", str(imported[0])),
        ],
    ]
    assert len({line.index("2019-09-01 23") for line in lines[2:]}) == 1
    east, west = listed(database)
    assert (east["name"], east["identifier"], east["readings"]) == ("Flat \x1b[31m", "ES1", 0)
    assert (west["last_reading"], west["interval"]) == ("2019-09-01 23:45:00", 900)
    assert west["last_import"] == f"{str(imported[0]).replace(' ', 'T')}Z"


def test_list_searches_names_in_any_case(database: DatabaseFixture) -> None:
    done(database, "add", "one", "--name", "Café ÉTÉ")
    done(database, "add", "two", "--identifier", "ES99", "--note", "under the café")
    done(database, "add", "three")
    assert names(database, "--search", "CAFÉ") == ["one", "two"]
    assert names(database, "--search", "s99") == ["two"]
    assert names(database, "--search", "%") == []
    assert done(database, "list", "--search", "%") == "No meter contains %\n"


def test_list_without_meters_says_so(database: DatabaseFixture) -> None:
    assert "is not prepared for meters yet: run `elecdata load`" in refused(database, "list")
    done(database, "add", "one")
    done(database, "remove", "one", "--yes")
    said = done(database, "list")
    assert said == "There are no meters yet: load a report, or add them\n"
    assert done(database, "list", "--json") == ""


def test_list_counts_readings_that_another_program_changed(database: DatabaseFixture) -> None:
    load(database, "one", DAY)
    database.run("DELETE FROM readings WHERE id BETWEEN 1 AND 6")
    (one,) = listed(database)
    assert (one["readings"], one["first_reading"]) == (90, "2019-09-01 01:30:00")


async def test_list_reads_some_meters_at_a_time(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a hundred thousand take no more memory, and no statement each."""
    rows = "".join(f"m{number:04}\n" for number in range(2500))
    path = database.file(f"public_id\n{rows}", "meters.csv")
    await asyncio.to_thread(done, database, "add", "--from", path)
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        statements = []
        fetch = writer.engine.fetch

        async def counted(sql: str, args: Sequence[object] = ()) -> Any:
            statements.append(sql)
            return await fetch(sql, args)

        monkeypatch.setattr(writer.engine, "fetch", counted)
        found = []
        async for meter in MeterDirectory(writer.engine).listings():
            found.append(meter.properties.public_id)
            assert len(statements) <= 2 + len(found) / 250
        assert found == [f"m{number:04}" for number in range(2500)]


# add


def test_added_meter_has_the_properties_that_were_given(database: DatabaseFixture) -> None:
    database.configure(meter={"timezone": "America/New_York", "default": "one"})
    args = ["--identifier", "ES1", "--name", "Flat 1", "--note", "left", "--area", "85.5"]
    done(database, "add", "one", *args, "--timezone", "Asia/Tokyo", "--interval", "3600")
    said = run(database, "add")
    assert said.stderr == ""
    random_id = said.stdout.split()[0]
    assert re.fullmatch("m-[a-z0-9]{10}", random_id)
    unnamed, one = listed(database)
    assert {**one, "created": None} == {
        "meter": "one",
        "name": "Flat 1",
        "identifier": "ES1",
        "note": "left",
        "timezone": "Asia/Tokyo",
        "interval": 3600,
        "area": 85.5,
        "created": None,
        "replaced_by": None,
        "being_removed": False,
        "readings": 0,
        "first_reading": None,
        "last_reading": None,
        "last_import": None,
    }
    assert (unnamed["meter"], unnamed["timezone"]) == (random_id, "America/New_York")
    assert trail(database) == [
        ("meter added", {"meter": "one"}),
        ("meter added", {"meter": random_id}),
    ]


NOT_ADDED = [
    (["one"], "there is a meter one already"),
    (["ES1"], "the meter one is ES1 in reports"),
    (["two", "--identifier", "ES1"], "the meter one is ES1 in reports"),
    (["two", "--identifier", "one"], "there is a meter one already"),
    (["two", "--timezone", "Mars/Base"], "expected an IANA time zone such as Europe/Madrid"),
    (["two", "--timezone", ""], "expected an IANA time zone such as Europe/Madrid"),
    (["two", "--interval", "700"], "expected seconds that divide a day (86400), such as 900"),
    (["two", "--interval", "0"], "expected seconds that divide a day (86400), such as 900"),
    (["two", "--area", "-1"], "expected square metres, more than 0, such as 85 or 85.5"),
    (["two", "--name", "x" * 201], "expected at most 200 printable characters"),
    (["two", "--identifier", "ES\x1b"], "expected at most 64 printable characters"),
    (["no/slash"], "expected a public id of 1 to 64 letters, digits"),
    (["two", "--from", "meters.csv"], "--from FILE takes no other properties"),
]


def test_meter_that_cannot_be_added_is_refused(database: DatabaseFixture) -> None:
    done(database, "add", "one", "--identifier", "ES1")
    for args, said in NOT_ADDED:
        assert said in refused(database, "add", *args)
    assert names(database) == ["one"]
    assert len(trail(database)) == 1


def test_second_meter_comes_with_a_warning_unless_there_is_a_default(
    database: DatabaseFixture,
) -> None:
    warning = "WARNING - there are several meters now: requests and reports that name none"
    assert run(database, "add", "one").stderr == ""
    assert run(database, "add", "two").stderr.startswith(warning)
    assert run(database, "add", "three").stderr == ""


def test_meters_of_a_file_are_added(database: DatabaseFixture) -> None:
    database.configure(meter={"timezone": "Atlantic/Canary", "default": "m1"})
    text = (
        "\ufeffpublic_id,identifier,name,kind,timezone,interval_seconds,area\r\n"
        'm1,ES1,"Flat, left",household,Asia/Kolkata,1800,80\r\n'
        "\r\n"
        ",ES2,Café,,,,\r\n"
        "m3,,,,,,\r\n"
    )
    path = Path(database.file(gzip.compress(text.encode()), "meters.csv.gz"))
    assert done(database, "add", "--from", str(path)) == "3 meters were added\n"
    found = {meter["meter"]: meter for meter in listed(database)}
    (unnamed,) = found.keys() - {"m1", "m3"}
    fields = ("identifier", "name", "note", "timezone", "interval", "area")
    assert [[found[name][field] for field in fields] for name in ("m1", unnamed, "m3")] == [
        ["ES1", "Flat, left", "household", "Asia/Kolkata", 1800, 80],
        ["ES2", "Café", None, "Atlantic/Canary", None, None],
        [None, None, None, "Atlantic/Canary", None, None],
    ]
    assert trail(database) == [("meter added", {"file": "meters.csv.gz", "meters": 3})]


def test_file_with_bad_lines_adds_nothing(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So few at a time that names occur twice within a part, in two parts and in the database.
    monkeypatch.setattr("loader.meters.adding.PAGE_METERS", 3)
    done(database, "add", "old", "--identifier", "ES9")
    lines = ["m1,ES1,", "m1,,", "m2,ES9,", "m3,ES1,", "old,,", "m4,,Mars/Base", "m/5,,", "m6,"]
    path = database.file("public_id,identifier,timezone\n" + "\n".join(lines), "meters.csv")
    result = run(database, "add", "--from", path)
    free = "expected one that no other meter has as public id or identifier"
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{path}:3: public_id: m1: {free}",
        f"{path}:4: identifier: ES9: {free}",
        f"{path}:5: identifier: ES1: {free}",
        f"{path}:6: public_id: old: {free}",
        f"{path}:7: timezone: Mars/Base: expected an IANA time zone such as Europe/Madrid",
        f"{path}:8: public_id: m/5: expected {PUBLIC_ID_EXPECTED}",
        f"{path}:9: row: 2 fields: expected 3 fields, separated by commas",
        "ERROR - 7 errors; nothing was written",
    ]
    assert names(database) == ["old"]
    assert len(trail(database)) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "meters.csv:1: heading: expected public_id or identifier, and any of"),
        (b"name\nx\n", "meters.csv:1: heading: expected public_id or identifier, and any of"),
        (b"public_id,colour\n", "meters.csv:1: heading: 'colour': expected each of public_id,"),
        (b"public_id,public_id\n", "meters.csv:1: heading: 'public_id': expected each of"),
        (b"public_id\nm1\n\xff\n", "meters.csv:3: row: expected UTF-8"),
        (b'public_id\n"m1\n', "meters.csv:2: row: cannot be read: unexpected end of data"),
        (None, "meters.csv: cannot be read: No such file or directory"),
    ],
)
def test_file_that_lists_no_meters_is_refused(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    database = SqliteDatabase(tmp_path)
    path = tmp_path / "meters.csv"
    if content is not None:
        path.write_bytes(content)
    assert said in refused(database, "add", "--from", str(path))
    assert listed(database) == []


# change


def test_changed_meter_has_the_new_properties(database: DatabaseFixture) -> None:
    done(database, "add", "one", "--identifier", "ES1", "--note", "left", "--area", "80")
    done(database, "add", "two", "--interval", "900")
    changes = ["--public-id", "uno", "--identifier", "ES2", "--name", "Flat", "--note", ""]
    done(database, "change", "ES1", *changes, "--area", "", "--replaced-by", "two")
    done(database, "change", "two", "--timezone", "UTC", "--interval", "")
    two, one = listed(database)
    fields = ("meter", "identifier", "name", "note", "area", "replaced_by")
    assert [one[field] for field in fields] == ["uno", "ES2", "Flat", None, None, "two"]
    assert (two["timezone"], two["interval"]) == ("UTC", None)
    done(database, "change", "uno", "--replaced-by", "")
    assert listed(database)[1]["replaced_by"] is None
    assert trail(database)[2:] == [
        (
            "meter changed",
            {
                "meter": "one",
                "public_id": "uno",
                "changed": "public_id identifier name note area replaced_by",
            },
        ),
        ("meter changed", {"meter": "two", "changed": "timezone interval"}),
        ("meter changed", {"meter": "uno", "changed": "replaced_by"}),
    ]


NOT_CHANGED = [
    (["nobody", "--name", "x"], "no such meter: nobody"),
    (["one"], "nothing to change"),
    (["one", "--public-id", "two"], "there is a meter two already"),
    (["one", "--identifier", "ES2"], "the meter two is ES2 in reports"),
    (["one", "--public-id", ""], "expected a public id of 1 to 64 letters"),
    (["one", "--replaced-by", "nobody"], "no such meter: nobody"),
    (["one", "--replaced-by", "one"], "one cannot be replaced by itself"),
    (["one", "--replaced-by", "two"], "one cannot be replaced by itself"),
    (["two", "--timezone", "UTC"], "the time zone of two cannot be changed: the local times"),
    (["two", "--interval", "3600"], "the interval of two cannot be changed: the local times"),
]


def test_change_that_cannot_be_made_is_refused(database: DatabaseFixture) -> None:
    done(database, "add", "one")
    load(database, "two", DAY)
    done(database, "change", "two", "--identifier", "ES2", "--replaced-by", "one")
    before = listed(database)
    for args, said in NOT_CHANGED:
        assert said in refused(database, "change", *args)
    assert listed(database) == before
    assert len(trail(database)) == 3


def test_change_makes_a_new_version_and_is_no_change_of_readings(
    database: DatabaseFixture,
) -> None:
    """What was worked out of the readings stays good."""
    load(database, "one", DAY)
    state = "SELECT changes, readings, corrections, version FROM states"
    (before,) = database.run(state)
    # What the meter has already is no change of what its readings depend on.
    done(database, "change", "one", "--name", "Flat", "--timezone", "Europe/Madrid")
    (after,) = database.run(state)
    assert before[:3] == after[:3]
    assert before[3] != after[3]


def test_change_of_the_default_meter_says_what_else_names_it(database: DatabaseFixture) -> None:
    database.configure(meter={"default": "one"})
    done(database, "add", "one")
    result = run(database, "change", "one", "--public-id", "uno")
    assert result.stderr == "WARNING - meter.default names one: change it, too\n"


# remove


def test_removal_asks_for_the_public_id(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(database, "two", DAY)
    load(database, "one", DAY)
    assert refused(database, "remove", "one").endswith("without a terminal, use --yes")
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    result = run(database, "remove", "one", typed="two\n")
    assert (result.exit_code, result.stderr) == (1, "Nothing was changed\n")
    assert "To remove one and its 96 readings, type its public id: " in result.stdout
    assert names(database) == ["one", "two"]
    result = run(database, "remove", "one", typed="one\n")
    assert result.exit_code == 0
    assert result.stdout.endswith("one was removed, with 96 readings\n")
    assert names(database) == ["two"]
    assert trail(database)[2:] == [("meter removed", {"meter": "one", "readings": 96})]


def test_removal_of_the_default_meter_needs_yes(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    loss = (
        "one is the default meter: requests that name no meter, or the view consumpdata, lose its"
        " readings"
    )
    load(database, "one", DAY)
    load(database, "two", DAY)
    assert refused(database, "remove", "one") == f"ERROR - {loss}; use --yes to remove it"
    result = run(database, "remove", "one", "--yes")
    assert result.stderr == f"WARNING - {loss}\n"
    assert names(database) == ["two"]
    assert refused(database, "remove", "two").startswith("ERROR - two is the default meter")


def test_removed_meter_can_be_added_and_loaded_anew(database: DatabaseFixture) -> None:
    load(database, "one", DAY)
    done(database, "remove", "one", "--yes")
    load(database, "one", AUGUST)
    assert [meter["readings"] for meter in listed(database)] == [8]
    assert len(asyncio.run(database.records())) == 8


# export


def reports_of_a_hard_meter() -> list[str]:
    """Both clock changes, the repeated hour backwards, gaps, missing values, late readings."""
    times = quarters("2019-03-30T22:00", 24) + quarters("2019-10-26T22:00", 12)
    rows = [row(time, str(number), "", "-8.382", "0.00001") for number, time in enumerate(times)]
    repeated = [f"2019-10-27T02:{minute}:00+0{offset}:00" for offset in "12" for minute in (30, 45)]
    return [
        report(*rows[:30], *map(row, quarters("2019-12-01", 10)), *rows[34:]),
        report(*numbered(repeated, 200)),
        report(*numbered(quarters("2019-02-01", 4000), 300)),
    ]


def instants(database: DatabaseFixture, meter: str) -> list[tuple[int, int]]:
    """The ids of a meter's readings, and when they begin."""
    utc = "utc"
    if not isinstance(database, SqliteDatabase):
        utc = "TIMESTAMPDIFF(SECOND, '1970-01-01', utc)"
    of_meter = f"meter_id = (SELECT id FROM meters WHERE public_id = '{meter}')"
    return list(database.run(f"SELECT id, {utc} FROM readings WHERE {of_meter} ORDER BY id"))


def test_exported_report_loads_again_with_equal_result(
    database: DatabaseFixture, tmp_path: Path
) -> None:
    load(database, "other", DAY)
    for text in reports_of_a_hard_meter():
        load(database, "one", text)
    database.run("UPDATE readings SET energy = 7 WHERE id = 5")
    file, packed = tmp_path / "out.csv", tmp_path / "out.csv.gz"
    assert done(database, "export", "one", str(file)) == f"OK - 4046 readings exported to {file}\n"
    done(database, "export", "one", str(packed))
    assert {path.stat().st_mode & 0o777 for path in (file, packed)} == {0o600}
    assert gzip.decompress(packed.read_bytes()) == file.read_bytes()
    assert run(database, "export", "one", "-").stdout_bytes == file.read_bytes()
    assert trail(database)[-3:] == [
        ("export", {"meter": "one", "readings": 4046, "file": name})
        for name in (str(file), str(packed), "-")
    ]
    database.configure(meter={"default": "one"})
    elsewhere = SqliteDatabase(tmp_path / "elsewhere")
    args = ["--config", str(elsewhere.config), str(file)]
    assert CliRunner().invoke(loader.__main__.main, args).exit_code == 0
    assert asyncio.run(elsewhere.records()) == asyncio.run(database.records())
    assert instants(elsewhere, "main") == instants(database, "one")


def test_export_of_exported_energy_and_estimated_readings_loads_again(
    database: DatabaseFixture, tmp_path: Path
) -> None:
    zone, chance = ZoneInfo("Europe/Madrid"), random.Random(1)  # noqa: S311 - test data
    first = datetime(2019, 10, 26, 20, tzinfo=UTC)
    readings: list[tuple[datetime, Values]] = []
    for number in range(60):
        values = [chance.choice([None, chance.randrange(10**7)]) for _ in ALL_QUANTITY_NAMES]
        mark = chance.choice([None, 1])
        readings.append((first + timedelta(minutes=15) * number, [*values, mark]))

    async def imported() -> None:
        async with database.writer() as writer:
            assert await writer.engine.is_prepared()
            await writer.engine.begin()
            meter = await writer.meters.register("one", zone.key)
            await writer.imports.load(Part(zone, readings), meter)
            await writer.engine.commit()

    load(database, "other", DAY)
    asyncio.run(imported())
    file = tmp_path / "out.csv"
    done(database, "export", "one", str(file))
    again = ["--meter", "two", "--register", str(file)]
    loaded = CliRunner().invoke(loader.__main__.main, ["--config", str(database.config), *again])
    assert "monitoring-full" in loaded.output, loaded.output
    columns = ", ".join(("r.id", "date", "utc", *ALL_QUANTITY_NAMES, "estimated", "flags"))
    stored = [
        database.run(
            f"SELECT {columns} FROM readings AS r JOIN meters ON meters.id = r.meter_id LEFT JOIN"
            " flags ON flags.meter_id = r.meter_id AND reading_id = r.id"
            f" WHERE public_id = '{name}' ORDER BY r.id"
        )
        for name in ("one", "two")
    ]
    assert len(stored[0]) == 60
    assert stored[0] == stored[1]


def test_export_that_cannot_be_made_is_refused(database: DatabaseFixture, tmp_path: Path) -> None:
    load(database, "one", DAY)
    file = tmp_path / "there.csv"
    file.write_text("mine")
    assert "there.csv: File exists" in refused(database, "export", "one", str(file))
    assert file.read_text() == "mine"
    assert "expected a name that ends in .csv" in refused(database, "export", "one", "out.txt")
    assert "--json needs a FILE" in refused(database, "export", "one", "-", "--json")
    missing = tmp_path / "missing" / "x.csv"
    assert "No such file or directory" in refused(database, "export", "one", str(missing))
    assert len(trail(database)) == 1
    assert {path.name for path in tmp_path.glob("*.csv")} == {"report.csv", "there.csv"}


def test_export_of_a_meter_without_readings_is_a_heading(database: DatabaseFixture) -> None:
    done(database, "add", "one")
    exported = run(database, "export", "one", "-").stdout_bytes
    assert exported.decode() == HEADING.replace("\n", "\r\n")
