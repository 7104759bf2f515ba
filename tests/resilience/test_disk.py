"""A disk that is full while a report is loaded."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.common.errors import StorageError
from tests.resilience.readings import READINGS, assert_kept_whole, numbered_report
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.mariadb import MariaDB

pytestmark = [pytest.mark.promise("Bad nights", by_test=True), pytest.mark.trust]

MIB = 2**20
ROOM = MIB
MORE = 100_000
"""Readings that need more room than there is."""


def mount(*options: str) -> None:
    """Mounts a small disk in memory, or says why not."""
    mounting = shutil.which("mount")
    if mounting is None:
        pytest.skip("this machine has no mount")
    done = subprocess.run(  # noqa: S603 - a program of this machine's own
        [mounting, "-t", "tmpfs", *options], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"this account may not mount: {done.stderr.strip()}")


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Path]:
    """A disk of so many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    mount("-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        unmounting = shutil.which("umount")
        assert unmounting is not None
        subprocess.run([unmounting, str(folder)], check=True)  # noqa: S603 - what was mounted


def resize(folder: Path, size: int) -> None:
    mount("-o", f"remount,size={size}", "tmpfs", str(folder))


@pytest.fixture(params=["sqlite", "mariadb"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[DatabaseFixture, Path]]:
    """A loaded database on a disk that is nearly full, and where that is."""
    if request.param == "sqlite":
        database = SqliteDatabase(tmp_path)
        with disk(database.path.parent, 64 * MIB) as folder:
            yield nearly_full(database, folder), folder
        return
    program = request.getfixturevalue("mariadb").program
    server = MariaDB(program)
    with disk(server.folder, 1024 * MIB) as folder:
        server.start()
        yield nearly_full(MariadbDatabase(tmp_path, server), folder), folder
        server.stop()
    # Not before, as nobody can remove the place that something is mounted at.
    server._folder.cleanup()


def nearly_full(database: DatabaseFixture, folder: Path) -> DatabaseFixture:
    asyncio.run(database.load(numbered_report(READINGS)))
    resize(folder, shutil.disk_usage(folder).used + ROOM)
    return database


def test_nothing_is_written_readings_are_served_and_room_mends_it(
    small: tuple[DatabaseFixture, Path],
) -> None:
    database, folder = small
    report = numbered_report(MORE, 100_001)
    for _ in range(2):
        with pytest.raises(StorageError) as told:
            asyncio.run(database.load(report, allow_corrections=True))
        assert any(word in str(told.value) for word in ("full", "space", "No space"))
        asyncio.run(assert_kept_whole(database))
    resize(folder, shutil.disk_usage(folder).used + 512 * MIB)
    asyncio.run(database.load(report, allow_corrections=True))
    asyncio.run(assert_kept_whole(database, MORE, 100_001))
