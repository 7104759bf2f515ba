"""Databases of older layouts, taken over by a loader that is killed at ten moments."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage.common.errors import StorageError
from tests.resilience.readings import numbered_report
from tests.resilience.test_killed_loader import AFTER_ALL, Loaders
from tests.support.databases import DatabaseFixture, MariadbDatabase, Record
from tests.support.legacy_database import make_older, make_original
from tests.support.promises import Tried

pytestmark = [pytest.mark.promise("Bad nights"), pytest.mark.trust]

MOMENTS = 10
COUNT = 4500
"""Readings: a page is kept ready, and a part of one is left."""

KEPT = (
    "SELECT user, password, enabled, role, generation FROM users ORDER BY id",
    "SELECT jti, expires FROM revocations ORDER BY id",
    "SELECT reading_id, flags FROM flags ORDER BY reading_id",
    "SELECT id, file, sha256, new, changed FROM imports ORDER BY id",
)


@pytest.fixture
def loaders(database: DatabaseFixture) -> Iterator[Loaders]:
    started = Loaders(database.config)
    yield started
    started.end()


async def release_1_0(database: DatabaseFixture, report: str) -> list[Sequence[tuple[Any, ...]]]:
    """Make a database as release 1.0.0 left it; return what has to be kept besides readings."""
    database.drop()
    if not isinstance(database, MariadbDatabase):
        for file in (database.folder / "data").glob("*"):
            file.unlink()
    await database.load(report)
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        await writer.users.add("rick", "0" * 64)
    await database.rows("INSERT INTO revocations (jti, expires) VALUES ('revoked', 4000000000)")
    await database.rows("UPDATE readings SET energy = energy WHERE id = 1")
    make_older(database)
    return [await database.rows(sql) for sql in KEPT]


async def served(database: DatabaseFixture) -> list[Record] | None:
    """All readings as a server has them, None while it cannot serve."""
    try:
        return await database.records()
    except StorageError:
        return None


async def test_readings_of_release_1_0_survive_a_loader_that_is_killed_while_it_moves_them(
    database: DatabaseFixture, loaders: Loaders, tried: Tried
) -> None:
    report = database.file(numbered_report(COUNT, 1))
    await release_1_0(database, report)
    began = time.monotonic()
    assert loaders.killed_after(AFTER_ALL, report) == 0
    seconds = time.monotonic() - began
    killed = 0
    for moment in range(MOMENTS):
        kept = await release_1_0(database, report)
        before = await served(database)
        assert before is not None
        assert len(before) == COUNT
        killed += loaders.killed_after(seconds * (moment + 1) / (2 * MOMENTS), report) == -9
        assert await served(database) in (before, None)
        assert loaders.killed_after(AFTER_ALL, report) == 0
        assert await database.records() == before
        assert [await database.rows(sql) for sql in KEPT[:3]] == kept[:3]
        assert (await database.rows(KEPT[3]))[: len(kept[3])] == kept[3]
    tried(
        f"The loader is killed while it takes over a database of release 1.0.0, {database.kind}",
        killed,
        "no reading, id, flag, user or revocation lost, and the next run went on",
    )


async def test_readings_of_the_original_survive_a_loader_that_is_killed_while_it_moves_them(
    database: DatabaseFixture, loaders: Loaders, tried: Tried
) -> None:
    if not isinstance(database, MariadbDatabase):
        return
    report = database.file(numbered_report(COUNT, 1))

    def start_anew() -> None:
        database.drop()
        make_original(database, Path(report))

    start_anew()
    began = time.monotonic()
    assert loaders.killed_after(AFTER_ALL, report) == 0
    seconds = time.monotonic() - began
    killed = 0
    ids = "SELECT id, date, energy, power_factor FROM consumpdata ORDER BY id"
    users = "SELECT user, password FROM users"
    for moment in range(MOMENTS):
        start_anew()
        before, known = await database.rows(ids), await database.rows(users)
        killed += loaders.killed_after(seconds * (moment + 1) / (2 * MOMENTS), report) == -9
        assert loaders.killed_after(AFTER_ALL, report) == 0
        assert await database.rows(ids) == before
        assert set(known) <= set(await database.rows(users))
    tried(
        "The loader is killed while it takes over a database of the original, mariadb",
        killed,
        "no reading, id or user lost, and the next run went on",
    )
