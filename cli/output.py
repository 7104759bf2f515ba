"""Console output of all commands: text, JSON, or errors only."""

import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import wraps
from typing import Any, NoReturn

import click

from cli.error_boundary import report_unexpected
from cli.error_report import ErrorReport, FaultyReportsError, error_summary
from cli.printing import print_json, print_json_with_items, print_line, printable

WAITING = "Waiting for another import to finish"


class OutputMode(Enum):
    """How a command prints its results."""

    TEXT = "text"
    JSON = "JSON"
    QUIET = "errors only"


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options --json, --quiet and --debug, and pass the command its output as `output`."""

    @wraps(command)
    def with_output(*args: Any, as_json: bool, quiet: bool, debug: bool, **more: Any) -> None:
        if as_json and quiet:
            raise click.UsageError("--json and --quiet cannot be combined")
        mode = OutputMode.JSON if as_json else OutputMode.QUIET if quiet else OutputMode.TEXT
        with report_unexpected(debug=debug):
            command(*args, output=CommandOutput(mode, debug=debug), **more)

    for option in (
        click.option("--debug", is_flag=True, help="Show a traceback on errors."),
        click.option("--quiet", is_flag=True, help="Print errors only."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts."),
    ):
        with_output = option(with_output)
    return with_output


class CommandOutput:
    """Prints the results of a command."""

    def __init__(self, mode: OutputMode, *, debug: bool) -> None:
        self.mode = mode
        self._debug = debug

    def say(self, text: str) -> None:
        """Print a line in text mode."""
        if self.mode is OutputMode.TEXT:
            print_line(text)

    def give(self, document: Mapping[str, object], reports: Iterable[object] | None = None) -> None:
        """Print the JSON document in JSON mode, with the reports in it one by one."""
        if self.mode is not OutputMode.JSON:
            return
        if reports is None:
            print_json(document)
        else:
            print_json_with_items(document, "reports", reports)

    def print_errors(self, errors: ErrorReport) -> None:
        """Print the errors in the reports; JSON output has them in its document."""
        if self.mode is OutputMode.JSON:
            return
        for error in errors.shown:
            print_line(error, err=True)
        if more := errors.count - len(errors.shown):
            print_line(f"... and {more} more", err=True)

    def fail(
        self,
        error: Exception,
        errors: ErrorReport | None = None,
        reports: Iterable[object] | None = None,
    ) -> NoReturn:
        """Print the error, after others, and exit with status 1."""
        if self._debug:
            raise error
        text = str(error)
        if isinstance(error, FaultyReportsError):
            text, errors = f"{error}; nothing was written", error.errors
        if errors is not None:
            self.print_errors(errors)
        faults = error_summary(errors or ErrorReport())
        self.give({"ok": False, "error": text, "faults": faults}, reports)
        print_line(f"ERROR - {text}", err=True)
        sys.exit(1)


def confirm(question: str) -> None:
    """Ask a question on the terminal, and exit with status 1 if the answer is no."""
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked without a terminal, use --yes")
    try:
        is_wanted = click.confirm(printable(question))
    except click.Abort:
        stopped()
    if not is_wanted:
        print_line("Nothing was changed", err=True)
        sys.exit(1)


def stopped(what: str = "") -> NoReturn:
    """Report Ctrl-C and exit with status 130, as shells expect."""
    print_line(f"Stopped{what}", err=True)
    sys.exit(130)
