"""The highest demands, beside those that a plain search finds."""

import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.flags import CATCH_UP, IMPLAUSIBLE, Flag
from domain.readings_query import QueryError
from storage.database import Database
from storage.figures import peaks
from storage.figures.peaks import Peaks
from tests.support.databases import DatabaseFixture
from tests.support.reference_figures import (
    CASES,
    Case,
    Metered,
    loaded,
    read_in_pieces,
    read_spans_alone,
    rounded,
)
from tests.support.report_factory import quarters, report, row

KW_PER_KWH = 3600


def expected(
    metered: Metered, column: str, number: int, separation: int, *, clean: bool
) -> list[tuple[int, int]]:
    """The highest first, of those as high the earliest, none too close to one before."""
    without = CATCH_UP.bit | IMPLAUSIBLE.bit * clean
    candidates = [
        (r.at, value)
        for r in metered.readings
        if not r.flags & without and (value := r.values[column]) is not None
    ]
    found: list[tuple[int, int]] = []
    for at, value in sorted(candidates, key=lambda peak: (-peak[1], peak[0])):
        if all(abs(at - other) >= separation for other, _ in found):
            found.append((at, value))
    return found[:number]


async def answered(reader: Database, question: Peaks) -> Any:
    table = await reader.figures(question, await reader.state())
    return table.metadata, [row async for rows in table.rows for row in rows]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    question=st.fixed_dictionaries(
        {
            "case": st.sampled_from(list(CASES)),
            "number": st.integers(1, 40),
            "separation": st.sampled_from([0, 1, 900, 901, 3600, 5400, 7200, 86400]),
            "quality": st.sampled_from(["raw", "clean"]),
            "at_once": st.sampled_from([9, 50, 5000]),
            "read_at_once": st.sampled_from([1, 50, 5000]),
        }
    )
)
def test_peaks_are_those_of_a_plain_search(
    meters: dict[str, Metered], monkeypatch: pytest.MonkeyPatch, question: dict[str, Any]
) -> None:
    metered = meters[question["case"]]
    monkeypatch.setattr(peaks, "BATCH_READINGS", question["at_once"])
    read_in_pieces(monkeypatch, question["read_at_once"])
    texts = {name: str(question[name]) for name in ("number", "separation", "quality")}
    table, rows = metered.ask(Peaks.of(texts))
    is_clean = question["quality"] == "clean"
    number, separation = question["number"], question["separation"]
    assert rows == expected(metered, "maximeter", number, separation, clean=is_clean)
    assert table.metadata["demand_of"] == "maximeter"
    assert ("left_out" in table.metadata) == is_clean


@pytest.mark.parametrize("days", [1, 4])
async def test_peaks_of_the_highest_days_are_those_of_all_readings(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Whether these days tell all peaks or not, as where two of them are around midnight."""
    monkeypatch.setattr(peaks, "DAYS_OF_PEAK", days)
    read_spans_alone(monkeypatch)
    chance = random.Random(3)  # noqa: S311 - test data
    lines: list[str] = []
    for place, moment in enumerate(quarters("2019-10-20", 12 * 96)):
        demand = 40 if 478 < place < 482 else chance.uniform(20, 30)
        energy = chance.choice(["30", "60"]) if lines[-1:] == [""] else "1"
        is_missed = place // 96 in (2, 8) and chance.random() < 0.1
        lines.append("" if is_missed else row(moment, energy, "", "", f"{demand:.3f}"))
    await database.load(report(*filter(None, lines)))
    questions = [
        Peaks.of({**period, "number": number, "separation": separation, "quality": quality})
        for period in ({}, {"date": "2019-10-21 09:30", "end_date": "2019-10-29 15:00"})
        for number in ("1", "2", "3", "10")
        for separation in ("0", "3600", "86400")
        for quality in ("raw", "clean")
    ]

    async with database.reader() as reader:
        found = [await answered(reader, question) for question in questions]
        await database.rows("UPDATE states SET changes = 1")
        assert found == [await answered(reader, question) for question in questions]


@pytest.mark.parametrize(
    ("missing", "column"), [(["maximeter"], "power"), (["maximeter", "power"], "energy")]
)
def test_demand_is_taken_from_what_there_is(
    database: DatabaseFixture, missing: list[str], column: str
) -> None:
    metered = loaded(Case("Europe/Madrid", 1800, "2019-08-01 00:00", 60), database)
    for name in missing:
        database.run(f"UPDATE readings SET {name} = NULL")
    table, rows = metered.ask(Peaks.of({"separation": "7200"}))
    wanted = expected(metered, column, 10, 7200, clean=False)
    if column == "energy":
        wanted = [(at, rounded(Fraction(value * KW_PER_KWH, 1800))) for at, value in wanted]
    assert rows == wanted
    assert table.metadata["demand_of"] == column


@pytest.mark.parametrize(("flag", "quality"), [(CATCH_UP, "raw"), (IMPLAUSIBLE, "clean")])
def test_demand_is_not_taken_from_what_only_readings_left_out_have(
    database: DatabaseFixture, flag: Flag, quality: str
) -> None:
    metered = loaded(Case("Europe/Madrid", 900, "2019-08-01 00:00", 60), database)
    one = next(r for r in metered.readings if r.flags & flag.bit and r.values["maximeter"])
    database.run(f"UPDATE readings SET maximeter = NULL WHERE id <> {one.id}")
    table, rows = metered.ask(Peaks.of({"quality": quality}))
    assert table.metadata["demand_of"] == "power"
    assert rows == expected(metered, "power", 10, 3600, clean=quality == "clean")


def test_catch_up_is_no_peak(database: DatabaseFixture) -> None:
    metered = loaded(Case("Europe/Madrid", 900, "2019-08-01 00:00", 40), database)
    _, [(at, demand)] = metered.ask(Peaks.of({"number": "1"}))
    assert isinstance(demand, int)
    caught_up = next(r for r in metered.readings if r.at != at and not r.flags)
    highest = "'99.00000'" if database.kind == "mariadb" else "9900000"
    database.run(f"UPDATE readings SET maximeter = {highest} WHERE id = {caught_up.id}")
    assert metered.ask(Peaks.of({"number": "1"}))[1] == [(caught_up.at, 9900000)]
    database.run(f"INSERT INTO flags VALUES (1, {caught_up.id}, {CATCH_UP.bit})")
    assert metered.ask(Peaks.of({"number": "1"}))[1] == [(at, demand)]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"number": "0"}, "number: expected a whole number from 1 to 1000, got '0'"),
        ({"number": "1001"}, "number: expected a whole number from 1 to 1000, got '1001'"),
        ({"number": "ten"}, "number: expected a whole number"),
        ({"separation": "-1"}, "separation: expected a whole number from 0 to 86400, got '-1'"),
        ({"separation": "9" * 999}, "separation: expected a whole number"),
    ],
)
def test_wrong_number_is_named(question: dict[str, str], message: str) -> None:
    with pytest.raises(QueryError, match=f"^{message}"):
        Peaks.of(question)
