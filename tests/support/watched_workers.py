"""Run the loader with two worker processes, and print what each of them says.

    python -m tests.support.watched_workers REPORT.csv...

prints "ready" and waits for SIGUSR1 before it starts them. From then on, lines such as
`worker 4711: WorkerNotice.WAITS` come between those of the loader.
"""

import signal
from collections import deque

import loader.importer
from loader.__main__ import main
from loader.imports.plan import MeterImport
from loader.imports.workers import ImportWorkers, _ImportWorker


class WatchedWorkers(ImportWorkers):
    """Starts workers when it is told to, and prints their messages."""

    async def run(self, work: deque[MeterImport], workers: int) -> str | None:
        print("ready", flush=True)
        signal.sigwait({signal.SIGUSR1})
        return await super().run(work, workers)

    def _handle(self, message: object, worker: _ImportWorker) -> None:
        print(f"worker {worker._process.pid}: {message}", flush=True)
        super()._handle(message, worker)


if __name__ == "__main__":
    # In the threads that are yet to start as well, any of which could get it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    # However many processors there are.
    vars(loader.importer).update(ImportWorkers=WatchedWorkers, count_workers=lambda _: 2)
    main(prog_name="loader")
