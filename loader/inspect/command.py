"""The command `elecdata inspect`."""

from pathlib import Path

import click

from cli.commands import EscapingCommand
from cli.output import CommandOutput, output_options, stopped
from loader.formats.registry import known_formats
from loader.imports.plan import report_paths
from loader.inspect.examination import examine
from loader.inspect.findings import inspection_document, inspection_lines
from loader.rows.errors import ReportError
from loader.rows.file_reader import STANDARD_INPUT
from settings import SettingsError, load_settings


@click.command(cls=EscapingCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: config.yaml in the project's folder.",
)
@click.argument("file")
@output_options
def main(config: Path | None, file: str, output: CommandOutput) -> None:
    """Say what a file holds, and which format loads it.

    Prints the encoding, the heading, the known format that fits or comes nearest, the interval,
    gaps, and the days on which clocks change. If no format fits, it prints an entry for config.yaml
    that loads the file, the first readings, and what a person has to confirm. The whole file is
    read with the entry, as an import would. Nothing is written, and no database is needed.

    \b
    Examples:
      elecdata inspect consumption.csv
      elecdata inspect --json consumption.csv | jq .entry.confirm

    \b
    Status: 0 a known format or the printed entry loads the file, 1 none does, 2 wrong command line,
    130 stopped by Ctrl-C.
    """
    if file == STANDARD_INPUT:
        raise click.UsageError("expected a file, which is read several times")
    try:
        settings = load_settings(config)
        reports = report_paths([file], lambda _: None)
        found = examine(reports[0], known_formats(settings), settings.meter.timezone)
    except (SettingsError, ReportError) as error:
        output.fail(error)
    except KeyboardInterrupt:
        stopped()
    for line in inspection_lines(found):
        output.say(line)
    if len(reports) > 1:
        output.say(f"{file} has {len(reports)} reports: this is the first one")
    output.give(inspection_document(found))
    if not found.is_readable:
        raise click.exceptions.Exit(1)
