"""What the database keeps of the meter: reports of another one are refused."""

import asyncio
from typing import Any

import pytest
from click.testing import CliRunner, Result

import loader.__main__
from cli.error_report import FaultyReportsError
from domain.readings_query import ReadingsQuery
from domain.sampling_interval import usual_interval
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


# The same meter


async def test_report_of_another_meter_is_a_conflict(database: DatabaseFixture) -> None:
    await database.load(DAY)
    before = await database.rows("SELECT * FROM consumpdata")
    other = DISTRIBUTOR + "".join(hourly("02/08/2019", *range(1, 25), cups="ES2"))
    with pytest.raises(Conflict) as caught:
        await database.load(other)
    assert str(caught.value) == (
        f"{database.name} contains readings of the meter {CUPS}, but report-0.csv has readings "
        "of ES2: use another database.url"
    )
    assert await database.rows("SELECT * FROM consumpdata") == before
    with pytest.raises(FaultyReportsError) as faulty:
        await database.load(DAY + hourly("02/08/2019", 1, cups="ES2")[0])
    assert "report-0.csv:26: CUPS: ES2: expected" in faulty.value.errors.shown[0]


# The same interval


async def test_report_of_another_interval_is_a_conflict(database: DatabaseFixture) -> None:
    await database.load(report(*numbered(SUMMER)))
    assert await meter(database) == (None, 900)
    with pytest.raises(Conflict) as caught:
        await database.load(DAY)
    assert str(caught.value) == (
        f"{database.name} contains readings every 900 seconds, but report-0.csv has readings "
        "every 3600: use another database.url"
    )
    assert await meter(database) == (None, 900)
    assert len(await database.records()) == 12
    with pytest.raises(Conflict, match="contains readings every 900 seconds"):
        await database.load(report(*numbered(quarters("2019-08-02", 96)[::2])))


async def test_reports_of_one_import_have_one_interval(database: DatabaseFixture) -> None:
    with pytest.raises(Conflict, match=r"every 900 seconds, but report-1\.csv has readings every"):
        await database.load(report(*numbered(SUMMER)), DAY)
    assert not await database.records()


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
    assert summary.report.readings == 28


async def test_interval_of_an_older_layout_comes_from_its_readings(
    database: DatabaseFixture,
) -> None:
    """So that the first report after it, of another interval, is refused as well."""
    await database.load(report(*numbered(SUMMER)))
    await asyncio.to_thread(database.run, "UPDATE meters SET interval_seconds = NULL")
    with pytest.raises(Conflict, match="contains readings every 900 seconds"):
        await database.load(DAY)
    assert await meter(database) == (None, None)
    await database.load(report(*numbered(SUMMER[:1])))
    assert await meter(database) == (None, 900)


@pytest.mark.parametrize(
    ("instants", "interval"),
    [
        ([], None),
        ([5], None),
        ([0, 900, 1800], None),
        ([0, 900, 1800, 2700], 900),
        ([2700, 0, 1800, 900], 900),
        ([0, 900, 1800, 2700, 9000, 20000, 50000], None),
        ([0, 900, 1800, 2700, 9000, 9900, 99999], 900),
    ],
)
def test_interval_is_what_more_than_half_of_the_differences_say(
    instants: list[int], interval: int | None
) -> None:
    assert usual_interval((instant, (0,)) for instant in instants) == interval
    assert usual_interval([(7, sorted(instants))]) == interval


def test_interval_of_days_holds_across_midnight() -> None:
    assert usual_interval((day * 86400, (43200,)) for day in range(9)) == 86400
    halves = (0, 43200)
    assert usual_interval((day * 86400, halves) for day in range(9)) == 43200
    assert usual_interval((day * 86400, halves) for day in range(2)) == 43200


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
        f"{path}:1: heading: '{DISTRIBUTOR.strip()}': expected Date,Energy (kWh),"
    )
    assert "distributor-hourly" not in done.stderr
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


def test_unknown_format_is_one_line_that_names_all(database: DatabaseFixture) -> None:
    database.configure(formats={"workshop": WORKSHOP})
    done = load(database, "--format", "workshpo", database.file(DAY))
    assert done.exit_code == 1
    assert done.stderr == (
        "ERROR - --format workshpo: no such format, expected one of monitoring, "
        "distributor-hourly, workshop\n"
    )
    assert not database.exists()


def test_help_shows_how_to_name_a_format() -> None:
    shown = CliRunner().invoke(loader.__main__.main, ["--help"]).stdout
    assert "--format NAME" in shown
    assert "elecdata load --format distributor-hourly consumption.csv" in shown
