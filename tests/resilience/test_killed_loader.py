"""A loader that is killed at any moment, a hundred times."""

import random
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.resilience.readings import assert_kept_whole, numbered_report
from tests.support.databases import DatabaseFixture
from tests.support.paths import ROOT
from tests.support.promises import Tried

pytestmark = [pytest.mark.promise("Bad nights"), pytest.mark.trust]

KILLS = 100
COUNT = 4500
"""Readings of each report: pages are kept ready, and a part of one is left."""

FIRST = (1, 100_001)
"""What the numbers of each report begin with."""

AFTER_ALL = 1e6


class Loaders:
    """Starts loaders and kills them."""

    def __init__(self, config: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the program under test
            [sys.executable, "-m", "tests.resilience.killed_loader", str(config)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def killed_after(self, seconds: float, report: str) -> int:
        """How the loader of a report ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds} {report}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture
def loaders(database: DatabaseFixture) -> Iterator[Loaders]:
    started = Loaders(database.config)
    yield started
    started.end()


async def test_no_reading_is_lost_or_doubled_and_the_next_import_works(
    database: DatabaseFixture, loaders: Loaders, tried: Tried
) -> None:
    reports = [database.file(numbered_report(COUNT, n), f"report-{n}.csv") for n in FIRST]
    await database.load(reports[0])
    seconds = AFTER_ALL
    for report in (reports[1], reports[0], reports[1]):
        began = time.monotonic()
        assert loaders.killed_after(AFTER_ALL, report) == 0
        seconds = min(seconds, time.monotonic() - began)
    seed = secrets.randbits(32)
    print(f"seed {seed}, an import takes {seconds:.2f} s")  # shown where the test fails
    moments = random.Random(seed)  # noqa: S311 - moments, and no secrets
    there = 1
    killed = written = 0
    while killed < KILLS:
        other = 1 - there
        status = loaders.killed_after(moments.uniform(0, seconds), reports[other])
        assert status in (0, -9)
        killed += status == -9
        rows = await database.rows("SELECT MIN(energy) FROM readings")
        least = round(rows[0][0] / (100_000 if database.kind == "sqlite" else 1))
        if least == FIRST[other]:
            there = other
            written += status == -9
        assert status == -9 or there == other
        await assert_kept_whole(database, COUNT, FIRST[there])
    assert loaders.killed_after(AFTER_ALL, reports[1 - there]) == 0
    await assert_kept_whole(database, COUNT, FIRST[1 - there])
    tried(
        f"The loader is killed at random moments, {database.kind}",
        killed,
        f"{killed - written} left the readings as they were, {written} came after the commit;"
        " none lost or doubled, and the next import worked",
    )
