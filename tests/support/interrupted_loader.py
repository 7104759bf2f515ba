"""Run the loader, which sends itself a signal at a point that a test chooses.

    python -m tests.support.interrupted_loader SIGKILL "COMMIT" REPORT.csv

sends the signal before the first SQL statement that begins with the text, or, for a text such as
"block 3", before that batch of the report goes to the database.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import loader.rows.file_reader
from domain.report_source import RowBatch
from loader.__main__ import main
from loader.report import Report
from storage.backends.mysql.writer import MysqlWriteEngine
from storage.backends.sqlite.writer import SqliteWriteEngine

Statement = Callable[..., Any]


def stop_before(reached: Callable[[str], None]) -> None:
    """Call `reached` with each statement and batch before it goes to the database."""

    def announced(run: Statement) -> Statement:
        def statement(self: object, sql: str, args: Sequence[object] = ()) -> Any:
            reached(sql)
            return run(self, sql, args)

        return statement

    for engine in (MysqlWriteEngine, SqliteWriteEngine):
        for name in ("execute", "fetch", "post"):
            setattr(engine, name, announced(getattr(engine, name)))

    batches = Report.batches

    def numbered(self: Report) -> Iterator[RowBatch]:
        for number, block in enumerate(batches(self), 1):
            reached(f"block {number}")
            yield block

    setattr(Report, "batches", numbered)  # noqa: B010 - the name of a method


if __name__ == "__main__":
    stop = signal.Signals[sys.argv.pop(1)]
    moment = sys.argv.pop(1)

    def send(here: str) -> None:
        if here.startswith(moment):
            os.kill(os.getpid(), stop)

    loader.rows.file_reader.CHUNK_BYTES = 2**13
    stop_before(send)
    main(prog_name="loader")
