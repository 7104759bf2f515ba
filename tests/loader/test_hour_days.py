"""Hours of a day on which clocks change are counted, or those of the clock, or refused."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import loader.__main__
from loader.formats.configured_format import ConfiguredFormat
from loader.report import Report
from loader.rows.errors import FaultyRowsError, ReportError, RowError
from loader.rows.hour_days import DOUBTFUL_HOURS
from settings import FormatSettings
from storage.figures.aggregate import Aggregate
from tests.storage.test_intervals import answers
from tests.support.databases import DatabaseFixture

CHANGES = [
    ("Europe/Warsaw", "2025-10-26"),
    ("Europe/Warsaw", "2025-03-30"),
    ("America/St_Johns", "2025-11-02"),
    ("America/St_Johns", "2025-03-09"),
    ("Pacific/Auckland", "2025-04-06"),
    ("Pacific/Auckland", "2025-09-28"),
    ("Australia/Lord_Howe", "2025-04-06"),
    ("Australia/Lord_Howe", "2025-10-05"),
]


HOURS: dict[str, Any] = {
    "columns": {"energy": "kWh"},
    "time": {"column": "day", "hour": "hour", "pattern": "%Y-%m-%d", "marks": "start"},
}


def hour_format(**time: Any) -> ConfiguredFormat:
    said = HOURS | {"time": HOURS["time"] | time}
    return ConfiguredFormat("hours", FormatSettings.model_validate(said))


def read(
    folder: Path, rows: Sequence[tuple[str, int]], zone: str, **time: Any
) -> tuple[list[datetime], list[str]]:
    """Return the instants of the readings that were taken, and the errors of the rows."""
    lines = [f"{day},{hour},{number}.5\n" for number, (day, hour) in enumerate(rows)]
    path = folder / "hours.csv"
    path.write_text("day,hour,kWh\n" + "".join(lines))
    errors: list[RowError] = []
    report = Report(
        str(path),
        ZoneInfo(zone),
        skip_bad_rows=True,
        on_errors=lambda some, _: errors.extend(some),
        formats=[hour_format(**time)],
    )
    instants: dict[int, datetime] = {}
    try:
        for batch in report.batches():
            for line in batch.rows.decode().splitlines():
                _, local, ahead, energy, *_ = line.split(",")
                at = datetime.fromisoformat(local).replace(tzinfo=UTC)
                instants[int(float(energy))] = at - timedelta(seconds=int(ahead))
    except (ReportError, FaultyRowsError):
        assert not instants
    return [instants[number] for number in sorted(instants)], [str(error) for error in errors]


def hours_of(day: str, zone: str) -> list[datetime]:
    """The starts of all whole hours of a day."""
    first, last = (
        datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)) + timedelta(days=more)
        for more in (0, 1)
    )
    begin, end = first.astimezone(UTC), last.astimezone(UTC)
    return [begin + timedelta(hours=n) for n in range(int((end - begin).total_seconds()) // 3600)]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    change=st.sampled_from(CHANGES),
    marks=st.sampled_from(["start", "end"]),
    is_clock=st.booleans(),
    is_said=st.booleans(),
    lost=st.sets(st.integers(0, 24), max_size=12),
)
def test_hour_is_that_of_the_day_or_the_day_is_refused(
    tmp_path: Path,
    change: tuple[str, str],
    marks: str,
    is_clock: bool,
    is_said: bool,
    lost: set[int],
) -> None:
    zone, day = change
    hours = hours_of(day, zone)
    if is_clock and any(hour.astimezone(ZoneInfo(zone)).minute for hour in hours):
        return  # no whole hours of the clock
    if is_clock and is_said:
        lost = set()  # without one of its passes, a repeated hour is taken for the first
    kept = [hour for number, hour in enumerate(hours) if number not in lost]
    labels = [
        hour.astimezone(ZoneInfo(zone)).hour if is_clock else hours.index(hour) for hour in kept
    ]
    rows = [(day, label + (marks == "end")) for label in labels]
    kind = {"hours": "clock" if is_clock else "counted"} if is_said else {}
    found, errors = read(tmp_path, rows, zone, marks=marks, **kind)
    if errors:
        assert not is_said
        assert not found
        assert all(DOUBTFUL_HOURS in error for error in errors)
        assert len(kept) < len(hours) or zone == "Australia/Lord_Howe"
    else:
        assert found == kept


@pytest.mark.parametrize(
    ("day", "hours", "taken"),
    [
        # One hour of two passes: a count without its end, or a clock without a pass?
        ("2025-10-26", range(24), 0),
        # An hour that clocks skipped, and the last one of the clock.
        ("2025-03-30", range(24), 0),
        # Both passes, and a 25th hour.
        ("2025-10-26", [0, 1, 2, 2, *range(3, 25)], 0),
        # Before the change, both are the same.
        ("2025-10-26", range(2), 2),
        ("2025-03-30", range(2), 2),
    ],
)
def test_day_whose_hours_may_be_either_is_refused_and_the_others_are_taken(
    tmp_path: Path, day: str, hours: Sequence[int], taken: int
) -> None:
    other = [("2025-07-01", hour) for hour in range(24)]
    rows = [*other[:12], *((day, hour) for hour in hours), *other[12:]]
    found, errors = read(tmp_path, rows, "Europe/Warsaw")
    assert len(found) == 24 + taken
    assert len(errors) == len(hours) - taken
    first = f"{12 + 2}: hour: {day} {hours[0]}: expected {DOUBTFUL_HOURS}"
    assert errors[:1] == ([] if taken else [first])


def test_hour_that_no_day_has_is_refused(tmp_path: Path) -> None:
    rows = [("2025-03-30", 2), ("2025-03-30", 24), ("2025-03-30", 3)]
    found, errors = read(tmp_path, rows, "Europe/Warsaw", hours="clock")
    assert len(found) == 1
    assert errors == [
        "2: day: 2025-03-30: expected a local time that exists: clocks go forward over this one",
        "3: hour: 24: expected an hour from 0 to 23",
    ]


def test_refused_day_stops_no_other_and_is_told_once(database: DatabaseFixture) -> None:
    """The status is 1, so that no script passes it over; it loads once the format says more."""
    days = ["2025-10-25", "2025-10-26", "2025-10-27"]
    rows = [f"{day},{hour},1\n" for day in days for hour in range(24)]
    path = database.file("day,hour,kWh\n" + "".join(rows))

    def load(*options: str, **time: Any) -> tuple[int, dict[str, Any]]:
        said = HOURS | {"time": HOURS["time"] | time}
        database.configure(meter={"timezone": "Europe/Warsaw"}, formats={"hours": said})
        args = ["--config", str(database.config), "--json", *options, path]
        done = CliRunner().invoke(loader.__main__.main, args)
        return done.exit_code, json.loads(done.stdout)

    status, document = load("--all-or-nothing")
    assert (status, document["error"]) == (1, "1 error; nothing was written")
    fault = f"{path}:26: hour: 2025-10-26 0: expected {DOUBTFUL_HOURS}"
    refused = {"count": 1, "shown": [fault]}
    for option, error in [
        (["--dry-run"], "1 day is refused"),
        ([], "1 day is refused; all others were written"),
    ]:
        status, document = load(*option)
        assert (status, document["error"], document["faults"]) == (1, error, refused)
    (found,) = document["reports"]
    assert (found["new"], found["rejected"], found["rejected_to"]) == (48, 24, None)
    assert found["refused_days"] == ["2025-10-26"]
    status, document = load("--skip-bad-rows")
    assert (status, document["faults"]) == (0, refused)
    status, document = load(hours="clock")
    (found,) = document["reports"]
    assert (status, found["new"], found["unchanged"]) == (0, 24, 48)


@pytest.mark.parametrize("day", ["2025-10-26", "2025-03-30"])
@pytest.mark.parametrize("marks", ["start", "end"])
async def test_figures_of_the_day_are_those_of_its_hours(
    database: DatabaseFixture, day: str, marks: str
) -> None:
    """Counted or by the clock, with some hours lost and one that was not metered."""
    zone, chance = "Europe/Warsaw", random.Random(f"{day}{marks}")  # noqa: S311 - test data
    days = [str(date.fromisoformat(day) + timedelta(days=more)) for more in (-1, 0, 1)]
    lost = {(days[0], 4), (days[1], 9), (days[2], 0)}
    energies: dict[datetime, Fraction] = {}
    lines: dict[str, list[str]] = {"counted": [], "clock": []}
    for each in days:
        for number, start in enumerate(hours_of(each, zone)):
            if (each, number) in lost:
                continue
            energy = chance.randrange(1, 10**8)
            energies[start] = Fraction(energy, 10**5)
            text = f"{energy // 10**5}.{energy % 10**5:05}" if number != 12 else ""
            if number == 12:
                del energies[start]
            for kind, hour in {
                "counted": number,
                "clock": start.astimezone(ZoneInfo(zone)).hour,
            }.items():
                lines[kind].append(f"{each},{hour + (marks == 'end')},{text}\n")
    for kind, rows in lines.items():
        # What the day itself tells needs not be said.
        for hours in (kind, None):
            said = HOURS | {"time": HOURS["time"] | {"marks": marks, "hours": hours}}
            database.configure(meter={"timezone": zone}, formats={"hours": said})
            meter = f"{kind}-{hours}"
            await database.load("day,hour,kWh\n" + "".join(rows), meter=meter, register=True)
            found, _ = await answers(
                database, Aggregate.of({"interval": "hour", "columns": "energy"}), meter
            )
            there = {each["date"]: each["energy"] for each in found if each["energy"] is not None}
            assert there == {
                int(start.timestamp()): energy * 10**5 for start, energy in energies.items()
            }
            found, _ = await answers(
                database, Aggregate.of({"interval": "day", "columns": "energy"}), meter
            )
            for each, record in zip(days, found, strict=True):
                hours_there = [at for at in hours_of(each, zone) if at in energies]
                assert record["energy"] == 10**5 * sum(energies[at] for at in hours_there)
                assert record["present"] == len(hours_there)
