"""Profiles agree with plain reckoning."""

from collections import defaultdict
from datetime import datetime
from fractions import Fraction
from math import gcd
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domain.flags import CATCH_UP, IMPLAUSIBLE
from domain.readings_query import QueryError
from storage.columns import statistics
from storage.figures.profile import COLUMNS, SPLITS, Profile
from storage.figures.result import Row
from tests.support.reference_figures import (
    CASES,
    Metered,
    Reading,
    factor,
    is_power,
    mean_over_time,
    powers,
    read_in_pieces,
    rounded,
    total,
)

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def split(by: str, at: datetime) -> tuple[int | str, ...]:
    """What a reading is told apart by."""
    day = WEEKDAYS[at.weekday()]
    day_type = day if at.weekday() > 4 else "working_day"
    splits: dict[str, tuple[int | str, ...]] = {
        "day_type": (day_type,),
        "month": (at.month,),
        "both": (at.month, day_type),
        "weekday": (day,),
        "none": (),
    }
    return splits[by]


REACTIVE = "reactive_energy"


def expected(
    metered: Metered, column: str, by: str, percentiles: list[int], *, clean: bool
) -> list[Row]:
    without = CATCH_UP.bit | IMPLAUSIBLE.bit * clean
    groups: dict[tuple[int | str, ...], list[Reading]] = defaultdict(list)
    for reading in metered.readings:
        names = {"power": ("power", "energy"), "power_factor": (column, "energy", REACTIVE)}
        is_known = any(reading.values[name] is not None for name in names.get(column, (column,)))
        if is_known and not reading.flags & without:
            at = metered.local(reading.at)
            groups[*split(by, at), f"{at:%H:%M:%S}"].append(reading)
    rows: list[Row] = []
    for key, readings in groups.items():
        there = [
            r
            for r in readings
            if r.values[column] is not None or (column == "power" and is_power(r))
        ]
        values = (
            powers(there)
            if column == "power"
            else [Fraction(value) for r in there if (value := r.values[column]) is not None]
        )
        mean = mean_over_time(there, values)
        # A value for each second that its reading lasts.
        unit = gcd(*(reading.seconds for reading in there))
        pairs = zip(values, there, strict=True)
        ranked = sorted(value for value, r in pairs for _ in range(r.seconds // unit))
        ranks = [1, len(ranked), *(-(-percent * len(ranked) // 100) for percent in percentiles)]
        more: list[int | None] = []
        if column == "power":
            more = [sum(reading.values["power"] is None for reading in readings)]
        if column == "power_factor":
            sums = [total([r.values[name] for r in readings]) for name in ("energy", REACTIVE)]
            more = [factor(*sums)]
        found = [rounded(ranked[rank - 1]) if ranked else None for rank in ranks]
        rows.append((*key, len(values), mean, *found, *more))
    return rows


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    question=st.fixed_dictionaries(
        {
            "case": st.sampled_from(list(CASES)),
            "column": st.sampled_from(COLUMNS),
            "by": st.sampled_from(list(SPLITS)),
            "percentiles": st.sets(st.integers(1, 100), min_size=1, max_size=6).map(sorted),
            "quality": st.sampled_from(["raw", "clean"]),
        }
    ),
    at_once=st.sampled_from([1, 50, 5000]),
)
def test_profile_is_that_of_plain_reckoning(
    meters: dict[str, Metered],
    monkeypatch: pytest.MonkeyPatch,
    question: dict[str, Any],
    at_once: int,
) -> None:
    metered = meters[question["case"]]
    percentiles = question["percentiles"]
    read_in_pieces(monkeypatch, at_once)
    monkeypatch.setattr(statistics, "PIECE_VALUES", at_once)
    assume(metered.case.later is None or question["column"] not in ("energy", REACTIVE))
    texts = {**question, "percentiles": ",".join(map(str, percentiles))}
    _, rows = metered.ask(Profile.of(texts))
    wanted = expected(
        metered,
        question["column"],
        question["by"],
        percentiles,
        clean=question["quality"] == "clean",
    )
    assert sorted(rows, key=str) == sorted(wanted, key=str)


def test_profile_goes_from_monday_to_sunday_and_from_midnight_on(
    meters: dict[str, Metered],
) -> None:
    _, rows = meters["hours over a change"].ask(Profile.of({"by": "weekday"}))
    keys = [(WEEKDAYS.index(str(row[0])), row[1]) for row in rows]
    assert keys == sorted(keys)
    assert {day for day, _ in keys} == set(range(7))


def test_as_many_percentiles_as_allowed_are_allowed() -> None:
    twenty = tuple(range(5, 101, 5))
    assert Profile.of({"percentiles": ",".join(map(str, twenty))}).percentiles == twenty


@pytest.mark.parametrize(
    "text", ["", "0", "101", "5,", "5;50", "50.5", ",".join(map(str, range(1, 22)))]
)
def test_wrong_percentiles_are_named(text: str) -> None:
    with pytest.raises(QueryError, match=r"^percentiles: expected whole numbers from 1 to 100"):
        Profile.of({"percentiles": text})
