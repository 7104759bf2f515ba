"""Rows that are there twice: the same ones are passed over, others of the same time are refused."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import loader.rows.file_reader
from domain.local_time import DUPLICATE_TIME
from loader.summary import summary_lines
from tests.support.databases import DatabaseFixture
from tests.support.report_formats import (
    AUTUMN,
    CUPS,
    DISTRIBUTOR,
    SPRING,
    SUMMER,
    WORKSHOP_HEADING,
    Reading,
    hourly,
    reading,
    workshop,
)

HOURS = [*hourly(SPRING, *range(1, 24)), *hourly(SUMMER, *range(1, 25))]


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    return reading(tmp_path)


def local_rows() -> list[str]:
    """Half hours of the night on which clocks go back, and of the day after."""
    times = [f"27.10.19 {hour:02}:{minute:02}" for hour in range(1, 4) for minute in (0, 30)]
    times[4:4] = times[2:4]
    times += [f"28.10.19 {hour:02}:00" for hour in range(12)]
    return [f"{time};1;{number};ok\n" for number, time in enumerate(times)]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chance=st.randoms(use_true_random=False),
    number=st.integers(0, 40),
    is_local=st.booleans(),
    skipping=st.booleans(),
    size=st.sampled_from([60, 2**20]),
)
def test_rows_that_are_the_same_are_passed_over_wherever_they_are(
    read: Reading, chance: random.Random, number: int, is_local: bool, skipping: bool, size: int
) -> None:
    rows = local_rows() if is_local else HOURS
    heading = WORKSHOP_HEADING if is_local else DISTRIBUTOR
    # The order of local times tells the passes of an hour: no row of that day comes between.
    begin = 8 if is_local else 0
    mixed = rows[begin:] if is_local else chance.sample(rows, len(rows))
    repeats = []
    for row in chance.choices(rows, k=number):
        changed = row.replace(";ok", ",5;ok").replace(";R", "1;R")
        repeat = changed if chance.random() < 0.2 else row
        at = mixed.index(row) + 1 if row in mixed else len(mixed)
        mixed.insert(chance.randint(at, len(mixed)), repeat)
        repeats.append(repeat)
    text = heading + "".join([*rows[:begin], *mixed])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader.rows.file_reader, "CHUNK_BYTES", size)
        done = read(text, *([workshop(encoding="utf-8")] * is_local), skip_bad_rows=skipping)
    others = [repeat for repeat in repeats if repeat not in rows]
    assert sorted(row.decode() + "\n" for row in done.rejected) == sorted(others)
    assert all(error.endswith(DUPLICATE_TIME) for error in done.row_errors)
    assert (done.report.readings, done.report.repeated) == (len(rows), number - len(others))
    if skipping or not others:
        plain = read(heading + "".join(rows), *([workshop(encoding="utf-8")] * is_local))
        assert sorted(row[1:] for row in done.rows) == sorted(row[1:] for row in plain.rows)


async def test_rows_of_two_meters_that_are_repeated_are_counted(database: DatabaseFixture) -> None:
    """The summary says how many, and nothing is refused."""
    other = CUPS.replace("1AA", "2AA")
    rows = [*HOURS, *hourly(SUMMER, *range(1, 25), cups=other), *HOURS[:5]]
    rows += hourly(SUMMER, 7, 9, cups=other) + hourly(AUTUMN, 25)
    summaries = await database.load(DISTRIBUTOR + "".join(rows), register=True)
    assert [(each.readings, each.repeated, each.rejected) for each in summaries] == [
        (48, 5, 0),
        (24, 2, 0),
    ]
    assert "  repeated rows  5" in summary_lines(summaries[:1])
