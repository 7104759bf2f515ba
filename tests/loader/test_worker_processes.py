"""A load by worker processes of which one is killed, or that is stopped."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.loader.test_loader_command import ENVIRON
from tests.loader.test_many_meters import BY_NAME, counts, files, load
from tests.support.databases import DatabaseFixture
from tests.support.paths import ROOT
from tests.support.process import Process
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Bad nights")

NAMES = [f"meter-{number:02}" for number in range(1, 17)]
"""As many meters as give each worker several; with SQLite, two of these share a commit."""
BEFORE, AFTER = 4, 100
"""Readings of each meter before and after its report is loaded."""


class Load:
    """A load of the reports of all meters, by worker processes."""

    def __init__(self, database: DatabaseFixture) -> None:
        self.database = database
        self.paths = files(
            database, *(f"{name}_2" for name in NAMES),
            text=report(*numbered(quarters("2019-08-02", AFTER - BEFORE))),
        )  # fmt: skip
        command = [sys.executable, "-m", "tests.support.watched_workers"]
        self.process = Process(
            [*command, "--config", str(database.config), *self.paths], ROOT, ENVIRON
        )

    async def waiting_worker(self) -> int:
        """Return the process id of a worker, once it waits for the lock of a meter."""
        line = await asyncio.to_thread(self.process.wait_for_line, ": WorkerNotice.WAITS")
        (number,) = re.findall("worker ([0-9]+): ", line)
        return int(number)

    async def end(self) -> int:
        """Return the exit status, once neither the loader nor a worker holds its output open."""
        return await asyncio.to_thread(self.process.wait)

    def done(self) -> list[str]:
        """Return the meters whose report is loaded; no part of one is."""
        found = counts(self.database)
        assert set(found.values()) <= {BEFORE, AFTER}
        return [name for name in NAMES if found[name] == AFTER]

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold the lock of the last meter while workers run: with SQLite, it is that of all."""
        await asyncio.to_thread(self.process.wait_for_line, "ready")
        async with self.database.writer() as holder:
            assert await holder.engine.is_prepared()
            await holder.engine.begin(keeps_triggers=True)
            await holder.meters.lock(len(NAMES))
            self.process.process.send_signal(signal.SIGUSR1)
            yield
            await holder.engine.rollback()


@pytest.fixture
def loading(database: DatabaseFixture) -> DatabaseFixture:
    """A database with some readings of each meter."""
    database.configure(meter=BY_NAME)
    paths = files(
        database, *(f"{name}_1" for name in NAMES),
        text=report(*numbered(quarters("2019-08-01", BEFORE))),
    )  # fmt: skip
    assert load(database, "--register", *paths).exit_code == 0
    return database


async def test_report_of_a_killed_worker_is_named_and_the_others_are_loaded(
    loading: DatabaseFixture,
) -> None:
    """Another load completes it.

    Where meters share a commit, which none had reached, they are loaded one by one.
    """
    work = Load(loading)
    with work.process as process:
        async with work.held():
            os.kill(await work.waiting_worker(), signal.SIGKILL)
        status = await work.end()
        lines = process.said()
    done = work.done()
    assert status == (loading.kind == "mariadb")
    if loading.kind == "sqlite":
        assert done == NAMES
        return
    (lost,) = [n for n, name in enumerate(NAMES) if name not in done]
    error = f"{work.paths[lost]}: the process that imported it ended by signal 9: "
    assert any(line.startswith(error) for line in lines)
    assert lines[-1] == f"ERROR - 1 of {len(NAMES)} reports were not written"
    again = await asyncio.to_thread(load, loading, *work.paths)
    assert again.exit_code == 0
    assert work.done() == NAMES


async def test_ctrl_c_leaves_no_worker_and_keeps_what_was_committed(
    loading: DatabaseFixture,
) -> None:
    work = Load(loading)
    with work.process as process:
        async with work.held():
            await work.waiting_worker()
            process.process.send_signal(signal.SIGINT)
            assert await work.end() == 130
        done = work.done()
        assert bool(done) == (loading.kind == "mariadb")
        written = "nothing was written"
        if done:
            written = f"{len(done)} of {len(NAMES)} reports were written: load all again, which"
        assert process.lines[-1].startswith(f"Stopped; {written}")


async def test_killed_loader_leaves_no_worker(loading: DatabaseFixture) -> None:
    work = Load(loading)
    with work.process as process:
        async with work.held():
            await work.waiting_worker()
            process.process.kill()
            assert await work.end() == -signal.SIGKILL
            done = work.done()
        assert bool(done) == (loading.kind == "mariadb")
        again = await asyncio.to_thread(load, loading, *work.paths)
        assert again.exit_code == 0
        assert work.done() == NAMES
