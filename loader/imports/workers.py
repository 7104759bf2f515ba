"""The worker processes of an import, seen from their parent."""

import asyncio
import os
import pickle
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path
from typing import Self

from loader.imports.messages import LENGTH, ImportOrder, WorkerNotice
from loader.imports.outcome import ImportOutcome
from loader.imports.plan import MeterImport, PlannedReport
from loader.imports.transaction import ImportOptions
from loader.report_file import PackedPart
from loader.rows.file_reader import containing_file
from settings import Settings

_AHEAD = 2
"""Groups of imports that a worker has: the one that it is at, and the next."""

MAX_GROUP = 16
"""Imports of a group."""
MAX_GROUP_BYTES = 2**18
"""Bytes of the reports of a group that has several imports."""
GROUPS_PER_WORKER = 4
"""Groups that each worker gets at least, so that all end at about the same time."""

_STOP_SECONDS = 10.0
"""Seconds until a worker that does not stop is killed."""


MAX_WORKERS = 8

MIN_SECONDS = 1.5
"""Seconds of work that are worth to start workers."""
_SECONDS_PER_IMPORT = 0.003
_SECONDS_PER_BYTE = 1.2e-7
_COMPRESSED = ".gz", ".zip", ".xlsx"
"""What the names of compressed files end with."""
_COMPRESSION_RATIO = 6
"""Of a usual report."""


class WorkerEndedError(Exception):
    """A worker process ended before it was to."""


class ImportWorkers:
    """Runs imports in worker processes, of which none outlives this one, however it ends."""

    def __init__(
        self,
        settings: Settings,
        format_name: str | None,
        options: ImportOptions,
        *,
        commits_together: bool,
        on_outcome: Callable[[ImportOutcome], None],
        on_wait: Callable[[], None],
    ) -> None:
        """If the database has imports commit together, workers do them in groups."""
        self._settings = settings
        self._format_name = format_name
        self._options = options
        self._commits_together = commits_together
        self._on_outcome = on_outcome
        self._on_wait = on_wait
        self._work: deque[MeterImport]
        self._alone: deque[MeterImport] = deque()
        """Imports of groups whose worker has ended, to be done one by one."""
        self._too_large: list[MeterImport] = []
        self._group_size = 1
        self._error: str | None = None

    async def run(self, work: deque[MeterImport], workers: int) -> str | None:
        """Take imports and run them; return the error if the database fails, which ends that.

        A worker that ends is replaced; the import that it was at has failed. Those of parts that
        are too large to be handed over are left.
        """
        self._work = work
        if self._commits_together:
            share = len(work) // (workers * GROUPS_PER_WORKER)
            self._group_size = max(1, min(share, MAX_GROUP))
        with ExitStack() as files:
            turns = files.enter_context(tempfile.TemporaryFile())
            # Nothing is written: a worker that reads it learns that this process has ended.
            parent, end = os.pipe()
            files.callback(os.close, parent)
            files.callback(os.close, end)
            order = ImportOrder(
                self._settings, self._format_name, self._options, parent, turns.fileno()
            )
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._keep_busy(order))
        work.extendleft(reversed((*self._alone, *self._too_large)))
        return self._error

    @property
    def _has_work(self) -> bool:
        return bool(self._alone or self._work) and self._error is None

    async def _keep_busy(self, order: ImportOrder) -> None:
        """Run a worker, and replace it if it ends, until no work is left."""
        while self._has_work:
            worker = await _ImportWorker.start(order)
            try:
                while self._hand_out(worker):
                    self._handle(await worker.receive(), worker)
            except WorkerEndedError as error:
                self._take_back(worker, error)
            except asyncio.CancelledError:
                worker.interrupt()
                with suppress(WorkerEndedError, TimeoutError):
                    async with asyncio.timeout(_STOP_SECONDS):
                        while True:
                            self._handle(await worker.receive(), worker)
                raise
            finally:
                await worker.stop()

    def _hand_out(self, worker: "_ImportWorker") -> bool:
        """Give a worker enough to do; return whether it has anything to do."""
        while self._has_work and len(worker.work) < _AHEAD:
            if group := self._next_group():
                worker.send(group)
        return bool(worker.work)

    def _next_group(self) -> list[MeterImport]:
        """Take imports that a worker is to do together; none if all that were left are too large.

        Those of a worker that has ended are done alone, so that none makes others fail again.
        """
        if self._alone:
            return [self._alone.popleft()]
        group: list[MeterImport] = []
        size = 0
        while self._work and len(group) < self._group_size:
            work = self._work.popleft()
            packed = work.packed()
            if packed is None:
                self._too_large.append(work)
                continue
            size += sum(_size(report.path, report) for report in packed.reports)
            if group and size > MAX_GROUP_BYTES:
                self._work.appendleft(packed)
                break
            group.append(packed)
        return group

    def _handle(self, message: object, worker: "_ImportWorker") -> None:
        if message is WorkerNotice.WAITS:
            self._on_wait()
        elif message is WorkerNotice.COMMITS:
            worker.is_committing = True
        elif isinstance(message, list):
            worker.is_committing = False
            worker.work.popleft()
            for outcome in message:
                if outcome.is_fatal:
                    self._error = outcome.error
                self._on_outcome(outcome)

    def _take_back(self, worker: "_ImportWorker", error: WorkerEndedError) -> None:
        """Take back the work of a worker that has ended, except what it may have written."""
        groups = worker.work
        if not worker.has_started:
            self._error = f"a process for the import could not start: it {error}"
        elif groups and (len(groups[0]) == 1 or worker.is_committing):
            for work in groups.popleft():
                paths = ", ".join(report.path for report in work.reports)
                text = (
                    f"{paths}: the process that imported it {error}: whether it was written is not"
                    " known: load it again, which does no harm"
                )
                outcome = ImportOutcome()
                outcome.fail(work, WorkerEndedError(text))
                self._on_outcome(outcome)
        self._alone.extend(chain.from_iterable(groups))


def count_workers(work: Collection[MeterImport]) -> int:
    """Return how many workers do imports the fastest; 0 if this process does."""
    files = {containing_file(report.path): report for each in work for report in each.reports}
    size = sum(_size(path, report) for path, report in files.items())
    seconds = len(work) * _SECONDS_PER_IMPORT + size * _SECONDS_PER_BYTE
    if seconds < MIN_SECONDS:
        return 0
    return min(len(os.sched_getaffinity(0)), len(work), MAX_WORKERS)


def _size(path: str, report: PlannedReport) -> int:
    """Return about how many bytes the reports of a file have."""
    if isinstance(report.part, PackedPart):
        return report.part.size
    try:
        size = Path(path).stat().st_size
    except OSError:
        return 0
    return size * _COMPRESSION_RATIO if path.endswith(_COMPRESSED) else size


class _ImportWorker:
    """A worker process."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._orders = process.stdin
        self._messages = process.stdout
        self.work: deque[list[MeterImport]] = deque()
        """The groups of imports that it has, first the one that it is at."""
        self.is_committing = False
        self.has_started = False

    @classmethod
    async def start(cls, order: ImportOrder) -> Self:
        """Start a process."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "loader.imports.worker",
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=(order.parent, order.turns),
            # A terminal's Ctrl-C goes to the parent only, which stops its workers.
            start_new_session=True,
        )
        worker = cls(process)
        worker._orders.write(pickle.dumps(order))
        return worker

    def send(self, group: list[MeterImport]) -> None:
        """Let the worker do a group of imports, once it has done those before."""
        self.work.append(group)
        self._orders.write(pickle.dumps(group))

    async def receive(self) -> object:
        """Return the next message; raise WorkerEndedError if the process ends instead."""
        try:
            (length,) = LENGTH.unpack(await self._messages.readexactly(LENGTH.size))
            message: object = pickle.loads(  # noqa: S301 - the worker alone can write there
                await self._messages.readexactly(length)
            )
        except (asyncio.IncompleteReadError, ConnectionError):
            raise WorkerEndedError(await self._end()) from None
        self.has_started = True
        return message

    async def _end(self) -> str:
        """Return how the process ended."""
        status = await self._process.wait()
        return f"ended by signal {-status}" if status < 0 else f"ended with status {status}"

    def interrupt(self) -> None:
        """Ask the process to end: what it has not committed is rolled back."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        self._orders.close()

    async def stop(self) -> None:
        """Let the process end, or kill it."""
        self._orders.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
