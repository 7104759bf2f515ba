"""The repeated hour in reports with faulty rows, or with rows in an unusual order."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.report_factory import MADRID, numbered, quarters, report, row
from tests.support.report_formats import WORKSHOP_HEADING, Reading, reading, workshop


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    return reading(tmp_path)


NIGHT = quarters("2019-10-27", 100)
REASON = (
    "expected no invalid row in the repeated hour: only the order of its rows tells its two passes "
    "apart"
)


def test_second_pass_far_below_the_first_gets_the_offset_that_is_left(read: Reading) -> None:
    """As in a report in the order of ids whose second pass was imported later."""
    order = [*NIGHT[:12], *NIGHT[16:], *quarters("2019-11-01", 8), *NIGHT[12:16]]
    done = read(report(*map(row, order)))
    assert not done.row_errors
    assert done.times[-4:] == [(f"2019-10-27 02:{minute:02}:00", 1) for minute in (0, 15, 30, 45)]
    assert {hours for time, hours in done.times[8:12]} == {2}


@pytest.mark.parametrize("bad", range(8, 16))
@pytest.mark.parametrize("wrong", ["value", "date"])
def test_faulty_row_takes_the_whole_repeated_hour_with_it(
    read: Reading, bad: int, wrong: str
) -> None:
    """Without it, a partner would pass for a reading of the other pass."""
    rows = numbered(NIGHT)
    faulty = row(NIGHT[bad], "many") if wrong == "value" else "no row at all\n"
    done = read(report(*rows[:bad], faulty, *rows[bad + 1 :]), skip_bad_rows=True)
    assert done.report.rejected == 8
    assert sum(REASON in error for error in done.row_errors) == 7
    expected = [line if n != bad - 8 else faulty for n, line in enumerate(rows[8:16])]
    assert b"".join(raw + b"\n" for raw in done.rejected).decode() == "".join(expected)
    assert [hours for _, hours in done.times] == [2] * 8 + [1] * 84


@pytest.mark.parametrize(("bad", "lost"), [(3, 1), (6, 1), (17, 1), (30, 1)])
def test_faulty_row_elsewhere_leaves_the_repeated_hour_alone(
    read: Reading, bad: int, lost: int
) -> None:
    rows = numbered(NIGHT)
    for faulty in (row(NIGHT[bad], "many"), "no row at all\n"):
        done = read(report(*rows[:bad], faulty, *rows[bad + 1 :]), skip_bad_rows=True)
        assert done.report.rejected == lost


def test_faulty_row_at_the_top_of_the_repeated_hour_takes_it_along(read: Reading) -> None:
    rows = numbered(NIGHT[8:])
    done = read(report("no row at all\n", *rows), skip_bad_rows=True)
    assert done.report.rejected == 9
    other = read(report(row("1 Aug 2019 00:00:00", "x"), row(NIGHT[0]), *rows), skip_bad_rows=True)
    assert other.report.rejected == 1


@pytest.mark.parametrize(("bad", "lost"), [(2, 1), (3, 8), (10, 8), (11, 1)])
def test_faulty_row_of_another_format_takes_the_repeated_hour_along_only_from_within(
    read: Reading, bad: int, lost: int
) -> None:
    ends = [
        datetime(2019, 10, 26, 23, 15, tzinfo=UTC) + timedelta(minutes=15) * n for n in range(16)
    ]
    lines = [f"{end.astimezone(MADRID):%d.%m.%y %H:%M};;1;\n" for end in ends]
    lines[bad] = lines[bad].replace(";1;", ";one;")
    text = WORKSHOP_HEADING + "".join(lines)
    done = read(text, workshop(), skip_bad_rows=True, encoding="latin-1")
    assert done.report.rejected == lost
    assert done.report.readings == 16 - lost


EITHER = "expected rows from before this hour, or times with their UTC offset: it occurs twice"


@pytest.mark.parametrize("first", [8, 10])
@pytest.mark.parametrize("behind", [0, 6])
def test_report_that_begins_in_one_pass_of_the_hour_is_refused(
    read: Reading, first: int, behind: int
) -> None:
    """Taken for the first pass, the second one would correct the readings of the first."""
    rows = [*NIGHT[first:12], *NIGHT[16 : 16 + behind]]
    done = read(report(*map(row, rows)), skip_bad_rows=True)
    assert done.report.rejected == 12 - first
    assert sum(EITHER in error for error in done.row_errors) == 12 - first
    assert [hours for _, hours in done.times] == [1] * behind


@pytest.mark.parametrize("first", [7, 0])
def test_report_that_begins_before_the_hour_has_its_first_pass(read: Reading, first: int) -> None:
    done = read(report(*map(row, [*NIGHT[first:12], *NIGHT[16:20]])))
    assert not done.row_errors
    assert [hours for _, hours in done.times] == [2] * (12 - first) + [1] * 4


@pytest.mark.parametrize("first", [8, 10])
def test_report_that_begins_in_the_hour_and_has_both_passes_is_right(
    read: Reading, first: int
) -> None:
    done = read(report(*map(row, NIGHT[first:])))
    assert not done.row_errors
    assert [hours for _, hours in done.times] == [2] * (12 - first) + [1] * 88
