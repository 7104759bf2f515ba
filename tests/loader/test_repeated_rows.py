"""Rows that are there twice: the same ones are passed over, others of the same time are refused."""

import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import loader.formats.delimited.day_marks
import loader.rows.file_reader
from cli.error_report import FaultyReportsError
from domain.time.local_time import DUPLICATE_TIME, OTHER_ZONE_TIME
from loader.formats.registry import SHIPPED_FORMATS
from loader.rows.reader import RowReader
from loader.summary import summary_lines
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import HEADING, row
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


def local_times() -> list[datetime]:
    """Half hours of the night on which clocks go back, and hours of the day after."""
    night = [datetime(2019, 10, 27, hour, minute) for hour in (1, 2, 2, 3) for minute in (0, 30)]  # noqa: DTZ001 - local time
    return night + [datetime(2019, 10, 28, hour) for hour in range(12)]  # noqa: DTZ001 - as above


NIGHT = 8
"""Times of the night, of which the order tells their passes: no row comes in between."""

LOCAL = [f"{at:%d.%m.%y %H:%M};1;{number};ok\n" for number, at in enumerate(local_times())]
OWN = [row(f"{at:%-d %b %Y %H:%M:%S}", f"{n}.5") for n, at in enumerate(local_times())]
OWN_USUAL = [line.replace(".5,,,,,,,", ".500" + ",1.000" * 7) for line in OWN]

Kind = tuple[str, list[str], int, Callable[[str], str]]
KINDS: list[Kind] = [
    (DISTRIBUTOR, HOURS, 0, lambda text: text.replace(";R", "1;R")),
    (WORKSHOP_HEADING, LOCAL, NIGHT, lambda text: text.replace(";ok", ",5;ok")),
    (HEADING, OWN, NIGHT, lambda text: text.replace(".5,", ".6,")),
    (HEADING, OWN_USUAL, NIGHT, lambda text: text.replace(".500,", ".501,")),
]
FORMATS = [*SHIPPED_FORMATS, workshop(encoding="utf-8")]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chance=st.randoms(use_true_random=False),
    number=st.integers(0, 40),
    kind=st.sampled_from(KINDS),
    skipping=st.booleans(),
    size=st.sampled_from([60, 2**20]),
)
def test_rows_that_are_the_same_are_passed_over_wherever_they_are(
    read: Reading, chance: random.Random, number: int, kind: Kind, skipping: bool, size: int
) -> None:
    heading, rows, begin, changed = kind
    mixed = rows[begin:] if begin else chance.sample(rows, len(rows))
    repeats = []
    # Other zones repeat the other hours of the night.
    known = rows[begin // 4 : begin * 3 // 4] + rows[begin:]
    for text in chance.choices(known, k=number):
        repeat = changed(text) if chance.random() < 0.2 else text
        at = mixed.index(text) + 1 if text in mixed else len(mixed)
        mixed.insert(chance.randint(at, len(mixed)), repeat)
        repeats.append(repeat)
    report = heading + "".join([*rows[:begin], *mixed])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader.rows.file_reader, "CHUNK_BYTES", size)
        patch.setattr(loader.formats.delimited.day_marks, "MAX_MARK_BYTES", size)
        done = read(report, *FORMATS, skip_bad_rows=skipping)
    others = [repeat for repeat in repeats if repeat not in rows]
    assert sorted(raw.decode() + "\n" for raw in done.rejected) == sorted(others)
    assert all(DUPLICATE_TIME in error for error in done.row_errors)
    lines = report.splitlines(keepends=True)
    found = [int(error.partition(":")[0]) for error in done.row_errors]
    assert found == [line for line, text in enumerate(lines, 1) if text in others]
    assert (done.report.readings, done.report.repeated) == (len(rows), number - len(others))
    if skipping or not others:
        plain = read(heading + "".join(rows), *FORMATS)
        assert sorted(each[1:] for each in done.rows) == sorted(each[1:] for each in plain.rows)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (
            HEADING
            + "".join(row(f"29 Oct 2023 0{hour}:00:00", "0") for hour in (0, 1, 2, 3, 3, 4)),
            6,
        ),
        (
            WORKSHOP_HEADING
            + "".join(f"29.10.23 0{hour}:00;1;0;ok\n" for hour in (0, 1, 1, 2, 3, 4)),
            4,
        ),
        (
            WORKSHOP_HEADING
            + "".join(f"05.11.23 0{hour}:00;1;0;ok\n" for hour in (0, 1, 1, 2, 3, 4)),
            4,
        ),
    ],
)
def test_second_pass_of_an_hour_in_another_zone_is_no_repeated_row(
    read: Reading, text: str, first: int
) -> None:
    """Also if it has the same values: its readings would be lost, and all others be wrong."""
    done = read(text, *FORMATS)
    (error,) = done.row_errors
    assert error.startswith(f"{first}: ")
    assert error.endswith(f"expected {OTHER_ZONE_TIME}")


async def test_report_that_changes_before_it_is_compared_is_refused(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(database.file(HEADING + OWN[8] + OWN[8]))
    real = RowReader.finish

    def finish(rows: RowReader[Any]) -> None:
        real(rows)
        path.write_text(HEADING + OWN[9] + OWN[9])

    monkeypatch.setattr(RowReader, "finish", finish)
    with pytest.raises(FaultyReportsError) as caught:
        await database.load(path)
    assert caught.value.errors.shown == [f"{path}: changed while it was read: load it again"]


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
