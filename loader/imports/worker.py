"""A worker process that imports the reports of one meter after the other.

It reads what to do from its standard input, and writes outcomes to its standard output.
"""

import asyncio
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import uvloop

from loader.formats.registry import format_by_name, known_formats
from loader.imports.messages import LENGTH, ImportOrder, WorkerNotice
from loader.imports.outcome import ImportOutcome
from loader.imports.plan import MeterImport
from loader.imports.transaction import ReportImporter
from storage.factory import open_importer


def main() -> None:
    """Import reports until standard input ends."""
    order: ImportOrder = pickle.load(sys.stdin.buffer)  # noqa: S301 - the parent alone can write there
    threading.Thread(target=_end_with, args=[order.parent], daemon=True).start()
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with suppress(asyncio.CancelledError, BrokenPipeError), loop as runner:
        runner.run(_work(order, _sender()))


def _end_with(parent: int) -> None:
    """End at once when the parent has ended; the database rolls back what is not committed."""
    os.read(parent, 1)
    os._exit(1)


def _sender() -> Callable[[object], None]:
    """Return what sends a message; whatever else is printed goes to standard error."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: object) -> None:
        content = pickle.dumps(message)
        messages.write(LENGTH.pack(len(content)) + content)
        messages.flush()

    return send


async def _work(order: ImportOrder, send: Callable[[object], None]) -> None:
    is_stopping = False
    task = asyncio.current_task()

    def stop() -> None:
        nonlocal is_stopping
        is_stopping = True
        assert task is not None
        task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    send(WorkerNotice.STARTED)
    database = open_importer(order.settings, turns=order.turns)
    database.engine.on_wait = lambda: send(WorkerNotice.WAITS)
    known = known_formats(order.settings, order.options.interval)
    name = order.format_name
    formats = known if name is None else [format_by_name(known, name)]
    importer = ReportImporter(order.settings, database, formats, order.options)
    try:
        while not is_stopping and (work := _receive()) is not None:
            send(await _attempt(importer, work, lambda: send(WorkerNotice.COMMITS)))
    finally:
        await database.engine.close()


async def _attempt(
    importer: ReportImporter, work: list[MeterImport], on_commit: Callable[[], None]
) -> list[ImportOutcome]:
    try:
        return await importer.attempt(work, on_commit)
    except Exception as error:  # noqa: BLE001 - the parent prints it as one line
        if len(work) > 1:
            # Nothing was written: alone, the others may be.
            return [
                outcome for each in work for outcome in await _attempt(importer, [each], on_commit)
            ]
        outcome = ImportOutcome()
        text = " ".join(str(error).split())
        outcome.fail(work[0], RuntimeError(f"unexpected {type(error).__name__}: {text}"))
        return [outcome]


def _receive() -> list[MeterImport] | None:
    """Return the next group of imports, None after the last."""
    try:
        work: list[MeterImport] = pickle.load(sys.stdin.buffer)  # noqa: S301 - as in `main`
    except EOFError:
        return None
    return work


if __name__ == "__main__":
    main()
