"""Paths of the benchmarks."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "var" / "bench"
"""Files that the benchmarks create: reports, tables, logs, programs."""
RESULTS = ROOT / "bench"

SERVICE_PYTHON = ROOT / ".venv" / "bin" / "python"
"""Runs the service and its loader, as `make run` does."""
BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
"""Runs the peers."""


class MissingError(Exception):
    """A program is not installed, so its contenders are left out."""


def program(name: str) -> str:
    """Return the path of a program; raise MissingError if it is not installed."""
    beside = BENCH_PYTHON.with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise MissingError(f"{name} is not installed")
    return found
