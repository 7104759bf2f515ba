"""What all commands of the terminal have in common."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.error_boundary import report_unexpected
from loader.__main__ import main as loader
from loader.backup import main as backup
from loader.sample import main as sample
from loader.users import main as users
from server.__main__ import main as server
from tests.support.databases import SqliteDatabase
from tests.support.paths import ROOT

COMMANDS: dict[str, click.Command] = {
    "loader": loader,
    "loader.backup": backup,
    "loader.sample": sample,
    "loader.users": users,
    "server": server,
}
FULL = Path("/dev/full")


WITHIN = [
    f"{module} {name}"
    for module, command in COMMANDS.items()
    if isinstance(command, click.Group)
    for name in command.commands
]


def known_options(module: str, *names: str) -> set[str]:
    """The options of a command, and of one within it."""
    command = COMMANDS[module]
    params = list(command.params)
    if isinstance(command, click.Group):
        params += [param for name in names[:1] for param in command.commands[name].params]
    return {option for param in params for option in param.opts}


@pytest.mark.parametrize("typed", [*COMMANDS, *WITHIN])
def test_help_has_examples_that_the_command_takes(typed: str) -> None:
    module, *names = typed.split()
    for option in ("-h", "--help"):
        result = CliRunner().invoke(COMMANDS[module], [*names, option])
        assert result.exit_code == 0
        assert "\x1b" not in result.output
    examples = result.output.partition("Example")[2].partition("Options:")[0]
    lines = re.findall(rf"python -m ({typed}\b[^|<>\n]*)", examples)
    assert lines
    for line in lines:
        given = set(re.findall(r" (--?[a-z][a-z-]*)", line))
        assert given <= known_options(*line.split()), line


@pytest.mark.parametrize("module", COMMANDS)
def test_help_tells_the_exit_statuses(module: str) -> None:
    output = CliRunner().invoke(COMMANDS[module], ["--help"]).output
    assert re.search(r"Status: 0 .*1 .*2 wrong command line", output, re.DOTALL)


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
@pytest.mark.parametrize(
    "command",
    [
        ["loader.sample", "--readings", "5"],
        ["loader.users", "--config", "CONFIG", "list", "--json"],
        ["loader", "--config", "CONFIG", "--dry-run", "Monitoring_report.csv"],
        ["server", "--config", "CONFIG", "--check"],
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
                [sys.executable, "-m", *words, *more],
                cwd=ROOT,
                env={k: v for k, v in os.environ.items() if not k.startswith("ELECDATA_")},
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 1
        return done.stderr

    assert complaint() == "ERROR - No space left on device (--debug shows where it came up)\n"
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
        "ERROR - unexpected LookupError: a fault of ours (--debug shows where it came up)\n",
    )
    assert isinstance(CliRunner().invoke(broken, ["--debug"]).exception, LookupError)
