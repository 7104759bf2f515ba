"""Console output of all commands: text, JSON, or errors only."""

import json
import sys
from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import Any, NoReturn

import click

from cli.error_boundary import report_unexpected
from cli.error_report import ErrorReport, FaultyReportsError, error_summary


class OutputMode(Enum):
    """For whom a command talks."""

    TEXT = "people"
    JSON = "scripts"
    QUIET = "nobody, unless something is wrong"


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options --json, --quiet and --debug, and what they make: its `output`."""

    @wraps(command)
    def with_output(*args: Any, as_json: bool, quiet: bool, debug: bool, **more: Any) -> None:
        if as_json and quiet:
            raise click.UsageError("--json and --quiet: expected one of them")
        mode = OutputMode.JSON if as_json else OutputMode.QUIET if quiet else OutputMode.TEXT
        with report_unexpected(debug=debug):
            command(*args, output=CommandOutput(mode, debug=debug), **more)

    for option in (
        click.option("--debug", is_flag=True, help="Show where in the program an error came up."),
        click.option("--quiet", is_flag=True, help="Print errors only."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts."),
    ):
        with_output = option(with_output)
    return with_output


class CommandOutput:
    """Prints what a command did."""

    def __init__(self, mode: OutputMode, *, debug: bool) -> None:
        self.mode = mode
        self._debug = debug

    def say(self, text: str) -> None:
        """A line for people."""
        if self.mode is OutputMode.TEXT:
            click.echo(text)

    def give(self, document: object) -> None:
        """What scripts get, once."""
        if self.mode is OutputMode.JSON:
            click.echo(json.dumps(document, ensure_ascii=False))

    def print_errors(self, errors: ErrorReport) -> None:
        """What is wrong in the reports; scripts get it with all the rest."""
        if self.mode is OutputMode.JSON:
            return
        for error in errors.shown:
            click.echo(error, err=True)
        if more := errors.count - len(errors.shown):
            click.echo(f"... and {more} more", err=True)

    def fail(self, error: Exception) -> NoReturn:
        """Says what went wrong and ends with status 1."""
        if self._debug:
            raise error
        if isinstance(error, FaultyReportsError):
            self.print_errors(error.errors)
            text, errors = f"{error}; nothing was written", error.errors
        else:
            text, errors = str(error), ErrorReport()
        self.give({"ok": False, "error": text, "faults": error_summary(errors)})
        click.echo(f"ERROR - {text}", err=True)
        sys.exit(1)


def stopped(what: str = "") -> NoReturn:
    """Says that Ctrl-C was heard and ends with the status that shells expect then."""
    click.echo(f"Stopped{what}", err=True)
    sys.exit(130)
