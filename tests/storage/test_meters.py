"""What the database keeps of meters, and which of them a report belongs to."""

import asyncio
import gzip
import re
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

import loader.__main__
from cli.error_report import FaultyReportsError
from domain.readings_query import ReadingsQuery
from loader.report import Report
from storage.common.errors import Conflict
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report, row
from tests.support.report_formats import CUPS, DISTRIBUTOR, WORKSHOP, WORKSHOP_HEADING, hourly

SUMMER = quarters("2019-08-01", 12)
DAY = DISTRIBUTOR + "".join(hourly("01/08/2019", *range(1, 25)))


def load(database: DatabaseFixture, *args: str) -> Result:
    """Runs the loader in this process."""
    return CliRunner().invoke(loader.__main__.main, ["--config", str(database.config), *args])


async def meter(database: DatabaseFixture) -> tuple[Any, ...]:
    """The identifier and the interval that are on record."""
    (known,) = await database.rows("SELECT identifier, interval_seconds FROM meters")
    return known


async def counts(database: DatabaseFixture) -> dict[str, int]:
    """The number of readings of each meter, which is that on record."""
    rows = await database.rows(
        "SELECT m.public_id, COUNT(r.id), s.readings FROM meters m"
        " JOIN states s ON s.meter_id = m.id LEFT JOIN readings r ON r.meter_id = m.id"
        " GROUP BY m.id, m.public_id, s.readings ORDER BY m.id"
    )
    assert all(counted == known for _, counted, known in rows)
    return {name: counted for name, counted, _ in rows}


async def refusal(database: DatabaseFixture, path: str, meter: str | None = None) -> str:
    """The only error of an import that fails."""
    with pytest.raises(FaultyReportsError) as caught:
        await database.load(path, meter=meter)
    (shown,) = caught.value.errors.shown
    return shown


async def energies(
    database: DatabaseFixture, date: str = "%"
) -> list[tuple[str | None, str | None]]:
    records = await database.records(ReadingsQuery.by_date(date))
    return [(record["date"], record["energy"]) for record in records]


# Formats, all the way into the database


async def test_hours_of_both_clock_changes_are_stored(database: DatabaseFixture) -> None:
    autumn = DISTRIBUTOR + "".join(hourly("27/10/2019", *range(1, 26)))
    spring = DISTRIBUTOR + "".join(hourly("31/03/2019", *range(1, 24)))
    await database.load(autumn, spring)
    assert await meter(database) == (CUPS, 3600)
    found = await energies(database, "2019-10-27%")
    assert len(found) == 25
    assert found[2:4] == [("2019-10-27 02:00:00", "3.50000"), ("2019-10-27 02:00:00", "4.50000")]
    found = await energies(database, "2019-03-31%")
    assert len(found) == 23
    assert found[1:3] == [("2019-03-31 01:00:00", "2.50000"), ("2019-03-31 03:00:00", "3.50000")]
    (summary,) = await database.load(autumn)
    assert summary.imported is not None
    assert (summary.imported.unchanged, summary.imported.new) == (25, 0)


async def test_configured_format_is_loaded(database: DatabaseFixture) -> None:
    database.configure(formats={"workshop": WORKSHOP})
    text = WORKSHOP_HEADING + "01.08.19 00:15;230,5;1250;x\n01.08.19 00:30;;0;\n"
    await database.load(database.file(text.encode("latin-1")))
    first, second = await database.records()
    assert (first["date"], first["energy"], first["voltage"], first["power"]) == (
        "2019-08-01 00:00:00",
        "1.25000",
        "230.50000",
        None,
    )
    assert (second["date"], second["energy"]) == ("2019-08-01 00:15:00", "0.00000")
    assert await meter(database) == (None, 900)


async def test_readings_with_offsets_are_those_without(database: DatabaseFixture) -> None:
    moments = quarters("2019-10-27", 100)
    await database.load(report(*numbered(moments)))
    east = ["+02:00"] * 12 + ["+01:00"] * 88
    dates = [record["date"] for record in await database.records()]
    dated = [f"{date}".replace(" ", "T") + offset for date, offset in zip(dates, east, strict=True)]
    (summary,) = await database.load(report(*numbered(dated)))
    assert summary.imported is not None
    assert (summary.imported.unchanged, summary.imported.changed) == (100, 0)


async def test_rejected_rows_of_another_format_load_again_once_mended(
    database: DatabaseFixture,
) -> None:
    database.configure(formats={"workshop": WORKSHOP})
    lines = [f"01.08.19 00:{minute};230,5;{minute};é\n" for minute in (15, 30, 45)]
    text = WORKSHOP_HEADING + lines[0] + lines[1].replace(";30;", ";thirty;") + lines[2]
    path = database.file(text.encode("latin-1"))
    (summary,) = await database.load(path, skip_bad_rows=True)
    rejected = summary.rejected_to
    assert rejected is not None
    heading, line = rejected.read_text("latin-1").splitlines()
    assert heading == f"{WORKSHOP_HEADING.strip()};Rejected because"
    assert line.startswith("01.08.19 00:30;230,5;thirty;é;line 3: Energía (Wh): expected")
    mended = rejected.read_text("latin-1").replace("thirty", "30")
    rejected.write_text(mended, "latin-1")
    await database.load(rejected)
    assert sorted(await energies(database)) == [
        (f"2019-08-01 00:{minute - 15:02}:00", f"0.{minute:03}00") for minute in (15, 30, 45)
    ]


# Whose a report is


async def test_first_meter_is_called_main_and_keeps_the_zone_it_was_registered_with(
    database: DatabaseFixture,
) -> None:
    database.configure(meter={"timezone": "America/New_York"})
    (summary,) = await database.load(report(*numbered(SUMMER)))
    assert summary.meter is not None
    assert (summary.meter.id, summary.meter.public_id) == (1, "main")
    database.configure(meter={"timezone": "Europe/Madrid"})
    await database.load(report(*numbered(SUMMER, 5)))
    assert await counts(database) == {"main": 12}
    ((zone, created),) = await database.rows("SELECT timezone, created FROM meters")
    assert zone == "America/New_York"
    assert created is not None
    dialect_seconds = (
        "utc" if database.kind == "sqlite" else "TIMESTAMPDIFF(SECOND, '1970-01-01', utc)"
    )
    ((first,),) = await database.rows(f"SELECT MIN({dialect_seconds}) FROM readings")
    assert first == 1_564_632_000  # midnight there


async def test_report_of_another_identifier_is_refused_with_the_way_out(
    database: DatabaseFixture,
) -> None:
    await database.load(DAY)
    before = await database.rows("SELECT * FROM readings")
    other = database.file(DISTRIBUTOR + "".join(hourly("02/08/2019", *range(1, 25), cups="ES2")))
    assert await refusal(database, other) == (
        f"the meter main is {CUPS} in reports, but {other} has readings of ES2: add --register to"
        " load it as a new meter, or --meter NAME to say which one it is"
    )
    assert await database.rows("SELECT * FROM readings") == before


async def test_report_goes_to_the_meter_of_its_identifier(database: DatabaseFixture) -> None:
    """Which is registered under a name that tells nothing of it."""
    theirs = [
        DISTRIBUTOR + "".join(hourly("02/08/2019", *range(1, hours), cups=f"ES{hours}"))
        for hours in (9, 17)
    ]
    await database.load(DAY)
    summaries = await database.load(*theirs, register=True)
    names = [summary.meter.public_id for summary in summaries if summary.meter]
    assert all(re.fullmatch("m-[a-z0-9]{10}", name) for name in names)
    assert len({*names}) == 2
    (again,) = await database.load(theirs[1])
    assert again.meter is not None
    assert (again.meter.public_id, again.meter.identifier) == (names[1], "ES17")
    assert await counts(database) == {"main": 24, names[0]: 8, names[1]: 16}
    ids = await database.rows("SELECT meter_id, MIN(id), MAX(id) FROM readings GROUP BY meter_id")
    assert [tuple(row) for row in ids] == [(1, 1, 24), (2, 1, 8), (3, 1, 16)]
    strange = database.file(DISTRIBUTOR + hourly("02/08/2019", 1, cups="ES3")[0])
    assert await refusal(database, strange) == (
        f"{strange}: no meter is ES3 in reports: add --register to load it as a new meter, or"
        " --meter NAME to say which one it is"
    )


async def test_named_meter_takes_what_tells_of_none(database: DatabaseFixture) -> None:
    await database.load(report(*numbered(SUMMER)))
    path = database.file(report(*numbered(SUMMER[:1])), "my report.csv")
    assert await refusal(database, path, meter="garage") == (
        f"{path}: there is no meter 'garage': to register it, run elecdata load --meter garage"
        f" --register '{path}'"
    )
    await database.load(path, meter="garage", register=True)
    await database.load(DISTRIBUTOR + hourly("02/08/2019", 1)[0], meter="garage")
    await database.load(DISTRIBUTOR + hourly("02/08/2019", 2)[0], meter=CUPS)  # its identifier
    assert await counts(database) == {"main": 12, "garage": 3}
    assert await refusal(database, path) == (
        f"{path}: there are several meters, and the report does not tell whose it is: say so with"
        " --meter NAME, meter.file_name or meter.default"
    )
    with pytest.raises(Conflict, match=f"has readings of {CUPS}, which is the meter garage"):
        await database.load(DAY, meter="main")
    with pytest.raises(Conflict, match="'a b' cannot name a meter: expected a public id of 1 to"):
        await database.load(path, meter="a b", register=True)


async def test_identifier_given_by_hand_becomes_no_public_id(database: DatabaseFixture) -> None:
    await database.load(report(*numbered(SUMMER)))
    (summary,) = await database.load(DAY, meter=CUPS, register=True)
    assert summary.meter is not None
    assert summary.meter.public_id.startswith("m-")


async def test_name_of_a_file_tells_its_meter(database: DatabaseFixture) -> None:
    database.configure(meter={"file_name": "{meter}_*.csv"})
    names = ("house.2_2019.csv", "barn_2019_8.csv", "barn_2020.csv")
    paths = [
        database.file(report(*numbered(SUMMER[: number * 2])), name)
        for number, name in enumerate(names, 1)
    ]
    packed = database.folder / "barn_3.csv.gz"
    packed.write_bytes(gzip.compress(report(*numbered(SUMMER)).encode()))
    assert "there is no meter 'house.2'" in await refusal(database, paths[0])
    await database.load(*paths, packed, register=True)
    assert await counts(database) == {"house.2": 2, "barn": 12}


async def test_default_meter_takes_what_tells_of_none(database: DatabaseFixture) -> None:
    text = report(*numbered(SUMMER))
    database.configure(meter={"default": "house"})
    await database.load(text)
    await database.load(text, meter="barn", register=True)
    await database.load(report(*numbered(quarters("2019-08-02", 4))))
    assert await counts(database) == {"house": 16, "barn": 12}
    database.configure(meter={"default": "hut"})
    assert "meter.default: there is no meter hut" in await refusal(database, database.file(text))


async def test_zone_that_changes_while_a_report_is_read_is_a_conflict(
    database: DatabaseFixture,
) -> None:
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        meter = await writer.meters.register("barn", "Europe/Madrid")
        stale = replace(meter, timezone="Asia/Tokyo")
        source = Report(
            database.file(report(*numbered(SUMMER))),
            ZoneInfo(stale.timezone),
            skip_bad_rows=False,
            on_errors=lambda _errors, _raw: None,
        )
        await writer.engine.begin()
        with pytest.raises(Conflict, match=r"zone of barn was changed meanwhile: load report\.csv"):
            await writer.imports.load(source, stale)
        await writer.engine.rollback()


async def test_view_shows_the_default_meter(database: DatabaseFixture) -> None:
    """As SQL clients know it: they need not know of other meters."""
    view = "SELECT id, date, meter_id FROM consumpdata WHERE id > 10"
    await database.load(report(*numbered(SUMMER)))
    await database.load(report(*numbered(SUMMER[:11])), meter="barn", register=True)
    assert len(await database.rows(view)) == 2
    database.configure(meter={"default": "barn"})
    await database.load(report(*numbered(SUMMER[:1])))
    assert [tuple(row)[::2] for row in await database.rows(view)] == [(11, 2)]
    database.configure(meter={"default": "main"})
    await database.load(report(*numbered(SUMMER[:1])))
    assert len(await database.rows(view)) == 2


async def test_meter_that_another_one_is_registered_beside_keeps_its_state(
    database: DatabaseFixture,
) -> None:
    """Its version is that of its own imports, and so are the numbers of these."""
    await database.load(report(*numbered(SUMMER)))
    state = "SELECT * FROM states WHERE meter_id = 1"
    before = await database.rows(state)
    await database.load(report(*numbered(SUMMER)), meter="barn", register=True)
    await database.load(report(*numbered(SUMMER, 9)), meter="barn")
    assert await database.rows(state) == before
    rows = await database.rows("SELECT meter_id, id FROM imports ORDER BY meter_id, id")
    assert [tuple(row) for row in rows] == [(1, 1), (2, 1), (2, 2)]
    wrote = "SELECT DISTINCT meter_id, import_id FROM readings ORDER BY 1"
    assert [tuple(row) for row in await database.rows(wrote)] == [(1, 1), (2, 2)]


async def test_dry_run_registers_no_meter(database: DatabaseFixture) -> None:
    await database.load(report(*numbered(SUMMER)))
    path = database.file(DAY)
    done = await asyncio.to_thread(
        load, database, "--dry-run", "--meter", "barn", "--register", path
    )
    assert done.exit_code == 0
    assert "  meter          barn\n" in done.stdout
    assert await counts(database) == {"main": 12}


# The interval


async def test_few_readings_tell_no_interval(database: DatabaseFixture) -> None:
    """Such as those of a correction, which may lie far apart."""
    await database.load(report(*numbered(SUMMER[::4])))
    assert await meter(database) == (None, None)
    await database.load(report(*numbered(SUMMER)))
    assert await meter(database) == (None, 900)
    await database.load(report(*numbered(SUMMER[::4])))


async def test_rejected_rows_tell_no_interval(database: DatabaseFixture) -> None:
    """However many of the same time of day there are."""
    await database.load(report(*numbered(SUMMER)))
    noons = [f"{day} Aug 2019 12:00:00" for day in range(1, 29)]
    path = database.file(report(*[row(noon, "x") for noon in noons], *numbered(SUMMER)))
    (summary,) = await database.load(path, skip_bad_rows=True)
    assert summary.rejected_to is not None
    summary.rejected_to.write_text(summary.rejected_to.read_text().replace(",x,", ",1,"))
    (summary,) = await database.load(summary.rejected_to)
    assert summary.readings == 28


async def test_day_on_which_clocks_change_tells_the_interval_too(database: DatabaseFixture) -> None:
    await database.load(report(*map(row, quarters("2019-10-27", 12))))
    assert await meter(database) == (None, 900)


# The command


def test_summary_says_format_and_interval(database: DatabaseFixture) -> None:
    done = load(database, database.file(DAY))
    assert done.exit_code == 0
    assert "report.csv\n  format         distributor-hourly\n  readings       24\n" in done.stdout
    assert "  interval       3600 s\n" in done.stdout


def test_named_format_that_does_not_fit_is_one_fault(database: DatabaseFixture) -> None:
    path = database.file(DAY)
    done = load(database, "--format", "monitoring", path)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[0].startswith(
        f"{path}:1: heading: '{DISTRIBUTOR.strip()}': expected a known format such as 'monitoring';"
    )
    assert load(database, "--format", "distributor-hourly", path).exit_code == 0


def test_named_format_decides_between_two_that_fit(database: DatabaseFixture) -> None:
    database.configure(formats={"workshop": WORKSHOP, "other": WORKSHOP | {"interval": 1800}})
    path = database.file((WORKSHOP_HEADING + "01.08.19 00:30;;1;\n").encode("latin-1"))
    assert "say which with --format: workshop, other" in load(database, path).stderr
    assert load(database, "--format", "other", path).exit_code == 0
    assert asyncio.run(energies(database)) == [("2019-08-01 00:00:00", "0.00100")]


def test_format_of_the_settings_replaces_a_shipped_one(database: DatabaseFixture) -> None:
    mine = {
        "delimiter": ";",
        "columns": {"energy": "Consumo_kWh"},
        "time": {"column": "Fecha", "hour": "Hora", "pattern": "%d/%m/%Y", "marks": "end"},
        "ignored": ["CUPS", "Metodo_obtencion"],
    }
    database.configure(formats={"distributor-hourly": mine})
    done = load(database, database.file(DAY.replace(",5", ".5")))
    assert done.exit_code == 0
    assert asyncio.run(meter(database)) == (None, 3600)


def test_unknown_format_is_one_line_that_names_the_nearest(database: DatabaseFixture) -> None:
    database.configure(formats={"workshop": WORKSHOP})
    done = load(database, "--format", "workshpo", database.file(DAY))
    assert done.exit_code == 1
    said, _, names = done.stderr.strip().partition(" one of ")
    assert said == "ERROR - --format workshpo: no such format, expected"
    assert re.fullmatch(r"workshop or [0-9]{2} others", names)
    assert not database.exists()


def test_help_shows_how_to_name_a_format() -> None:
    shown = CliRunner().invoke(loader.__main__.main, ["--help"]).stdout
    assert "--format NAME" in shown
    assert "elecdata load --format distributor-hourly consumption.csv" in shown
