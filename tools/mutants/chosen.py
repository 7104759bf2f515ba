"""A plugin of pytest that runs the tests that a file lists, in its order, and names a failure."""

import json
import os
from pathlib import Path

import pytest

LIST = "MUTANTS_CHOSEN"
"""The variable that names the file with the tests."""
FAILED = "MUTANTS_FAILED"
"""The variable that names the file for the test that failed."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Chooses and orders them, after pytest has put together those that share a fixture."""
    known = {item.nodeid: item for item in items}
    chosen = json.loads(Path(os.environ[LIST]).read_text())
    items[:] = [known[name] for name in chosen if name in known]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keeps the name of a test that failed."""
    if report.failed:
        Path(os.environ[FAILED]).write_text(report.nodeid)
