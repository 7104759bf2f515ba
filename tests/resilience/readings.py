"""Readings whose energy is their number, so that one lost or doubled is seen."""

from collections.abc import Sequence

from tests.support.databases import DatabaseFixture, Record
from tests.support.report_factory import numbered, quarters, report

READINGS = 2000


def numbered_report(count: int, first: int = 1) -> str:
    """A report of so many readings from 2019 on, numbered.

    They are not in order of time, or else the energies would be taken for those of a register.
    """
    times = quarters("2019-01-01", count)
    times.insert(0, times.pop(12))
    return report(*numbered(times, first))


def assert_whole(records: Sequence[Record], count: int = READINGS, first: int = 1) -> None:
    """Fails where a reading is lost, doubled or another one."""
    found = [(record["id"], record["energy"]) for record in records]
    assert found == [(str(n + 1), f"{n + first}.00000") for n in range(count)]


async def assert_kept_whole(
    database: DatabaseFixture, count: int = READINGS, first: int = 1
) -> None:
    """The same of what a database holds, and no moment stands twice."""
    assert_whole(await database.records(), count, first)
    rows = await database.rows("SELECT COUNT(*), COUNT(DISTINCT utc) FROM readings")
    assert rows == ((count, count),) or rows == [(count, count)]
