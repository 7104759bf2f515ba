"""The marks of readings take little memory however many there are, and none is lost."""

import tracemalloc
from random import Random
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from domain.time.time_zone import DAY_SECONDS
from loader.formats.delimited import day_marks
from loader.formats.delimited.placed_starts import PlacedStarts
from loader.rows.spool import Spool

UTC = ZoneInfo("UTC")
STEP = 300


def most_bytes(days: int) -> int:
    """The most that the marks of so many days take in memory."""
    spool = Spool("report.csv")
    starts = PlacedStarts(UTC, np.uint64, spool)
    times = np.arange(0, DAY_SECONDS, STEP)
    marks = np.full(len(times), 7, np.uint64)
    starts.add_all(times, marks)  # which other days share
    tracemalloc.start(1)
    try:
        for day in range(1, days + 1):
            starts.add_all(times + day * DAY_SECONDS, marks)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        spool.close()
    return most


def test_memory_does_not_grow_with_the_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_marks, "MAX_MARK_BYTES", 2**16)
    more = most_bytes(500) - most_bytes(100)
    # What is kept is where the marks of a day are, instead of the 2,304 bytes that they have.
    assert more < 400 * 1000


def test_marks_that_were_written_are_found_again_in_any_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(day_marks, "MAX_MARK_BYTES", 4096)
    spool = Spool("report.csv")
    starts = PlacedStarts(UTC, np.uint64, spool)
    chance = Random(17)  # noqa: S311 - the same in each run
    # Some lie beside all usual times of day.
    times = [chance.randrange(60) * DAY_SECONDS + chance.randrange(48) * 1777 for _ in range(3000)]
    known: dict[int, int] = {}
    for mark, start in enumerate(times, 1):
        assert starts.add(start, mark)[2] == known.get(start, 0)
        known.setdefault(start, mark)
    _, are_new = starts.add_all(np.array(times[:100]), np.ones(100, np.uint64))
    assert not are_new.any()
    found = [start + second for start, seconds in starts.runs() for second in seconds]
    assert found == sorted(known)
    spool.close()
