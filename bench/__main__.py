"""The command `python -m bench`."""

import resource
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from bench.contenders.service import count_middlewares
from bench.machine import facts
from bench.paths import RESULTS, ROOT, WORK, MissingError
from bench.plot import draw
from bench.process import FailedError
from bench.report import checks_table, write_json, write_markdown, write_readme
from bench.suites import long_run, short_run
from bench.targets import missed
from bench.workspace import open_workspace

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
README_SIZE = 1_000_000
"""Readings that the README's table is about."""


_middlewares_option = click.option(
    "--middlewares",
    type=click.IntRange(1),
    help="Empty middlewares of the bare handler. Default: as many as the service has.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Compare the service with its peers and its limits."""
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "logs").mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, _interrupt)
    # Thousands of connections at once need as many files, here and in the servers.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@main.command()
@click.option("--readings", type=click.IntRange(10_000), multiple=True, default=SIZES)
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True)
@_middlewares_option
def full(readings: Sequence[int], rounds: int, middlewares: int | None) -> None:
    """Measure all contenders at all sizes; write results.* and the README's table."""
    say = _ProgressLog()
    with open_workspace(middlewares or count_middlewares()) as workspace:
        outcome = long_run(workspace, sorted(readings), rounds, say)
    machine = facts()
    write_json(RESULTS / "results.json", outcome, machine)
    write_markdown(RESULTS / "results.md", outcome, machine)
    draw([RESULTS / "results.svg", RESULTS / "results.png"], outcome.answers)
    if README_SIZE in outcome.answers:
        write_readme(ROOT / "README.md", outcome.answers[README_SIZE])
    click.echo((RESULTS / "results.md").read_text())


@main.command()
@click.option("--readings", type=click.IntRange(100_000), default=1_000_000, show_default=True)
@_middlewares_option
def quick(readings: int, middlewares: int | None) -> None:
    """Check the targets; fail if one is missed by more than a tenth."""
    say = _ProgressLog()
    with open_workspace(middlewares or count_middlewares()) as workspace:
        outcome = short_run(workspace, readings, say)
    write_json(WORK / "quick.json", outcome, facts())
    click.echo(checks_table(outcome.checks))
    for comparison in outcome.answers.values():
        for name, reason in comparison.left_out.items():
            click.echo(f"left out: {name}: {reason}")
    if broken := missed(outcome.checks):
        click.echo(f"{len(broken)} missed by more than a tenth", err=True)
        sys.exit(1)


class _ProgressLog:
    """Prints each step with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._start:6.0f} s  {text}", err=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Stop as Ctrl-C does, so that every process that was started ends as well."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        main(prog_name="python -m bench")
    except (MissingError, FailedError) as error:
        click.echo(f"ERROR - {error}", err=True)
        sys.exit(1)
