"""Gaps, flagged readings, coverage and the summary, beside plain reckoning."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import groupby
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domain.fixed_point import SCALE
from domain.flags import CATCH_UP, FLAGS, IMPLAUSIBLE, Flag
from domain.readings_query import QueryError
from storage.figures.data_quality import DataQuality
from storage.figures.summary import Summary
from tests.support.databases import DatabaseFixture
from tests.support.reference_figures import (
    CASES,
    DOUBTFUL,
    Metered,
    Reading,
    factor,
    is_power,
    mean_over_time,
    powers,
    reactive_energies,
    read_in_pieces,
    rounded,
    total,
)
from tests.support.report_factory import MADRID, report, row


def gaps(metered: Metered, start: int, until: int) -> list[tuple[int, ...]]:
    """The runs of expected readings that no reading with a value stands for."""
    present: set[int] = set()
    empty: set[int] = set()
    for reading in metered.within(start, until):
        (present if reading.is_present else empty).add(metered.due(reading.at))
    dues = [metered.following(start)]
    while dues[-1] < until:
        dues.append(metered.following(dues[-1] + 1))
    found: list[tuple[int, ...]] = []
    for is_missing, group in groupby(dues[:-1], lambda at: at not in present):
        run = list(group)
        without_value = sum(at in empty for at in run)
        if is_missing:
            found.append((run[0], run[-1], len(run), without_value, len(run) - without_value))
    return found


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    question=st.fixed_dictionaries(
        {
            "case": st.sampled_from(list(CASES)),
            "bounds": st.tuples(*[st.none() | st.integers(-8, 330)] * 2),
            "end": st.sampled_from(["inclusive", "exclusive"]),
            "at_once": st.sampled_from([1, 9, 5000]),
        }
    )
)
def test_gaps_are_those_of_a_plain_search(
    meters: dict[str, Metered], monkeypatch: pytest.MonkeyPatch, question: dict[str, Any]
) -> None:
    metered = meters[question["case"]]
    read_in_pieces(monkeypatch, question["at_once"])
    opening = metered.local(metered.case.start)
    date, end_date = (
        None if place is None else opening + timedelta(seconds=place * 900)
        for place in question["bounds"]
    )
    assume(date is None or end_date is None or date <= end_date)
    start, until = metered.bounds(date, end_date, question["end"])
    texts = {"end": question["end"]}
    texts |= {"date": str(date)} if date else {}
    texts |= {"end_date": str(end_date)} if end_date else {}
    _, rows = metered.ask(DataQuality.of(texts))
    assert rows == gaps(metered, start, until)


async def test_reading_off_the_grid_stands_for_the_one_it_is_nearest_to(
    database: DatabaseFixture,
) -> None:
    energies = {"00:00:00": "1", "00:15:00": "", "00:16:00": "", "00:17:00": ""}
    energies |= {"00:45:07": "1", "00:59:50": "1", "01:15:07": "1"}
    rows = [row(f"1 Aug 2019 {time}", energy) for time, energy in energies.items()]
    await database.load(report(*rows), interval=900)
    async with database.reader() as reader:
        table = await reader.figures(DataQuality.of({}), await reader.state())
        ((gap,),) = [some async for some in table.rows]
    first = int(datetime(2019, 8, 1, 0, 15, tzinfo=MADRID).timestamp())
    assert gap == (first, first + 900, 2, 1, 1)


@pytest.mark.parametrize("wanted", ["gaps", "flagged"])
def test_list_of_more_than_the_bound_is_refused(
    meters: dict[str, Metered], monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    metered, question = meters["autumn"], DataQuality.of({"list": wanted})
    _, rows = metered.ask(question)
    monkeypatch.setattr("storage.figures.data_quality.MAX_RECORDS", len(rows))
    assert metered.ask(question)[1] == rows
    monkeypatch.setattr("storage.figures.data_quality.MAX_RECORDS", len(rows) - 1)
    with pytest.raises(QueryError, match=f"^list: expected at most {len(rows) - 1} records"):
        metered.ask(question)


def test_flagged_readings_come_with_what_the_flags_say(meters: dict[str, Metered]) -> None:
    for metered in meters.values():
        _, rows = metered.ask(DataQuality.of({"list": "flagged"}))
        flagged = [reading for reading in metered.readings if reading.flags]
        assert len(flagged) > 3
        for listed, reading in zip(rows, flagged, strict=True):
            flags = [flag for flag in FLAGS if flag.bit & reading.flags]
            assert listed == (
                reading.id,
                reading.at,
                " ".join(flag.name for flag in flags),
                *(reading.values[name] for name in ("energy", "maximeter", "voltage", "intensity")),
                "; ".join(flag.means for flag in flags),
                "; ".join(flag.rule.format(tolerance="2", allowance="90") for flag in flags),
            )


def test_days_have_their_coverage(meters: dict[str, Metered]) -> None:
    metered = meters["autumn"]
    _, rows = metered.ask(DataQuality.of({"list": "days"}))
    for start, end, expected, present, _, coverage, _, *flags in rows:
        assert isinstance(start, int)
        assert isinstance(end, int)
        readings = metered.within(start, end)
        assert expected == metered.expected(start, end)
        assert present == sum(reading.is_present for reading in readings)
        assert coverage == rounded(Fraction(present * SCALE, metered.expected(start, end)))
        assert flags == [sum(bool(r.flags & flag.bit) for r in readings) for flag in FLAGS]


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_list_of_one_flag_has_all_readings_with_it(meters: dict[str, Metered], flag: Flag) -> None:
    metered = meters["autumn"]
    _, rows = metered.ask(DataQuality.of({"list": "flagged", "flag": flag.name}))
    ids = [reading.id for reading in metered.readings if reading.flags & flag.bit]
    assert [row[0] for row in rows] == ids


def test_flag_without_a_list_of_readings_is_refused() -> None:
    with pytest.raises(QueryError, match=r"^flag: expected list=flagged with it"):
        DataQuality.of({"list": "days", "flag": "missing"})


def base_load(readings: Sequence[Reading]) -> int | None:
    """Return the power that is exceeded nearly all the time, if the readings last as long."""
    if len({reading.seconds for reading in readings}) > 1:
        return None
    loads = sorted(powers(readings))
    return rounded(loads[-(-len(loads) * 5 // 100) - 1])


def derived_fields(readings: Sequence[Reading], every: Sequence[Reading]) -> dict[str, int | None]:
    """What a summary derives of readings, and of every one of the period, whatever its flags."""
    clean = [r.values["energy"] for r in every if not r.flags & IMPLAUSIBLE.bit]
    active = total([r.values["energy"] for r in readings]) or 0
    reactive = total([r.values["reactive_energy"] for r in readings]) or 0
    with_factor = [r for r in readings if r.values["power_factor"] is not None]
    factors = [value for r in readings if (value := r.values["power_factor"]) is not None]
    inductive, capacitive = reactive_energies(readings)
    return {
        "energy_raw": total([r.values["energy"] for r in every]),
        "energy_clean": total(clean),
        "energy_readings": sum(r.values["energy"] is not None for r in readings),
        "power_readings": sum(r.values["power"] is not None for r in readings),
        "power_derived": sum(r.values["power"] is None for r in readings if is_power(r)),
        "power_factor_of_energy": factor(active, reactive),
        "power_factor_mean": mean_over_time(with_factor, factors),
        "reactive_energy_ratio": rounded(Fraction(reactive * SCALE, active)),
        "reactive_energy_inductive": inductive,
        "reactive_energy_capacitive": capacitive,
    }


def test_summary_is_that_of_plain_reckoning(
    meters: dict[str, Metered], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_in_pieces(monkeypatch, 37)
    for metered in meters.values():
        table, [row] = metered.ask(replace(Summary.of({}), is_wide=True))
        record = dict(zip([field.name for field in table.fields], row, strict=True))
        every = readings = metered.readings
        believed = [r for r in readings if not r.flags & CATCH_UP.bit]
        energies = [value for r in believed if (value := r.values["energy"]) is not None]
        peak = max(value for r in believed if (value := r.values["maximeter"]) is not None)
        hours = Fraction(sum(r.seconds for r in believed if r.values["energy"] is not None), 3600)
        mean = rounded(sum(energies) / hours)
        start, end = metered.bounds(None, None, "inclusive")
        expected = {
            "first_reading": readings[0].at,
            "last_reading": readings[-1].at,
            "date": readings[0].at,
            "end": end,
            "energy": total([r.values["energy"] for r in readings]),
            "reactive_energy": total([r.values["reactive_energy"] for r in readings]),
            "expected": metered.expected(start, end),
            "present": sum(r.is_present for r in readings),
            "readings": len(readings),
            "peak_demand": peak,
            "peak_demand_date": next(r.at for r in believed if r.values["maximeter"] == peak),
            "mean_demand": mean,
            "load_factor": rounded(Fraction(mean * SCALE, peak)) if peak > 0 else None,
            "base_load": base_load(believed),
            **derived_fields(readings, every),
            "timezone": metered.case.zone,
            "interval_seconds": metered.case.interval if metered.case.later is None else None,
            "identifier": None,
            "import_new": len(readings) + 1 - readings[0].id,
            "import_changed": 0,
            **{f"flag_{f.name}": sum(bool(r.flags & f.bit) for r in readings) for f in FLAGS},
        }
        assert {name: record[name] for name in expected} == expected
        assert str(record["import_file"]).startswith("report")
        assert table.metadata["demand_of"] == "maximeter"


@pytest.mark.parametrize("quality", ["raw", "clean"])
def test_summary_of_a_part_is_that_of_plain_reckoning(
    meters: dict[str, Metered], monkeypatch: pytest.MonkeyPatch, quality: str
) -> None:
    read_in_pieces(monkeypatch, 20)
    without = IMPLAUSIBLE.bit if quality == "clean" else 0
    for metered in meters.values():
        first = metered.local(metered.case.due(20))
        last = metered.local(metered.case.due(110))
        asked = {"date": f"{first}", "end_date": f"{last}", "quality": quality}
        table, [row] = metered.ask(replace(Summary.of(asked), is_wide=True))
        record = dict(zip([field.name for field in table.fields], row, strict=True))
        start, until = metered.bounds(first, last, "inclusive")
        readings = metered.within(start, until, without)
        believed = [r for r in readings if not r.flags & CATCH_UP.bit]
        energies = [value for r in believed if (value := r.values["energy"]) is not None]
        hours = Fraction(sum(r.seconds for r in believed if r.values["energy"] is not None), 3600)
        every = metered.within(start, until)
        expected = {
            "first_reading": readings[0].at,
            "last_reading": readings[-1].at,
            "readings": len(readings),
            "present": sum(r.is_present for r in readings),
            "flagged": sum(bool(r.flags & DOUBTFUL) for r in readings),
            "energy": total([r.values["energy"] for r in readings]),
            "mean_demand": rounded(sum(energies) / hours),
            "base_load": base_load(believed),
            **derived_fields(readings, every),
            **{f"flag_{f.name}": sum(bool(r.flags & f.bit) for r in every) for f in FLAGS},
        }
        assert {name: record[name] for name in expected} == expected
