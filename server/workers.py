"""Several processes that serve one address."""

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

from server.colleagues import Colleagues

log = logging.getLogger("server")

PARENT = "parent"
"""A file in the shared folder with the number of the process that starts the workers."""

_BETWEEN_STARTS = 1.0


async def run_workers(count: int, port: int, config: Path | None, shared: Path) -> bool:
    """Runs workers until a signal stops them; whether all of them ended well.

    Each listens on the port itself, and the kernel shares out the connections: from a single
    queue, the first to wake would take them all. A worker that dies is replaced; one that says
    why it cannot start ends them all. In the shared folder they tell each other how they stand.
    """
    (shared / PARENT).write_text(str(os.getpid()))
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with asyncio.TaskGroup() as group:
        workers = [
            group.create_task(_keep_running(port, config, shared, stop)) for _ in range(count)
        ]
    return all(worker.result() for worker in workers)


async def _keep_running(port: int, config: Path | None, shared: Path, stop: asyncio.Event) -> bool:
    while True:
        worker = await _started(port, config, shared)
        ended = asyncio.create_task(worker.wait())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and worker.returncode is None:
            worker.terminate()
        code = await ended
        stopped.cancel()
        if stop.is_set() or code == 1:
            stop.set()
            return code in (0, -signal.SIGTERM)
        await asyncio.to_thread(Colleagues(shared).ended, worker.pid)
        log.error("worker %d ended with status %d and is replaced", worker.pid, code)
        await asyncio.sleep(_BETWEEN_STARTS)


async def _started(port: int, config: Path | None, shared: Path) -> Process:
    options = [] if config is None else ["--config", str(config)]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "server",
        *options,
        "--worker-port",
        str(port),
        "--shared",
        str(shared),
        # A terminal's Ctrl-C is for the parent, which tells its workers.
        start_new_session=True,
    )
