"""The command `elecdata`: serve, load, users and the others under one name."""

import importlib
from pathlib import Path

import click

from cli.commands import EscapingGroup
from server import VERSION

MODULES = {
    "serve": "server.__main__",
    "inspect": "loader.inspect",
    "load": "loader.__main__",
    "meters": "loader.meters",
    "users": "loader.users",
    "groups": "loader.access.groups",
    "grants": "loader.access.grants",
    "keys": "loader.access.keys",
    "backup": "loader.backup",
    "audit": "loader.audit",
    "sample": "loader.sample",
}
"""The commands and the modules that hold them; each can also be run by `python -m`."""


class _LazyGroup(EscapingGroup):
    """A group that imports a command's module only when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*MODULES, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MODULES:
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(MODULES[cmd_name]).main
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, message="elecdata %(version)s")
def main() -> None:
    """Store electricity meter readings and serve them over HTTP.

    \b
    Examples:
      elecdata load Monitoring_report.csv
      elecdata serve
      elecdata check

    \b
    Status: 0 success, 1 failure, 2 wrong command line, 130 stopped by Ctrl-C.
    """


@main.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: config.yaml in the project's folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
@click.pass_context
def check(context: click.Context, config: Path | None, *, as_json: bool, debug: bool) -> None:
    """Check everything that the server needs, without starting it.

    Prints one line per check: OK, WARN with advice, or FAIL. Nothing is changed.

    \b
    Examples:
      elecdata check
      elecdata check --config /etc/elecdata/config.yaml
      elecdata check --json | jq .ok

    \b
    Status: 0 the server can start, 1 it cannot, 2 wrong command line.
    """
    serve = importlib.import_module(MODULES["serve"]).main
    context.invoke(serve, config=config, check=True, as_json=as_json, debug=debug)


if __name__ == "__main__":
    main(prog_name="elecdata")
