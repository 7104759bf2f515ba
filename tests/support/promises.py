"""The promises that tests try, and a table of their outcomes.

A test with the mark `promise` shows what a paragraph promises; one that takes long has the mark
`trust` too, and runs in `make trust` only. What is the same with each database has the mark
`one_database`: it is tried with SQLite, and in `make trust` with MariaDB too.

There each of them has a row in the table: a module's tests share the one that its docstring heads,
or with `by_test=True` each test has its own, which its name heads. The fixture `tried` gives other
rows, with how often and with what outcome.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

PARAGRAPHS = ("Getting in", "Bad input", "Bad nights", "Seeing", "Running it")

AS_PROMISED = "as promised"

_PROMISED = "promised"
_TRIED = "tried"


class Tried(Protocol):
    """Adds a row to the table: what was tried, how often, and the outcome."""

    def __call__(self, what: str, times: int = 1, outcome: str = AS_PROMISED) -> None: ...


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Tried:
    """Return the function that a test calls at its end, after its last assertion."""

    def tell(what: str, times: int = 1, outcome: str = AS_PROMISED) -> None:
        request.node.user_properties.append((_TRIED, (what, times, outcome)))

    return tell


class Row(NamedTuple):
    """A row of the table, without its count."""

    paragraph: str
    what: str
    outcome: str


@dataclass(frozen=True, eq=False)  # pytest puts its plugins into sets
class Table:
    """The rows in their order, each with its count."""

    rows: dict[Row, int]
    file: Path
    began: float

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the outcome of a test."""
        noted: list[tuple[str, Any]] = report.user_properties
        told = [value for name, value in noted if name == _TRIED]
        promises = [value for name, value in noted if name == _PROMISED]
        paragraph, what = promises[0] if promises else ("", "")
        if report.failed:
            self._add(Row(paragraph, report.nodeid, "**failed**"))
        elif report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            self._add(Row(paragraph, report.nodeid, f"left out: {reason}"), 0)
        elif report.when == "call":
            for row, times, outcome in told or [(what, 1, AS_PROMISED)]:
                self._add(Row(paragraph, row, outcome), times)

    def _add(self, row: Row, times: int = 1) -> None:
        self.rows[row] = self.rows.get(row, 0) + times

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, and write it to a file."""
        text = "\n".join(_lines(self.rows, time.monotonic() - self.began))
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(f"# Trust\n\n{text}\n")
        terminalreporter.section(f"what was tried, see {self.file}")
        terminalreporter.write_line(text)


def _lines(rows: dict[Row, int], seconds: float) -> Iterator[str]:
    """Yield the lines of the table in Markdown."""
    for paragraph in PARAGRAPHS:
        some = [row for row in rows if row.paragraph == paragraph]
        if some:
            yield from (f"## {paragraph}", "", "| tried | times | outcome |", "|---|---|---|")
            yield from (f"| {row.what} | {rows[row]:,} | {row.outcome} |" for row in some)
            yield ""
    failed = sum(row.outcome == "**failed**" for row in rows)
    tried = f"{sum(rows.values()):,} tries in {seconds / 60:.0f} min"
    yield f"{tried}, {failed} failed" if failed else f"{tried}, none failed"


def pytest_configure(config: pytest.Config) -> None:
    """Register the table if the tests of `make trust` are selected."""
    for line in (
        "promise(paragraph, by_test): shows what a paragraph promises; `make trust` runs it too",
        "trust: takes long, and runs in `make trust` only",
        "one_database: is the same with each database; with MariaDB it runs in `make trust` only",
    ):
        config.addinivalue_line("markers", line)
    if _is_asked(config) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(
            Table({}, config.rootpath / "var" / "trust.md", time.monotonic())
        )


def pytest_report_header(config: pytest.Config) -> str:
    """Return a header line about what is left out, and why."""
    if _is_asked(config):
        return "trust: every promise is tried, for minutes"
    return "trust: tests that take minutes are left out; `make trust` runs them (-m promise)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect long tests, unless they are selected by their marks."""
    for item in items:
        mark = item.get_closest_marker("promise")
        if mark is not None:
            (paragraph,) = mark.args
            if paragraph not in PARAGRAPHS:
                raise pytest.UsageError(f"{item.nodeid}: no paragraph is called {paragraph!r}")
            what = _name(item) if mark.kwargs.get("by_test") else _heading(item)
            item.user_properties.append((_PROMISED, (paragraph, what)))
        elif item.get_closest_marker("trust"):
            raise pytest.UsageError(f"{item.nodeid}: a test with the mark trust promises something")
    if not _is_asked(config):
        long = [item for item in items if _is_long(item)]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not _is_long(item)]


def _is_long(item: pytest.Item) -> bool:
    """Return whether a test runs in `make trust` only."""
    if item.get_closest_marker("trust"):
        return True
    callspec = getattr(item, "callspec", None)
    with_mariadb = callspec is not None and "mariadb" in callspec.params.values()
    return with_mariadb and item.get_closest_marker("one_database") is not None


def _name(item: pytest.Item) -> str:
    """Return the name of a test in words, without its parameters."""
    name = item.name.partition("[")[0].removeprefix("test_").replace("_", " ")
    return name[:1].upper() + name[1:]


def _heading(item: pytest.Item) -> str:
    """Return the first line of the docstring of a test's module."""
    module = item.getparent(pytest.Module)
    assert module is not None
    lines: Sequence[str] = (module.obj.__doc__ or module.name).strip().splitlines()
    return lines[0].rstrip(".")


def _is_asked(config: pytest.Config) -> bool:
    """Return whether tests are selected by these marks."""
    chosen = config.option.markexpr
    return "promise" in chosen or "trust" in chosen
