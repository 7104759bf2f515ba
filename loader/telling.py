"""How the commands of the loader tell what they did: in words, in JSON, or only what went wrong."""

import json
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from loader.importer import Faults, FaultyReportsError, Summary
from settings.unforeseen import unforeseen


class Form(Enum):
    """For whom a command talks."""

    TEXT = "people"
    JSON = "scripts"
    QUIET = "nobody, unless something is wrong"


def told(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options --json, --quiet and --debug, and what they make: its teller."""

    @wraps(command)
    def telling(*args: Any, as_json: bool, quiet: bool, debug: bool, **more: Any) -> None:
        if as_json and quiet:
            raise click.UsageError("--json and --quiet: expected one of them")
        form = Form.JSON if as_json else Form.QUIET if quiet else Form.TEXT
        with unforeseen(debug=debug):
            command(*args, teller=Teller(form, debug=debug), **more)

    for option in (
        click.option("--debug", is_flag=True, help="Show where in the program an error came up."),
        click.option("--quiet", is_flag=True, help="Print errors only."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts."),
    ):
        telling = option(telling)
    return telling


class Teller:
    """Prints what a command did."""

    def __init__(self, form: Form, *, debug: bool) -> None:
        self.form = form
        self._debug = debug

    def say(self, text: str) -> None:
        """A line for people."""
        if self.form is Form.TEXT:
            click.echo(text)

    def give(self, document: object) -> None:
        """What scripts get, once."""
        if self.form is Form.JSON:
            click.echo(json.dumps(document, ensure_ascii=False))

    def faults(self, faults: Faults) -> None:
        """What is wrong in the reports; scripts get it with all the rest."""
        if self.form is Form.JSON:
            return
        for fault in faults.shown:
            click.echo(fault, err=True)
        if more := faults.count - len(faults.shown):
            click.echo(f"... and {more} more", err=True)

    def fail(self, error: Exception) -> NoReturn:
        """Says what went wrong and ends with status 1."""
        if self._debug:
            raise error
        if isinstance(error, FaultyReportsError):
            self.faults(error.faults)
            text, faults = f"{error}; nothing was written", error.faults
        else:
            text, faults = str(error), Faults()
        self.give({"ok": False, "error": text, "faults": found(faults)})
        click.echo(f"ERROR - {text}", err=True)
        sys.exit(1)


def stopped(what: str = "") -> NoReturn:
    """Says that Ctrl-C was heard and ends with the status that shells expect then."""
    click.echo(f"Stopped{what}", err=True)
    sys.exit(130)


def results(summaries: Sequence[Summary], faults: Faults, *, dry_run: bool) -> dict[str, object]:
    """What became of reports."""
    reports = [_report(summary) for summary in summaries]
    return {"ok": True, "written": not dry_run, "reports": reports, "faults": found(faults)}


def found(faults: Faults) -> dict[str, object]:
    """How many faults there are, and the first of them."""
    return {"count": faults.count, "shown": faults.shown}


def _report(summary: Summary) -> dict[str, object]:
    report, imported = summary.report, summary.imported
    first, last = report.span or (None, None)
    return {
        "report": report.name,
        "format": None if report.fitting is None else report.fitting.layout.name,
        "interval": report.interval,
        "readings": report.readings,
        "new": imported and imported.new,
        "changed": imported and imported.changed,
        "unchanged": imported and imported.unchanged,
        "flags": imported and dict(imported.flags),
        "missing": report.missing,
        "rejected": report.rejected,
        "rejected_to": _text(summary.rejected_to),
        "first": first,
        "last": last,
        "seconds": round(summary.seconds, 3),
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else click.format_filename(path)
