"""Worker processes that serve one address."""

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

from server.observability.worker_snapshots import WorkerSnapshots
from server.process.reload import reload

log = logging.getLogger("server")

PARENT = "parent"
"""A file in the shared folder with the process id of the parent."""

_RESTART_SECONDS = 1.0


async def run_workers(count: int, port: int, config: Path | None, shared: Path) -> bool:
    """Run workers until a signal stops them, and return whether all of them ended well.

    Each listens on the port itself, and the kernel distributes the connections: from a single
    queue, the first to wake would take them all. A worker that dies is replaced; one that can't
    start ends them all. SIGHUP is passed on to them. They exchange metrics through the shared
    folder.
    """
    (shared / PARENT).write_text(str(os.getpid()))
    workers = _Supervisor(port, config, shared)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, workers.stop.set)
    loop.add_signal_handler(signal.SIGHUP, workers.reload)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(workers.supervise()) for _ in range(count)]
    return all(worker.result() for worker in running)


class _Supervisor:
    """Starts, replaces, signals and stops the workers."""

    def __init__(self, port: int, config: Path | None, shared: Path) -> None:
        self.stop = asyncio.Event()
        self._port = port
        self._config = config
        self._shared = shared
        self._running: set[Process] = set()

    def reload(self) -> None:
        """Reload in every process."""
        reload(self._config)
        for worker in self._running:
            worker.send_signal(signal.SIGHUP)

    async def supervise(self) -> bool:
        """Run a worker, and replace it if it dies; return whether the last one ended well."""
        while True:
            worker = await self._start_worker()
            self._running.add(worker)
            code = await self._wait(worker)
            self._running.remove(worker)
            if self.stop.is_set() or code == 1:
                self.stop.set()
                # A worker that was starting has no handler for either signal yet.
                return code in (0, -signal.SIGTERM, -signal.SIGHUP)
            await asyncio.to_thread(WorkerSnapshots(self._shared).merge_ended, worker.pid)
            # SIGHUP ended it before it had a handler: the next one reads the new configuration.
            if code != -signal.SIGHUP:
                log.error("worker %d ended with status %d and is replaced", worker.pid, code)
                await asyncio.sleep(_RESTART_SECONDS)

    async def _wait(self, worker: Process) -> int:
        ended = asyncio.create_task(worker.wait())
        stopped = asyncio.create_task(self.stop.wait())
        await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        if self.stop.is_set() and worker.returncode is None:
            worker.terminate()
        code = await ended
        stopped.cancel()
        return code

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
            # A terminal's Ctrl-C goes to the parent only, which stops its workers.
            start_new_session=True,
        )
