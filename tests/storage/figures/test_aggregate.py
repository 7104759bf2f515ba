"""Sums of readings agree with plain reckoning, to the last decimal, on both databases."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from domain.columns import Columns
from domain.fixed_point import SCALE
from domain.flags import CATCH_UP, IMPLAUSIBLE
from domain.quantities import QUANTITY_NAMES
from domain.readings_query import QueryError
from storage.figures import scan
from storage.figures.aggregate import Aggregate
from storage.figures.data_quality import DataQuality
from storage.figures.meter_info import MeterInfo
from storage.figures.peaks import Peaks
from storage.figures.profile import Profile
from storage.figures.result import FigureQuery, Row
from storage.figures.summary import Summary
from storage.figures.sums import bucket_sums
from tests.support.databases import DatabaseFixture
from tests.support.reference_figures import (
    CASES,
    DOUBTFUL,
    Case,
    Metered,
    Reading,
    aware,
    factor,
    is_power,
    labelled,
    mean_over_time,
    powers,
    reactive_energies,
    rounded,
    total,
)
from tests.support.report_factory import quarters, report, row

LABELS: dict[str, Callable[[datetime], object]] = {
    "15m": lambda at: (at.utcoffset(), at.hour, at.minute // 15),
    "30m": lambda at: (at.utcoffset(), at.hour, at.minute // 30),
    "hour": lambda at: (at.utcoffset(), at.hour),
    "day": lambda at: at.date(),
    "week": lambda at: at.isocalendar()[:2],
    "month": lambda at: (at.year, at.month),
    "year": lambda at: at.year,
}


def expected_rows(
    metered: Metered,
    interval: str,
    columns: tuple[str, ...],
    zone: str,
    start: int,
    until: int,
    *,
    clean: bool,
) -> Iterator[Row]:
    """What the answer should be, by plain reckoning."""
    end = metered.following(until)
    if start >= until:
        return

    def label(at: int) -> object:
        return LABELS[interval](aware(at, zone))

    if label(until) != label(until - 1):
        end = until
    before, behind = metered.preceding(start), metered.following(end)
    cuts = {start: label(before) == label(start)}, {end: label(behind) == label(end - 1)}
    for first, last in labelled(start, end, zone, LABELS[interval]):
        readings = metered.within(first, min(last, until), IMPLAUSIBLE.bit * clean)
        expected = metered.expected(first, last)
        present = sum(reading.is_present for reading in readings)
        flagged = sum(bool(reading.flags & DOUBTFUL) for reading in readings)
        coverage = rounded(Fraction(present * SCALE, expected)) if expected else None
        values = [value for name in columns for value in put_together(name, readings)]
        partial = cuts[0].get(first, False) or cuts[1].get(last, False)
        since = [energy_since(metered, first, readings)] if "energy" in columns else []
        yield (first, last, *values, expected, present, flagged, coverage, int(partial), *since)


def energy_since(metered: Metered, start: int, readings: list[Reading]) -> int | None:
    """From when the energy of some readings is, if a catch-up has some of before them."""
    caught_up = [
        r.at for r in readings if r.flags & CATCH_UP.bit and r.values["energy"] is not None
    ]
    earlier = [
        r.at + r.seconds
        for r in metered.readings
        if caught_up and r.at < caught_up[0] and r.values["energy"] is not None
    ]
    since = earlier[-1] if earlier else start
    return since if since < start else None


def put_together(name: str, readings: list[Reading]) -> list[int | None]:
    there = [r for r in readings if r.values[name] is not None]
    values = [(r.at, value) for r in there if (value := r.values[name]) is not None]
    numbers = [value for _, value in values]
    if name == "power_factor":
        active, reactive = (
            total([r.values[name] for r in readings]) for name in ("energy", "reactive_energy")
        )
        is_ratio = active is not None and active > 0 and reactive is not None
        return [
            factor(active, reactive),
            mean_over_time(there, numbers),
            rounded(Fraction(reactive * SCALE, active)) if is_ratio else None,
        ]
    if name == "power":
        some = powers(readings)
        derived = sum(r.values["power"] is None for r in readings if is_power(r))
        if not some:
            return [None, None, None, 0]
        mean = mean_over_time([r for r in readings if is_power(r)], some)
        return [mean, rounded(min(some)), rounded(max(some)), derived]
    if name == "reactive_power":
        return [*level(there, numbers), *reactive_energies(readings)]
    if name in ("energy", "reactive_energy"):
        return [total([value for _, value in values])]
    if name == "maximeter":
        if not values:
            return [None, None]
        greatest = max(value for _, value in values)
        return [greatest, min(at for at, value in values if value == greatest)]
    return level(there, numbers)


def level(readings: list[Reading], numbers: list[int]) -> list[int | None]:
    if not numbers:
        return [None] * 3
    return [mean_over_time(readings, numbers), min(numbers), max(numbers)]


def cut(length: int) -> Callable[..., AsyncGenerator[Columns]]:
    """Return what yields the readings of a selection, so many at a time at most."""

    async def cut_columns(*args: Any) -> AsyncGenerator[Columns]:
        async for columns in scan.selected_columns(*args):
            for at in range(0, len(columns), length):
                yield columns[at : at + length]

    return cut_columns


questions = st.fixed_dictionaries(
    {
        "case": st.sampled_from(list(CASES)),
        "interval": st.sampled_from(list(LABELS)),
        "columns": st.sets(st.sampled_from(QUANTITY_NAMES), min_size=1),
        "zone": st.sampled_from(
            [None, "Europe/Madrid", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]
        ),
        "bounds": st.tuples(*[st.none() | st.integers(-8, 330)] * 2),
        "end": st.sampled_from(["inclusive", "exclusive"]),
        "quality": st.sampled_from(["raw", "clean"]),
        "groups": st.sampled_from([1, 7, 500]),
        "readings": st.sampled_from([5, 49, 4000]),
        "searched_days": st.sampled_from([1, 4000]),
    }
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(question=questions)
@example(
    question={
        "case": "half an hour back",
        "interval": "hour",
        "columns": {"energy"},
        "zone": None,
        "bounds": (None, None),
        "end": "inclusive",
        "quality": "raw",
        "groups": 500,
        "readings": 5,
        "searched_days": 1,
    }
)
@example(
    question={
        "case": "hours, then quarters from within a day",
        "interval": "hour",
        "columns": {"energy", "power"},
        "zone": None,
        "bounds": (None, None),
        "end": "inclusive",
        "quality": "raw",
        "groups": 500,
        "readings": 5,
        "searched_days": 1,
    }
)
def test_sums_are_those_of_plain_reckoning(
    meters: dict[str, Metered], monkeypatch: pytest.MonkeyPatch, question: dict[str, Any]
) -> None:
    metered = meters[question["case"]]
    sizes = {"15m": 900, "30m": 1800, "hour": 3600}
    assume(sizes.get(question["interval"], 86400) >= metered.case.interval)
    monkeypatch.setattr(bucket_sums, "ROWS_AT_ONCE", question["groups"])
    monkeypatch.setattr(bucket_sums, "FEWEST_ROWS", question["groups"])
    monkeypatch.setattr(bucket_sums, "SEARCHED_SECONDS", question["searched_days"] * 86400)
    monkeypatch.setattr(bucket_sums, "selected_columns", cut(question["readings"]))
    zone = question["zone"] or metered.case.zone
    opening = metered.local(metered.case.start, zone)
    date, end_date = (
        None if place is None else opening + timedelta(seconds=place * 900)
        for place in question["bounds"]
    )
    assume(date is None or end_date is None or date <= end_date)
    columns = tuple(name for name in QUANTITY_NAMES if name in question["columns"])
    given_texts = {
        "interval": question["interval"],
        "columns": ",".join(columns),
        "end": question["end"],
        "quality": question["quality"],
        **({"date": str(date)} if date else {}),
        **({"end_date": str(end_date)} if end_date else {}),
        **({"timezone": question["zone"]} if question["zone"] else {}),
    }
    start, until = metered.bounds(date, end_date, question["end"], zone)
    is_clean = question["quality"] == "clean"
    _, rows = metered.ask(Aggregate.of(given_texts))
    wanted = expected_rows(
        metered, question["interval"], columns, zone, start, until, clean=is_clean
    )
    assert rows == list(wanted)


def test_different_queries_have_different_keys() -> None:
    bounds = {"date": "2019-08", "end_date": "2019-09"}
    asked: list[FigureQuery] = []
    for period in ({}, {"quality": "clean"}, bounds, bounds | {"end": "exclusive"}):
        asked += [Peaks.of(period | more) for more in ({}, {"number": "3"}, {"separation": "0"})]
        asked += [
            DataQuality.of(period | {"list": wanted}) for wanted in ("gaps", "flagged", "days")
        ]
        asked += [Summary.of(period)]
        asked += [Profile.of(period)]
        asked += [Profile.of(period | {"column": "energy"}), Profile.of(period | {"by": "month"})]
        asked += [Profile.of(period | {"percentiles": percents}) for percents in ("5", "95")]
        asked += [Aggregate.of(period | {"interval": name}) for name in ("day", "week")]
        asked += [Aggregate.of(period | {"interval": "day", "columns": "flags"})]
        asked += [DataQuality.of(period | {"list": "flagged", "flag": "missing"})]
        for more in ({"columns": "energy"}, {"timezone": "UTC"}):
            asked.append(Aggregate.of(period | {"interval": "day"} | more))
    assert len({question.key for question in asked}) == len(asked)


@pytest.mark.parametrize(
    ("case", "day", "quarters"),
    [("autumn", "2019-10-27", 100), ("spring", "2019-03-31", 92), ("spring", "2019-03-30", 96)],
)
def test_day_has_as_many_quarters_as_clocks_give_it(
    meters: dict[str, Metered], case: str, day: str, quarters: int
) -> None:
    given_texts = {"interval": "day", "date": day, "end_date": f"{day} 23:45", "columns": "energy"}
    _, [row] = meters[case].ask(Aggregate.of(given_texts))
    start, end, _, expected, *_ = row
    assert isinstance(start, int)
    assert isinstance(end, int)
    assert (expected, (end - start) // 900) == (quarters, quarters)


def test_repeated_hour_is_two_and_the_skipped_one_is_none(meters: dict[str, Metered]) -> None:
    for case, day, hours in (("autumn", "2019-10-27", 25), ("spring", "2019-03-31", 23)):
        question = {"interval": "hour", "date": day, "end_date": f"{day} 23:45"}
        _, rows = meters[case].ask(Aggregate.of(question))
        assert len(rows) == hours
        assert all(row[-6] == 4 for row in rows)


def test_bucket_without_readings_has_nulls_and_no_zeros(meters: dict[str, Metered]) -> None:
    question = {"interval": "day", "date": "2019-11-10", "end_date": "2019-11-10 23:45"}
    _, [row] = meters["autumn"].ask(Aggregate.of(question))
    assert {*row[2:-6]} == {None, 0}
    assert row[2:-6].count(0) == 1  # how many powers are derived
    assert row[-6:] == (96, 0, 0, 0, 0, None)


def test_clean_says_what_it_leaves_out(meters: dict[str, Metered]) -> None:
    metered = meters["autumn"]
    table, _ = metered.ask(Aggregate.of({"interval": "day", "quality": "clean"}))
    left_out = [r for r in metered.readings if r.flags & IMPLAUSIBLE.bit]
    energy = sum(r.values["energy"] or 0 for r in left_out)
    assert len(left_out) > 3
    counts = {"readings": str(len(left_out)), "energy": f"{energy / SCALE:.5f}"}
    assert {name: value for name, value in table.metadata.items() if name != "units"} == {
        "quality": "clean",
        "implausible": counts,
        "left_out": counts,
    }
    table, _ = metered.ask(Aggregate.of({"interval": "day"}))
    assert table.metadata["quality"] == "raw"
    assert table.metadata["implausible"] == counts
    assert "left_out" not in table.metadata


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (
            {"interval": "5m"},
            "interval: expected one of 15m, 30m, hour, day, week, month, year, got '5m'",
        ),
        ({"interval": "hour", "date": "1890"}, "interval: expected at most 1,000,000 records"),
        ({"interval": "year", "date": "1600"}, "date: expected a period of at most 400 years"),
        ({"interval": "year", "end_date": "2500"}, "end_date: expected a period of at most"),
        (
            {"interval": "day", "columns": "energy,x"},
            "columns: expected some of energy, .*, got 'x'",
        ),
        ({"interval": "day", "timezone": "Mars/X"}, "timezone: expected a name like Europe/Madrid"),
        ({"interval": "day", "timezone": "../../etc/passwd"}, "timezone: expected a name"),
        ({"interval": "day", "quality": "good"}, "quality: expected raw or clean, got 'good'"),
        ({"interval": "day", "end": "open"}, "end: expected inclusive or exclusive, got 'open'"),
        ({"interval": "day", "end_date": "9999-12-31"}, "end_date: expected a time before 9999"),
        ({"interval": "day", "date": "2020", "end_date": "2019"}, "end_date: expected 2020-01-01"),
    ],
)
def test_wrong_parameter_is_named(
    meters: dict[str, Metered], question: dict[str, str], message: str
) -> None:
    with pytest.raises(QueryError, match=f"^{message}"):
        meters["autumn"].ask(Aggregate.of(question))


def test_four_hundred_years_are_a_period(meters: dict[str, Metered]) -> None:
    question = {"interval": "year", "date": "1700-01-01", "end_date": "2099-12-31"}
    _, rows = meters["autumn"].ask(Aggregate.of(question))
    assert rows


def test_interval_finer_than_the_readings_is_refused(meters: dict[str, Metered]) -> None:
    with pytest.raises(
        QueryError, match=r"^interval: expected no less than the 3600 seconds between readings"
    ):
        meters["hours over a change"].ask(Aggregate.of({"interval": "15m"}))


async def test_database_without_readings_has_no_records(database: DatabaseFixture) -> None:
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        await writer.engine.admit_reader()
    async with database.reader() as reader:
        questions: list[FigureQuery] = [
            Aggregate.of({"interval": "day"}),
            Peaks.of({}),
            Profile.of({}),
            MeterInfo.of({}),
        ]
        questions += [Summary.of({}), DataQuality.of({}), DataQuality.of({"list": "flagged"})]
        for question in questions:
            assert (await reader.figures(question, await reader.state())).count == 0


def test_sums_of_the_greatest_quantities_are_exact(database: DatabaseFixture) -> None:
    """Ten digits before the point; a day of them exceeds what 64 bits of a float tell apart."""
    case = Case("Europe/Madrid", 900, "2019-08-01 00:00", 96 * 3)
    most = 10**15 - 1
    moments = quarters("2019-08-01", case.readings)
    text = "9999999999.99999"
    database.configure(meter={"timezone": case.zone})
    asyncio.run(database.load(report(*[row(moment, text, text, text, text) for moment in moments])))
    readings = [Reading(n, case.start + n * 900, {}, 0, 900) for n in range(case.readings)]
    metered = Metered(case, database, readings)
    _, rows = metered.ask(Aggregate.of({"interval": "month", "columns": "energy,power,maximeter"}))
    assert rows[0][2:9] == (most * case.readings, most, most, most, 0, most, case.start)
