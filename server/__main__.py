"""The command `python -m server`."""

import asyncio
import sys
from pathlib import Path

import click

from cli.commands import EscapingCommand
from cli.error_boundary import report_unexpected
from cli.printing import print_json, print_line
from server.observability.checks import run_checks
from server.observability.findings import (
    Finding,
    findings_document,
    format_lines,
    has_failures,
)
from server.process.serve import run, run_worker


@click.command(cls=EscapingCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: config.yaml in the project's folder.",
)
@click.option("--check", is_flag=True, help="Check everything the server needs; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --check: print one JSON object.")
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
@click.option("--worker-port", type=int, hidden=True)
@click.option("--shared", type=click.Path(path_type=Path), hidden=True)
@click.option("--welcome", "greet", is_flag=True, help="Print URL, login and example requests.")
def main(
    config: Path | None,
    *,
    check: bool,
    as_json: bool,
    debug: bool,
    worker_port: int | None,
    shared: Path | None,
    greet: bool,
) -> None:
    """Serve the readings over HTTP until SIGTERM or Ctrl-C; running requests finish first.

    \b
    Examples:
      elecdata serve
      ELECDATA_SERVER__PORT=8080 elecdata serve --config /etc/elecdata/config.yaml
      elecdata serve --check
      elecdata serve --check --json | jq .ok

    \b
    Status: 0 stopped, or all checks passed; 1 the server cannot start; 2 wrong command line.
    """
    if as_json and not check:
        raise click.UsageError("--json requires --check")
    with report_unexpected(debug=debug):
        if check:
            sys.exit(_check(config, as_json=as_json))
        if worker_port is not None and shared is not None:
            run_worker(config, worker_port, shared)
        else:
            run(config, debug=debug, greet=greet)


def _check(config: Path | None, *, as_json: bool) -> int:
    """Print the findings of all checks, and return the exit status."""

    async def look() -> list[Finding]:
        found = []
        async for finding in run_checks(config):
            found.append(finding)
            if not as_json:
                level, (first, *more) = format_lines(finding)
                print_line(first, label=level)
                for line in more:
                    print_line(line)
        return found

    found = asyncio.run(look())
    if as_json:
        print_json(findings_document(found))
    return int(has_failures(found))


if __name__ == "__main__":
    main(prog_name="python -m server")
