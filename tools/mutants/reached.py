"""A plugin of pytest that notes which test runs which lines.

What a fixture runs that several tests share counts for each of them, and a process that a test
starts counts for that test.
"""

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import coverage
import pytest

FOLDER = "MUTANTS_REACHED"
"""The variable that names the folder for what is noted."""
_TEST = "MUTANTS_TEST"
_CONFIGURATION = """\
[run]
data_file = {folder}/lines
context = ${{{test}-}}
parallel = true
relative_files = true
source = {source}
disable_warnings = no-data-collected, module-not-imported, module-not-measured
"""


def configure(folder: Path, source: list[str]) -> None:
    """Lays the configuration of coverage.py into the folder for what is noted."""
    text = _CONFIGURATION.format(folder=folder, test=_TEST, source=",".join(source))
    (folder / "coverage.ini").write_text(text)


def fixture(name: str, index: int) -> str:
    """What a shared fixture is called among the tests."""
    return f"fixture {name} {index}"


class Reached:
    """Notes the tests of one process, beside the lines that coverage.py notes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        configuration = str(folder / "coverage.ini")
        os.environ["COVERAGE_PROCESS_START"] = configuration
        self._lines = coverage.Coverage(config_file=configuration)
        self._lines.start()
        self._tests: dict[str, dict[str, Any]] = {}
        self._failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Notes what runs meanwhile as the test's."""
        callspec = getattr(item, "callspec", None)
        indices = callspec.indices if callspec else {}
        names = getattr(item, "fixturenames", ())
        shared = [fixture(name, indices.get(name, 0)) for name in names]
        self._tests[item.nodeid] = {"seconds": 0.0, "fixtures": shared}
        self._switch(item.nodeid)
        try:
            return (yield)
        finally:
            self._switch("")

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Lets processes of tests that keep the environment count for all of a file's tests."""
        os.environ[_TEST] = collector.nodeid
        try:
            return (yield)
        finally:
            os.environ[_TEST] = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Notes what a shared fixture runs as the fixture's."""
        outer = os.environ.get(_TEST, "")
        if fixturedef.scope != "function":
            self._switch(fixture(fixturedef.argname, getattr(request, "param_index", 0)))
        try:
            return (yield)
        finally:
            self._switch(outer)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes how long a test took, and whether it passed."""
        if report.nodeid in self._tests:
            self._tests[report.nodeid]["seconds"] += report.duration
        if not report.passed:
            self._failed.add(report.nodeid)

    def pytest_unconfigure(self) -> None:
        """Keeps what was noted."""
        self._lines.stop()
        self._lines.save()
        passed = {name: test for name, test in self._tests.items() if name not in self._failed}
        (self._folder / f"tests-{os.getpid()}.json").write_text(json.dumps(passed))

    def _switch(self, context: str) -> None:
        os.environ[_TEST] = context
        self._lines.switch_context(context)


def pytest_configure(config: pytest.Config) -> None:
    """Notes in the processes that run tests."""
    if config.getoption("numprocesses", None) is None or hasattr(config, "workerinput"):
        config.pluginmanager.register(Reached(Path(os.environ[FOLDER])))
