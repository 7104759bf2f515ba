"""What all commands have in common: help, versions, errors."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.error_boundary import report_unexpected
from elecdata import MODULES, main
from tests.support.databases import SqliteDatabase
from tests.support.paths import ROOT

_CONTEXT = click.Context(main)
COMMANDS = {
    name: command
    for name in main.list_commands(_CONTEXT)
    if (command := main.get_command(_CONTEXT, name))
}
"""The commands of `elecdata`, by name."""
FULL = Path("/dev/full")
ELECDATA = str(ROOT / "bin" / "elecdata")
WITHIN = [
    f"{each} {name}"
    for each, command in COMMANDS.items()
    if isinstance(command, click.Group)
    for name in command.commands
]


def environment() -> dict[str, str]:
    """The environment of a shell without settings of ours, with the tests' own Python."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ELECDATA_")}
    # As `make PYTHON=...` exports it.
    return {**kept, "PYTHON": "/nonexistent/python3", "VENV_PYTHON": sys.executable}


def known_options(name: str, *names: str) -> set[str]:
    """The options of a command, and of one within it."""
    command = COMMANDS[name]
    params = list(command.params)
    if isinstance(command, click.Group):
        params += [param for name in names[:1] for param in command.commands[name].params]
    return {option for param in params for option in param.opts}


@pytest.mark.parametrize("typed", [*COMMANDS, *WITHIN])
def test_help_has_examples_that_the_command_takes(typed: str) -> None:
    for option in ("-h", "--help"):
        result = CliRunner().invoke(main, [*typed.split(), option])
        assert result.exit_code == 0
        assert "\x1b" not in result.output
    examples = result.output.partition("Example")[2].partition("Options:")[0]
    lines = re.findall(rf"elecdata ({typed}\b[^|<>\n]*)", examples)
    assert lines
    for line in lines:
        given = set(re.findall(r" (--?[a-z][a-z0-9-]*)", line))
        assert given <= known_options(*line.split()), line


@pytest.mark.parametrize("name", [[], *([name] for name in COMMANDS)])
def test_help_tells_the_exit_statuses(name: list[str]) -> None:
    output = CliRunner().invoke(main, [*name, "--help"]).output
    assert re.search(r"Status: 0 .*1 .*2 wrong command line", output, re.DOTALL)


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
@pytest.mark.parametrize(
    "command",
    [
        ["sample", "--readings", "5"],
        ["users", "--config", "CONFIG", "list", "--json"],
        ["load", "--config", "CONFIG", "--dry-run", "Monitoring_report.csv"],
        ["check", "--config", "CONFIG"],
    ],
    ids=lambda command: command[0],
)
def test_output_that_cannot_be_written_is_a_line_and_with_debug_a_traceback(
    tmp_path: Path, command: list[str]
) -> None:
    database = SqliteDatabase(tmp_path)
    words = [str(database.config) if word == "CONFIG" else word for word in command]

    def complaint(*more: str) -> str:
        with FULL.open("wb") as full:
            done = subprocess.run(  # noqa: S603 - this project's own programs
                [ELECDATA, *words, *more],
                cwd=ROOT,
                env=environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 1
        return done.stderr

    assert complaint() == "ERROR - No space left on device (use --debug for a traceback)\n"
    assert "Traceback" in complaint("--debug")


def test_what_nobody_has_foreseen_is_one_line() -> None:
    @click.command()
    @click.option("--debug", is_flag=True)
    def broken(*, debug: bool) -> None:
        with report_unexpected(debug=debug):
            raise LookupError("a fault\nof ours")

    result = CliRunner().invoke(broken)
    assert (result.exit_code, result.stderr) == (
        1,
        "ERROR - unexpected LookupError: a fault of ours (use --debug for a traceback)\n",
    )
    told = CliRunner().invoke(broken, ["--debug"]).stderr
    assert told.startswith("Traceback (most recent call last):\n")
    assert told.endswith("\nLookupError: a fault\nof ours\n")


def test_version_is_that_of_the_project(tmp_path: Path) -> None:
    """From any folder, and by the name under which `make` links the command."""
    link = tmp_path / "elecdata"
    link.symlink_to(ELECDATA)
    done = subprocess.run(  # noqa: S603 - this project's own program
        [link, "--version"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    version = re.search(r'(?m)^version = "(.+)"', (ROOT / "pyproject.toml").read_text())
    assert version is not None
    assert done.stdout == f"elecdata {version[1]}\n"
    assert f"\n## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("module", MODULES.values())
def test_each_command_runs_as_a_module_too(module: str) -> None:
    module = module.removesuffix(".__main__")
    done = subprocess.run(  # noqa: S603 - this project's own program
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"Usage: python -m {module} ")
