"""How long readings last is what they tell beyond doubt, or what is said, by spans of time."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from itertools import accumulate, count, pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.error_report import FaultyReportsError
from domain.readings_query import QueryError
from domain.time.sampling_interval import MAX_SPANS, Differences, IntervalSpan, told_spans
from loader.summary import GAPS_HINT, summary_lines
from storage.figures.aggregate import Aggregate
from storage.figures.data_quality import DataQuality
from storage.figures.meter_info import MeterInfo
from storage.figures.peaks import Peaks
from storage.figures.profile import Profile
from storage.figures.result import FigureQuery
from storage.figures.summary import Summary
from storage.imports import intervals as intervals_module
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import MADRID, numbered, quarters, report, row

LENGTHS = (300, 900, 1800, 3600)
STARTS = [
    int(datetime.fromisoformat(local).replace(tzinfo=MADRID).timestamp())
    for local in ("2019-10-26 07:00", "2019-03-30 00:00", "2019-07-01 05:00")
]
"""Before both clock changes, and in between."""

READINGS = st.integers(42, 70)
"""Of a span: enough for twelve in succession, whatever is lost."""


class Reading(NamedTuple):
    at: int
    seconds: int
    energy: int
    """In Wh."""
    power: int
    """In W."""


@dataclass(frozen=True)
class History:
    """The readings of a meter, of which some were lost, and the reports that have the others."""

    spans: Sequence[tuple[int, int]]
    """The start of the first reading of each length, and that."""
    starts: Sequence[int]
    """When readings started, also lost ones."""
    reports: Sequence[Sequence[Reading]]

    @property
    def readings(self) -> list[Reading]:
        return sorted({reading for some in self.reports for reading in some})

    @property
    def end(self) -> int:
        return self.starts[-1] + self.spans[-1][1]


@st.composite
def histories(draw: st.DrawFn) -> History:
    lengths = draw(
        st.lists(st.sampled_from(LENGTHS), min_size=1, max_size=4).filter(
            lambda some: all(one != other for one, other in pairwise(some))
        )
    )
    chance = draw(st.randoms(use_true_random=False))
    at = draw(st.sampled_from(STARTS))
    spans, starts, readings = [], [], []
    for seconds in lengths:
        number = draw(READINGS)
        spans.append((at, seconds))
        lost = chance.sample(range(2, number - 2), chance.choice([0, 1, 2]))
        for place in range(number):
            starts.append(at)
            if place not in lost:
                energy, power = chance.randrange(1, 3000), chance.randrange(100, 3000)
                readings.append(Reading(at, seconds, energy, power))
            at += seconds
    return History(spans, starts, draw(deliveries(readings, chance)))


def deliveries(readings: list[Reading], chance: Any) -> st.SearchStrategy[list[list[Reading]]]:
    """Strategies of delivery: all at once, cut into pieces, or every so many first."""
    middle = len(readings) // 2
    shuffled = chance.sample(readings, len(readings))
    ways = [
        [readings],
        [readings[:middle], readings[middle:]],
        [readings[middle:], readings[:middle]],
        [readings[::2], readings[1::2]],
        [readings[1::3], readings[::3], readings[2::3]],
        [readings[:5], readings[5:middle], readings[middle + 1 :], [readings[middle]]],
        [sorted(shuffled[:middle]), sorted(shuffled[middle:]), readings[:3]],
    ]
    return st.sampled_from(ways)


def text(readings: Sequence[Reading], *, has_power: bool) -> str:
    lines = []
    for at, _, energy, power in readings:
        time = datetime.fromtimestamp(at, UTC).isoformat()
        quantities = [f"{energy / 1000:.3f}", ""] + [f"{power / 1000:.3f}"] * has_power
        lines.append(row(time, *quantities))
    return report(*lines)


async def answers(
    database: DatabaseFixture, query: FigureQuery, meter: str = "main"
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The records of a figure, and what else it says."""
    async with database.reader() as reader:
        table = await reader.figures(query, await reader.state(meter))
        names = [field.name for field in table.fields]
        records = [
            dict(zip(names, each, strict=True)) async for rows in table.rows for each in rows
        ]
        return records, dict(table.metadata)


def scaled(number: Fraction) -> int:
    """Return a number in hundred-thousandths, a half rounded away from zero."""
    return int(number * 100_000 + Fraction(1, 2))


def day_of(at: int) -> date:
    return datetime.fromtimestamp(at, MADRID).date()


def days(history: History) -> Iterator[dict[str, Any]]:
    """The days of a meter, by plain reckoning."""
    # A reading may last beyond midnight.
    for day in sorted({day_of(at) for at in (*history.starts, history.end - 1)}):
        there = [each for each in history.readings if day_of(each.at) == day]
        expected = sum(day_of(at) == day for at in history.starts)
        covered = sum(each.seconds for each in there)
        yield {
            "expected": expected,
            "present": len(there),
            "coverage": scaled(Fraction(len(there), expected)) if expected else None,
            "energy": sum(each.energy for each in there) * 100 if there else None,
            "power_mean": scaled(
                Fraction(sum(each.power * each.seconds for each in there), covered * 1000)
            )
            if there
            else None,
        }


def test_figures_use_the_length_of_each_reading(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals_module, "INSTANTS_AT_ONCE", 50)
    numbers = count(1)

    async def check(history: History) -> None:
        by_power, by_energy = f"p{next(numbers)}", f"e{next(numbers)}"
        for some in history.reports:
            await database.load(text(some, has_power=True), meter=by_power, register=True)
            await database.load(text(some, has_power=False), meter=by_energy, register=True)
        ((about, *_), _) = await answers(database, MeterInfo.of({}), by_power)
        told = ", ".join(
            f"{seconds} from {datetime.fromtimestamp(at, MADRID).isoformat()}"
            for at, seconds in history.spans
        )
        assert about["intervals"] == told
        lengths = {seconds for _, seconds in history.spans}
        assert about["interval_seconds"] == (min(lengths) if len(lengths) == 1 else None)
        assert about["end"] == history.end
        query = Aggregate.of({"interval": "day", "columns": "energy,power"})
        found, _ = await answers(database, query, by_power)
        for record, expected in zip(found, days(history), strict=True):
            assert {name: record[name] for name in expected} == expected
        readings = history.readings
        energy = sum(each.energy for each in readings)
        hours = Fraction(sum(each.seconds for each in readings), 3600)
        ((summary,), _) = await answers(database, Summary.of({}), by_energy)
        demands = [(Fraction(each.energy * 3600, each.seconds), -each.at) for each in readings]
        greatest, at = max(demands)
        assert summary["expected"] == len(history.starts)
        assert summary["mean_demand"] == scaled(energy / hours / 1000)
        assert summary["peak_demand"] == scaled(greatest / 1000)
        assert summary["peak_demand_date"] == -at
        found, _ = await answers(database, Peaks.of({"number": "20", "separation": "0"}), by_energy)
        highest = sorted(demands, key=lambda each: (-each[0], -each[1]))[:20]
        assert [(each["date"], each["demand"]) for each in found] == [
            (-at, scaled(demand / 1000)) for demand, at in highest
        ]
        found, _ = await answers(database, DataQuality.of({"list": "gaps"}), by_energy)
        lost = len(history.starts) - len(readings)
        assert sum(each["readings"] for each in found) == lost

    @settings(
        max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(histories())
    def run(history: History) -> None:
        asyncio.run(check(history))

    run()


# What readings tell


def told(differences: Sequence[int], before: IntervalSpan | None = None) -> list[tuple[int, Any]]:
    found = Differences()
    found.add(0)
    for difference in differences:
        found.add(found.last + difference)
    return [(span.first, span.seconds) for span in told_spans(found, before)]


@pytest.mark.parametrize(
    ("differences", "spans"),
    [
        ([], [(0, None)]),
        ([900] * 2, [(0, None)]),
        ([900] * 3, [(0, 900)]),
        # Gaps, also many of one length.
        ([900, 1800, 900, 2700, 900], [(0, 900)]),
        ([900] * 12 + [1800] * 11 + [900] * 12, [(0, 900)]),
        ([1800, 3600, 3600, 1800, 1800], [(0, 1800)]),
        # Another interval.
        ([3600] * 12 + [900] * 12, [(0, 3600), (43200, 900)]),
        ([3600] * 12 + [900] * 3, [(0, 3600), (43200, 900)]),
        ([900] * 12 + [1800] * 12, [(0, 900), (10800, 1800)]),
        ([3600] * 12 + [7200, 900, 1800] + [900] * 12, [(0, 3600), (50400, 900)]),
        # Too few to tell which of both it is.
        ([3600] * 5 + [900] * 5, [(0, None)]),
        ([900] * 3 + [420, 480], [(0, None)]),
        # A reading between two others, and readings that tell nothing.
        ([900] * 12 + [420, 480] + [900] * 12, [(0, 900)]),
        ([3601, 3597, 3605, 3600] * 9, [(0, None)]),
        ([900] * 12 + [3601, 3597] * 9, [(0, 900), (10800, None)]),
        # Days of 23 and of 25 hours.
        ([86400] * 6 + [82800] + [86400] * 6, [(0, 86400)]),
        ([604800] * 2 + [608400], [(0, 604800)]),
    ],
)
def test_readings_tell_their_intervals_beyond_doubt(
    differences: Sequence[int], spans: list[tuple[int, int | None]]
) -> None:
    assert told(differences) == spans


def test_readings_that_tell_nothing_have_the_interval_that_was_said_unless_they_are_too_many() -> (
    None
):
    said = IntervalSpan(-3600, 3600, is_said=True)
    assert told([3601, 3597, 3605, 3600] * 9, said) == [(0, 3600)]
    assert told([901, 897, 905, 900] * 9, said) == [(0, None)]


def test_more_spans_than_a_meter_can_have_are_no_interval() -> None:
    changes = ([900] * 12 + [1800] * 12) * (MAX_SPANS // 2)
    assert len(told(changes)) == MAX_SPANS
    assert told([*changes, *[3600] * 12]) == [(0, None)]


# What is not known


LOGGER = [f"2024-03-04T{hour:02}:00:0{late}+01:00" for hour, late in enumerate([3, 4, 1, 6, 7] * 4)]
"""Hours of a logger whose clock is some seconds late."""


async def test_figures_are_empty_until_the_interval_is_said(database: DatabaseFixture) -> None:
    logged = report(*[row(time, "1") for time in LOGGER])
    (summary,) = await database.load(logged)
    assert summary.imported is not None
    assert summary.imported.intervals == [None]
    ((about,), _) = await answers(database, MeterInfo.of({}))
    assert (about["interval_seconds"], about["end"]) == (None, None)
    assert about["intervals"] == f"unknown from {LOGGER[0]}"
    ((found,), others) = await answers(database, Summary.of({}))
    assert others["interval_unknown"].startswith(
        f"the interval of the readings from {LOGGER[0]} on is not known, so that what depends on it"
        " is null: load them again with --interval SECONDS"
    )
    dividing = ("expected", "coverage", "mean_demand", "peak_demand", "load_factor")
    assert [found[name] for name in dividing] == [None] * 5
    assert found["energy"] == 20 * 100_000
    assert (await answers(database, Peaks.of({})))[0] == []
    noon = {"date": f"{LOGGER[5][:10]} 05:30", "interval": "day", "columns": "power"}
    ((day,), others) = await answers(database, Aggregate.of(noon))
    assert "interval_unknown" in others
    derived = ("power_mean", "power_min", "power_max", "power_derived", "partial")
    assert [day[name] for name in derived] == [None, None, None, 0, None]
    profile, others = await answers(database, Profile.of({"column": "power"}))
    assert "interval_unknown" in others
    assert {record["mean"] for record in profile} == {None}
    (again,) = await database.load(logged, interval=3600)
    assert again.imported is not None
    assert (again.imported.unchanged, again.imported.intervals) == (20, [3600])
    ((found,), others) = await answers(database, Summary.of({}))
    assert "interval_unknown" not in others
    assert [found[name] for name in dividing] == [20, *[100_000] * 4]
    ((day,), others) = await answers(database, Aggregate.of(noon))
    assert "interval_unknown" not in others
    assert [day[name] for name in derived] == [100_000, 100_000, 100_000, 14, 1]


async def test_mean_of_known_and_unknown_lengths_is_empty(database: DatabaseFixture) -> None:
    """Of measured powers, of those of energies, and the energy of reactive power."""
    differences = [900] * 12 + [3601, 3597] * 9
    times = [STARTS[2] + seconds for seconds in accumulate(differences, initial=0)]
    moments = [datetime.fromtimestamp(at, UTC).isoformat() for at in times]
    some = [row(moment, "1", "", "", "", "1") for moment in moments]
    await database.load(report(*some))
    ((about,), _) = await answers(database, MeterInfo.of({}))
    assert about["intervals"].startswith("900 from ")
    assert ", unknown from " in about["intervals"]
    query = {"interval": "month", "columns": "power,reactive_power"}
    ((month,), others) = await answers(database, Aggregate.of(query))
    assert "interval_unknown" in others
    empty = ("power_mean", "reactive_power_mean", "reactive_energy_inductive")
    assert [month[name] for name in empty] == [None] * 3
    known = ("power_min", "power_max", "power_derived")
    assert [month[name] for name in known] == [400_000, 400_000, 12]
    ((summary,), _) = await answers(database, Summary.of({}))
    assert summary["reactive_energy_inductive"] is None
    assert summary["power_derived"] == 12


@pytest.mark.parametrize("before", [1, 30])
async def test_intervals_are_those_of_new_readings_when_all_others_were_deleted(
    database: DatabaseFixture, before: int
) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", before))))
    await database.rows("DELETE FROM readings")
    (summary,) = await database.load(report(*numbered(quarters("2019-07-31", 192)[::2])))
    assert summary.imported is not None
    assert summary.imported.intervals == [1800]
    ((about,), _) = await answers(database, MeterInfo.of({}))
    assert about["intervals"] == "1800 from 2019-07-31T00:00:00+02:00"


async def test_readings_follow_each_other_on_a_day_on_which_clocks_go_forward(
    database: DatabaseFixture,
) -> None:
    """What follows the change counts from an earlier midnight than what is before it."""
    starts = range(STARTS[1], STARTS[1] + 3 * 86400 - 3600, 900)
    ends = [datetime.fromtimestamp(start + 900, MADRID) for start in starts]
    rows = "".join(f"{end:%d.%m.%Y %H:%M};0,1;G\n" for end in ends)
    heading = "Messzeitpunkt;Verbrauch (kWh);Qualität\n"
    (summary,) = await database.load(heading + rows)
    assert summary.imported is not None
    assert (summary.imported.intervals, summary.gaps) == ([900], 0)


async def test_format_says_the_interval(database: DatabaseFixture) -> None:
    """That of the project's own format, too; what readings tell otherwise is refused."""
    database.configure(formats={"monitoring": {"interval": 3600}})
    (summary,) = await database.load(report(*[row(time, "1") for time in LOGGER]))
    assert summary.imported is not None
    assert summary.imported.intervals == [3600]
    tens = [
        f"2024-03-05T0{hour}:{minute}:00+01:00" for hour in range(2) for minute in range(10, 60, 10)
    ]
    path = database.file(report(*[row(time, "1") for time in tens]))
    with pytest.raises(FaultyReportsError) as caught:
        await database.load(path)
    assert [*caught.value.errors.shown] == [
        (
            f"{path}: readings are 600 seconds apart: expected 3600, as the format monitoring says;"
            " to see what the file is: elecdata inspect FILE"
        )
    ]


async def test_energies_of_several_lengths_have_no_profile_and_powers_no_base_load(
    database: DatabaseFixture,
) -> None:
    times = [*range(0, 13 * 3600, 3600), *range(13 * 3600, 20 * 3600, 900)]
    readings = [Reading(STARTS[2] + at, 0, 100, 100) for at in times]
    await database.load(text(readings, has_power=True))
    with pytest.raises(QueryError, match="column: expected no energy, since the readings have sev"):
        await answers(database, Profile.of({"column": "energy"}))
    with pytest.raises(QueryError, match="interval: expected no less than the 3600 seconds"):
        await answers(database, Aggregate.of({"interval": "15m"}))
    assert (await answers(database, Profile.of({"column": "power"})))[0]
    ((found,), others) = await answers(database, Summary.of({}))
    assert found["base_load"] is None
    assert others["base_load_unknown"].startswith("the readings have several intervals: 3600 from")
    one = {"end_date": datetime.fromtimestamp(STARTS[2] + 7200, UTC).isoformat()}
    ((found,), others) = await answers(database, Summary.of(one))
    assert found["base_load"] == 10_000
    assert "base_load_unknown" not in others


async def test_summary_warns_of_intervals_that_differ(database: DatabaseFixture) -> None:
    """Single hours among half hours look like gaps."""
    times = [0, 1800, 5400, 9000, 10800, 12600, 14400]
    path = database.file(text([Reading(STARTS[2] + at, 0, 1, 1) for at in times], has_power=True))
    for interval in (None, 1800):
        (summary,) = await database.load(path, interval=interval)
        assert f"  gaps           2; {GAPS_HINT}" in [*summary_lines([summary])]
    regular = [Reading(STARTS[2] + 1800 * at, 0, 1, 1) for at in range(30) if at != 7]
    (summary,) = await database.load(text(regular, has_power=True))
    assert not any("gaps" in line for line in summary_lines([summary]))
    # Where the interval is said, even a single one may be a longer row.
    time = {"column": "t", "pattern": "iso", "marks": "end"}
    curve = {"columns": {"energy": "kWh"}, "time": time, "interval": 1800}
    database.configure(formats={"curve": curve})
    lines = [f"{datetime.fromtimestamp(each.at + 1800, UTC).isoformat()},1\n" for each in regular]
    (summary,) = await database.load("t,kWh\n" + "".join(lines), meter="other", register=True)
    assert f"  gaps           1; {GAPS_HINT}" in [*summary_lines([summary])]
