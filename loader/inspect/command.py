"""The command `elecdata inspect`."""

from pathlib import Path

import click

from cli.commands import EscapingCommand
from cli.output import CommandOutput, output_options, stopped
from loader.formats.registry import known_formats
from loader.imports.plan import report_paths
from loader.inspect.examination import Examination, examine, kinds_of_reports
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
    read with the entry, as an import would. Nothing is written, and no database is needed. Of an
    archive or a folder, the first report of each kind is inspected.

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
        kinds = kinds_of_reports(reports) if len(reports) > 1 else [reports]
        formats, zone = known_formats(settings), settings.meter.timezone
        found: list[Examination] = []
        for alike in kinds:
            taken = [each.proposed.name for each in found if each.proposed is not None]
            found.append(examine(alike[0], formats, zone, taken))
    except (SettingsError, ReportError) as error:
        output.fail(error)
    except KeyboardInterrupt:
        stopped()
    for each, alike in zip(found, kinds, strict=True):
        if each is not found[0]:
            output.say("")
        for line in inspection_lines(each, len(alike)):
            output.say(line)
    documents = [
        inspection_document(each, alike[1:]) for each, alike in zip(found, kinds, strict=True)
    ]
    first, *others = documents
    is_readable = all(each.is_readable for each in found)
    output.give(first | {"ok": is_readable, "others": others})
    if not is_readable:
        raise click.exceptions.Exit(1)
