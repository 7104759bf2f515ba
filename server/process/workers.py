"""Worker processes that serve one address, and the parent that replaces those that die."""

import asyncio
import logging
import os
import pickle
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from server.observability.worker_snapshots import WorkerSnapshots
from server.process.reload import Running
from server.security.signing_keys import SigningKeys
from settings import Settings

log = logging.getLogger("server")

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 3.0
"""Seconds until a worker that could not start is tried again: the pause doubles each time."""

_START_SECONDS = 60.0
"""Seconds until a worker that has not reported is replaced, besides its wait for the database."""

_STOP_SECONDS = 75.0
"""Seconds until a worker that does not stop is killed: running responses may take 60."""

_SERVING = "serving\n"
"""What a worker writes to its standard output once it listens; otherwise, why it can't."""


class StartError(Exception):
    """The server can't start; the text is one line that says why."""


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What a worker reads from its standard input.

    It has the settings that all others run with: config.yaml may have changed since, or be half
    saved.
    """

    settings: Settings
    keys: SigningKeys
    parent: int
    is_replacement: bool
    """Whether others have served: then it does not wait for the database, as they don't."""

    @classmethod
    def receive(cls) -> "WorkerOrder":
        """Return the order that the parent has sent."""
        order: WorkerOrder = pickle.load(sys.stdin.buffer)  # noqa: S301 - the parent alone can write there
        return order


def worker_report() -> Callable[[str], bool]:
    """Return what reports to the parent, once; it returns whether this was the first time.

    Whatever else is printed goes to the log's stream.
    """
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def report(problem: str) -> bool:
        if reports.closed:
            return False
        with suppress(OSError), reports:
            reports.write(" ".join(problem.split()) + "\n" if problem else _SERVING)
        return True

    return report


async def run_workers(running: Running, port: int, config: Path | None, shared: Path) -> bool:
    """Run workers until a signal stops them, and return whether all of them ended well.

    Each listens on the port itself, and the kernel distributes the connections: from a single
    queue, the first to wake would take them all. SIGHUP is passed on to them. They exchange
    metrics through the shared folder.

    Raise StartError if one can't start before any has served. From then on, one that dies is
    replaced, and one that can't start is tried again and again.
    """
    workers = _Supervisor(running, port, config, shared)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, workers.stop.set)
    loop.add_signal_handler(signal.SIGHUP, workers.reload)
    async with asyncio.TaskGroup() as group:
        count = running.settings.server.workers
        tasks = [group.create_task(workers.supervise()) for _ in range(count)]
    if workers.start_error is not None:
        raise workers.start_error
    return all(task.result() for task in tasks)


@dataclass(frozen=True, slots=True)
class _WorkerEnd:
    """How a worker ended, and why it never served, if it did not."""

    name: str
    code: int
    problem: str = ""
    has_served: bool = False


class _Supervisor:
    """Starts, replaces, signals and stops the workers."""

    def __init__(self, running: Running, port: int, config: Path | None, shared: Path) -> None:
        self.stop = asyncio.Event()
        self.start_error: StartError | None = None
        self._running = running
        self._port = port
        self._config = config
        self._shared = shared
        self._workers: set[Process] = set()
        self._has_served = False
        self._problem = ""
        """Why workers can't start, as it was logged last."""

    def reload(self) -> None:
        """Reload in every process, unless it fails here."""
        if self._running.reload():
            for worker in self._workers:
                # One that has just ended is still among them.
                with suppress(ProcessLookupError):
                    worker.send_signal(signal.SIGHUP)

    async def supervise(self) -> bool:
        """Run a worker, and replace it if it dies; return whether the last one ended well."""
        pause = _FIRST_PAUSE
        while True:
            end = await self._run_worker()
            if self.stop.is_set():
                # A worker that was starting has no handler for either signal yet.
                return end.code in (0, -signal.SIGTERM, -signal.SIGHUP)
            if end.code == 1 and not self._has_served:
                self.start_error = StartError(end.problem)
                self.stop.set()
                return False
            # SIGHUP ended it before it had a handler: the next one has the new configuration.
            if end.code == -signal.SIGHUP:
                continue
            self._log_end(end)
            if end.has_served:
                pause = _FIRST_PAUSE
            await self._pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run_worker(self) -> _WorkerEnd:
        """Run a worker until it ends."""
        try:
            worker = await self._start_worker()
        except OSError as error:
            return _WorkerEnd("a worker", 1, f"{sys.executable}: {error}")
        self._workers.add(worker)
        stopping = asyncio.create_task(self._stop_worker(worker))
        try:
            report = await self._follow(worker)
            code = await worker.wait()
        finally:
            self._workers.remove(worker)
            stopping.cancel()
        await self._merge_metrics(worker.pid)
        name = f"worker {worker.pid}"
        if report == _SERVING:
            return _WorkerEnd(name, code, has_served=True)
        return _WorkerEnd(name, code, report.rstrip() or f"it ended with status {code}")

    async def _follow(self, worker: Process) -> str:
        """Send a worker its order; return what it reported, once it ends."""
        assert worker.stdin is not None
        assert worker.stdout is not None
        order = WorkerOrder(
            self._running.settings, self._running.keys, os.getpid(), self._has_served
        )
        patience = _START_SECONDS + (0 if order.is_replacement else order.settings.database.wait)
        try:
            async with asyncio.timeout(patience):
                # It may have ended.
                with suppress(ConnectionError):
                    worker.stdin.write(pickle.dumps(order))
                    await worker.stdin.drain()
                worker.stdin.close()
                report = (await worker.stdout.readline()).decode()
        except TimeoutError:
            _kill(worker)
            return f"it did not start in {patience:g} s"
        if report == _SERVING:
            self._has_served = True
            if self._problem:
                log.warning("workers start again: worker %d serves", worker.pid)
                self._problem = ""
        return report

    def _log_end(self, end: _WorkerEnd) -> None:
        """Log that a worker is replaced; what keeps workers from starting is logged once."""
        if end.has_served:
            log.error("%s ended with status %d and is replaced", end.name, end.code)
        elif end.problem != self._problem:
            log.error("%s cannot start and is tried again: %s", end.name, end.problem)
            self._problem = end.problem

    async def _stop_worker(self, worker: Process) -> None:
        """Stop a worker when the service stops; kill one that does not, until this is cancelled."""
        await self.stop.wait()
        with suppress(ProcessLookupError):
            worker.terminate()
        await asyncio.sleep(_STOP_SECONDS)
        log.error("worker %d did not stop in %g s and is killed", worker.pid, _STOP_SECONDS)
        _kill(worker)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the service stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stop.wait()

    async def _merge_metrics(self, worker: int) -> None:
        try:
            await asyncio.to_thread(WorkerSnapshots(self._shared).merge_ended, worker)
        except (OSError, ValueError) as error:
            log.error("the metrics of worker %d are lost: %s", worker, error)

    async def _start_worker(self) -> Process:
        options = [] if self._config is None else ["--config", str(self._config)]
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "server",
            *options,
            "--worker-port",
            str(self._port),
            "--shared",
            str(self._shared),
            stdin=PIPE,
            stdout=PIPE,
            # A terminal's Ctrl-C goes to the parent only, which stops its workers.
            start_new_session=True,
        )


def _kill(worker: Process) -> None:
    # It may have ended.
    with suppress(ProcessLookupError):
        worker.kill()
