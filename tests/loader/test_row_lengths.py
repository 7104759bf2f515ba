"""Rows that last differently long, energy from their mean power, and times beside the grid."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.time.local_time import DUPLICATE_TIME
from loader.formats.configured_format import ConfiguredFormat
from loader.formats.delimited.varying_rows import LOST_NEIGHBOUR, UNORDERED_ROW, UNTOLD_LENGTH
from settings import FormatSettings
from storage.figures.aggregate import Aggregate
from storage.figures.meter_info import MeterInfo
from storage.figures.summary import Summary
from tests.storage.test_intervals import answers
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import MADRID
from tests.support.report_formats import Reading, ReportResult, reading

LENGTHS = (900, 1800, 3600)
STARTS = [
    datetime.fromisoformat(local).replace(tzinfo=MADRID).astimezone(UTC)
    for local in ("2019-10-26 22:00", "2019-03-30 23:00", "2019-07-01 00:00")
]
LOAD_CURVE: dict[str, Any] = {
    "columns": {"energy": {"header": "W", "factor": "0.001", "kind": "power"}},
    "time": {"column": "t", "pattern": "iso", "marks": "end"},
    "lengths": list(LENGTHS),
}


class Row(NamedTuple):
    start: datetime
    seconds: int
    watts: int
    is_untold: bool = False
    """Whether it may be longer, as far as its neighbour and its time tell."""

    @property
    def energy(self) -> Fraction:
        """In kWh."""
        return Fraction(self.watts * self.seconds, 3600 * 1000)

    @property
    def end(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)


def rows_of(
    chance: random.Random, start: datetime, number: int, marks: str, gaps: float = 0.1
) -> list[Row]:
    """Rows in order of time, some after a gap that is no length."""
    rows: list[Row] = []
    for place in range(number):
        seconds = chance.choice(LENGTHS)
        is_edge = place == (0 if marks == "end" else number - 1)
        has_gap = place > 0 and chance.random() < gaps
        is_open = is_edge or (has_gap and marks == "end")
        if is_open:
            seconds = LENGTHS[0]
        if has_gap:
            if marks == "start":
                rows[-1] = rows[-1]._replace(seconds=LENGTHS[0])
                start = rows[-1].end
                rows[-1] = rows[-1]._replace(is_untold=rows[-1].start.minute % 30 == 0)
            start += timedelta(seconds=5400)
        written = start + timedelta(seconds=seconds) if marks == "end" else start
        is_untold = is_open and written.minute % 30 == 0
        rows.append(Row(start, seconds, chance.randrange(1, 9000), is_untold))
        start = rows[-1].end
    return rows


def written(rows: Sequence[Row], marks: str) -> list[str]:
    times = (row.end if marks == "end" else row.start for row in rows)
    return [f"{at.isoformat()},{row.watts}\n" for at, row in zip(times, rows, strict=True)]


def load_curve(marks: str = "end", **changes: Any) -> ConfiguredFormat:
    said = LOAD_CURVE | {"time": LOAD_CURVE["time"] | {"marks": marks}} | changes
    return ConfiguredFormat("curve", FormatSettings.model_validate(said))


def decimal(energy: Fraction) -> str:
    scaled = energy * 100_000
    assert scaled.denominator == 1
    return f"{scaled.numerator // 100_000}.{scaled.numerator % 100_000:05}"


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    return reading(tmp_path)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chance=st.randoms(use_true_random=False),
    start=st.sampled_from(STARTS),
    number=st.integers(1, 60),
    marks=st.sampled_from(["start", "end"]),
    newest_first=st.booleans(),
)
def test_energy_of_a_row_is_its_mean_power_over_its_own_length(
    read: Reading,
    chance: random.Random,
    start: datetime,
    number: int,
    marks: str,
    newest_first: bool,
) -> None:
    rows = rows_of(chance, start, number, marks)
    order = -1 if newest_first else 1
    text = "t,W\n" + "".join(written(rows, marks)[::order])
    done = read(text, load_curve(marks), skip_bad_rows=True)
    assert all(error.endswith(f"expected {UNTOLD_LENGTH}") for error in done.row_errors)
    assert len(done.row_errors) == sum(row.is_untold for row in rows)
    rows = [row for row in rows if not row.is_untold]
    assert done.instants == [row.start for row in rows][::order]
    assert done.quantities("energy") == [decimal(row.energy) for row in rows][::order]
    told: list[tuple[datetime, int]] = []
    for row in rows:
        if not told or told[-1][1] != row.seconds:
            told.append((row.start, row.seconds))
    spans = done.report.said_spans
    assert [(span.first, span.seconds) for span in spans] == [
        (int(at.timestamp()), seconds) for at, seconds in told
    ]


@pytest.mark.parametrize("usual", [1800, 3600])
def test_row_that_nothing_tells_the_length_of_has_the_usual_one(read: Reading, usual: int) -> None:
    rows = "t,W\n2024-02-02T01:00:00Z,200\n2024-02-02T01:30:00Z,200\n2024-02-02T06:00:00Z,200\n"
    done = read(rows, load_curve(lengths=[1800, 3600], usual_length=usual))
    energy = decimal(Fraction(usual, 3600) / 5)
    assert (done.row_errors, done.quantities("energy")) == ([], [energy, "0.10000", energy])


async def test_figures_use_the_length_of_each_row(database: DatabaseFixture) -> None:
    database.configure(meter={"timezone": "Europe/Madrid"}, formats={"curve": LOAD_CURVE})
    rows = rows_of(random.Random(3), STARTS[0], 40, "end", gaps=0)  # noqa: S311 - test data
    (summary,) = await database.load("t,W\n" + "".join(written(rows, "end")))
    assert summary.readings == 40
    ((found,), _) = await answers(database, Summary.of({}))
    covered = sum(row.seconds for row in rows)
    energy = sum((row.energy for row in rows), Fraction(0))
    assert found["energy"] == energy * 100_000
    assert found["mean_demand"] == int(energy * 3600 / covered * 100_000 + Fraction(1, 2))
    assert found["peak_demand"] == max(row.watts for row in rows) * 100
    ((about, *_), _) = await answers(database, MeterInfo.of({}))
    assert about["end"] == int(rows[-1].end.timestamp())
    hours, _ = await answers(database, Aggregate.of({"interval": "hour", "columns": "energy"}))
    assert sum(hour["energy"] or 0 for hour in hours) == found["energy"]


def test_row_beside_an_invalid_one_is_rejected_too(read: Reading) -> None:
    """Their distance would take a lost row for a longer one."""
    rows = [Row(STARTS[2] + timedelta(minutes=15 * place), 900, place) for place in range(9)]
    lines = written(rows, "end")
    lines[4] = "none\n"
    done = read("t,W\n" + "".join(lines), load_curve(), skip_bad_rows=True)
    assert [row.decode() + "\n" for row in done.rejected] == lines[4:6]
    assert done.row_errors[-1].endswith(f"expected {LOST_NEIGHBOUR}")
    assert done.instants == [row.start for row in (*rows[:4], *rows[6:])]


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([15, 30, 60, 45, 75], UNORDERED_ROW),
        ([15, 30, 35, 75], "at least 900 seconds between rows, as lengths says"),
    ],
)
def test_rows_whose_distance_tells_no_length_are_refused(
    read: Reading, minutes: Sequence[int], expected: str
) -> None:
    rows = [Row(STARTS[2] + timedelta(minutes=minute), 0, 1) for minute in minutes]
    done = read("t,W\n" + "".join(written(rows, "end")), load_curve())
    assert done.row_errors[0].endswith(f"expected {expected}")
    assert done.error


def test_rejected_rows_of_several_lengths_are_not_loaded(read: Reading) -> None:
    done = read("t,W,Rejected because\n2019-07-01T00:00:00Z,5,x\n", load_curve())
    assert "rejected rows do not tell how long they last: correct them in the report" in done.error


def test_power_that_gives_no_energy_of_five_decimals_is_an_error(read: Reading) -> None:
    text = "t,W\n2019-07-01T00:10:00Z,6\n2019-07-01T00:20:00Z,7\n"
    done = read(text, load_curve(lengths=(), interval=600), skip_bad_rows=True)
    assert done.row_errors == [
        (
            "3: W: 7: expected at most 5 decimals once multiplied by 0.001 and the 1/6 hours of its"
            " interval, or round: true in the format, which rounds to as many"
        )
    ]
    assert done.quantities("energy") == ["0.00100"]


# Times beside the grid


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    late=st.lists(st.integers(0, 10) | st.integers(-20, 20), min_size=1, max_size=60),
    start=st.sampled_from(STARTS),
    interval=st.sampled_from([900, 3600]),
    marks=st.sampled_from(["start", "end"]),
    zone=st.sampled_from(["Europe/Madrid", "Asia/Kolkata"]),
    is_iso=st.booleans(),
)
def test_time_within_the_tolerance_is_moved_and_no_other(
    read: Reading,
    late: list[int],
    start: datetime,
    interval: int,
    marks: str,
    zone: str,
    is_iso: bool,
) -> None:
    """Also around the hours that clocks repeat or skip."""
    begin = start - timedelta(minutes=30) * (zone == "Asia/Kolkata")
    due = [begin + timedelta(seconds=interval) * place for place in range(len(late))]
    # Without offsets, only their order tells the passes of an hour.
    is_iso = is_iso or zone == "Asia/Kolkata" or min(late) < 0 or max(late) > 10
    pattern = "iso" if is_iso else "%Y-%m-%d %H:%M:%S"
    lines = []
    for at, seconds in zip(due, late, strict=True):
        shown = at + timedelta(seconds=seconds)
        local = shown.astimezone(MADRID).strftime(pattern)
        lines.append(f"{shown.isoformat() if pattern == 'iso' else local},1\n")
    time = {"column": "t", "pattern": pattern, "marks": marks, "tolerance": 10, "timezone": zone}
    said = {"columns": {"power": "W"}, "time": time, "interval": interval}
    format_ = ConfiguredFormat("logger", FormatSettings.model_validate(said))
    done = read("t,W\n" + "".join(lines), format_)
    assert not done.row_errors
    shift = timedelta(seconds=interval) * (marks == "end")
    assert done.instants == [
        at + timedelta(seconds=seconds if abs(seconds) > 10 else 0) - shift
        for at, seconds in zip(due, late, strict=True)
    ]


def test_readings_moved_to_one_time_are_an_error(read: Reading) -> None:
    time = {"column": "t", "pattern": "iso", "marks": "start", "tolerance": 10}
    said = {"columns": {"power": "W"}, "time": time, "interval": 900}
    text = "t,W\n2019-07-01T00:00:05Z,1\n2019-07-01T00:00:09Z,2\n"
    done = read(text, ConfiguredFormat("logger", FormatSettings.model_validate(said)))
    assert done.row_errors == [f"3: t: 2019-07-01T00:00:09Z: expected {DUPLICATE_TIME}"]


CHANGE = datetime(2019, 10, 27, 1, tzinfo=UTC)
"""When clocks go back in Madrid, from 03:00 to 02:00."""


def jittered(
    read: Reading,
    steps: Sequence[int],
    seconds: Sequence[int],
    interval: int,
    *,
    newest_first: bool = False,
) -> tuple[list[datetime], ReportResult]:
    """Read readings so many steps from the change, each so many seconds beside its time."""
    due = [CHANGE + timedelta(seconds=interval) * step for step in steps]
    lines = [
        f"{(at + timedelta(seconds=second)).astimezone(MADRID):%Y-%m-%d %H:%M:%S},{step}\n"
        for step, at, second in zip(steps, due, seconds, strict=True)
    ]
    time = {"column": "t", "pattern": "%Y-%m-%d %H:%M:%S", "marks": "start", "tolerance": 10}
    said = {"columns": {"power": "W"}, "time": time, "interval": interval}
    format_ = ConfiguredFormat("logger", FormatSettings.model_validate(said))
    done = read("t,W\n" + "".join(lines[::-1] if newest_first else lines), format_)
    return due[::-1] if newest_first else due, done


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), interval=st.sampled_from([900, 1800, 3600]), newest_first=st.booleans())
def test_early_and_late_times_around_clocks_that_go_back_are_never_in_the_wrong_pass(
    read: Reading, data: st.DataObject, interval: int, newest_first: bool
) -> None:
    hours = 3600 // interval
    steps = [*range(-4 * hours, 4 * hours)]
    lost = data.draw(st.sets(st.sampled_from(range(-hours - 1, hours + 2)), max_size=2))
    left = [step for step in steps if step not in lost]
    seconds = data.draw(st.lists(st.integers(-3, 3), min_size=len(left), max_size=len(left)))
    due, done = jittered(read, left, seconds, interval, newest_first=newest_first)
    pairs = zip(left, seconds, strict=True)
    if not any(second < 0 and -hours < step <= hours for step, second in pairs):
        return
    start = {float(step): CHANGE + timedelta(seconds=interval) * step for step in steps}
    assert done.instants == [start[float(each)] for each in done.quantities("power")]
    if not lost:
        assert (done.instants, done.row_errors) == (due, [])


def test_early_time_with_a_gap_beside_it_is_refused_where_clocks_go_back(read: Reading) -> None:
    steps = [-3, -2, -1, 1, 2, 3, 4]
    _, done = jittered(read, steps, [0, 0, 0, -2, 0, 0, 0], 3600)
    assert [error.split(": expected")[0] for error in done.row_errors] == [
        "4: t: 2019-10-27 02:00:00",
        "5: t: 2019-10-27 02:59:58",
    ]
    assert all("some times are early" in error for error in done.row_errors)
