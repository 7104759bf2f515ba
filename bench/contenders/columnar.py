"""Columnar engines in process behind a bare handler: today's ClickHouse (chDB), and DuckDB."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contenders.http import HttpContender
from bench.datasets import Dataset
from bench.measure import Sample
from bench.paths import BENCH_PYTHON, WORK, MissingError
from bench.process import Server, timed

TITLES = {"chdb": "chDB", "duckdb": "DuckDB"}
ANSWERS = {engine: f"{title}, JSON" for engine, title in TITLES.items()}
IMPORTS = {engine: f"{title}, unchecked" for engine, title in TITLES.items()}
_MODULE = [str(BENCH_PYTHON), "-m", "bench.baselines.columnar_engine"]


@dataclass(frozen=True, slots=True)
class Table:
    """An engine's table of a report, as that of each of some meters."""

    engine: str
    report: Path
    name: str
    meters: int = 1

    @property
    def folder(self) -> Path:
        """The engine's files, which stay between runs."""
        return WORK / self.engine / self.name

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())

    def fill(self) -> Sample:
        """Load the report anew."""
        require(self.engine)
        shutil.rmtree(self.folder, ignore_errors=True)
        draft = self.folder.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.parent.mkdir(parents=True, exist_ok=True)
        meters = f"--meters={self.meters}"
        command = [*_MODULE, "load", self.engine, str(draft), str(self.report), meters]
        seconds, peak = timed(command)
        draft.replace(self.folder)
        return Sample(seconds, peak=peak)


def table_of(engine: str, dataset: Dataset) -> Table:
    """Return the table of a dataset."""
    return Table(engine, dataset.report, dataset.schema)


def require(engine: str) -> None:
    """Raise MissingError unless an engine is installed."""
    found = subprocess.run(
        [str(BENCH_PYTHON), "-c", f"import {engine}"], check=False, capture_output=True
    )
    if found.returncode:
        raise MissingError(f"{engine} is not installed")


class ColumnarServer(Server):
    """An engine that answers questions about its table, see `bench.baselines.columnar_engine`."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.name = table.engine
        self._table = table

    def command(self) -> Sequence[str]:
        if not self._table.folder.exists():
            self._table.fill()
        folder = str(self._table.folder)
        return [*_MODULE, "serve", self._table.engine, folder, f"--port={self.port}"]


@dataclass(frozen=True, slots=True)
class ColumnarImport:
    """An engine's own import of the report, typed, from the start of its process to the end."""

    table: Table

    @property
    def name(self) -> str:
        """The name in the tables."""
        return IMPORTS[self.table.engine]

    def run(self) -> Sample:
        """Import into a new table."""
        return self.table.fill()


def engine_milliseconds(head: bytes) -> float | None:
    """Return how long the engine itself took, from the head of an answer."""
    found = re.search(rb"engine;dur=([\d.]+)", head)
    return float(found[1]) if found else None


def contender(engine: str, dataset: Dataset) -> HttpContender:
    """Return the contender for all readings."""
    require(engine)
    table = table_of(engine, dataset)
    return HttpContender(
        ANSWERS[engine], lambda: ColumnarServer(table), "/readings", dataset.readings
    )
