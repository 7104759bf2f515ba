"""The command `python -m loader`."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cli.commands import EscapingCommand
from cli.error_report import FaultyReportsError
from cli.output import WAITING, CommandOutput, OutputMode, output_options, stopped
from cli.printing import print_line, printable
from loader.importer import Importer, ImportListener, ImportSummary
from loader.rows.errors import ReportError
from loader.rows.file_reader import STANDARD_INPUT
from loader.summary import import_document
from settings import MONITORING, SettingsError, load_settings
from storage.common.errors import StorageError
from storage.factory import open_importer
from storage.meters import MAIN_METER


@click.command(cls=EscapingCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: config.yaml in the project's folder.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check the reports and print what would be imported; write nothing.",
)
@click.option(
    "--skip-bad-rows",
    is_flag=True,
    help="Load the valid rows; write the others to REPORT.rejected.csv, each with the reason.",
)
@click.option(
    "--format",
    "format_name",
    metavar="NAME",
    help="Format of the reports. Default: detected from the header row.",
)
@click.option(
    "--meter",
    "meter_name",
    metavar="NAME",
    help="Meter of all the reports: its public id, or the identifier that reports have for it.",
)
@click.option(
    "--register",
    is_flag=True,
    help="Register meters that are not known yet.",
)
@click.argument("reports", metavar="REPORT.csv...", nargs=-1, required=True)
@output_options
def main(
    config: Path | None,
    dry_run: bool,
    skip_bad_rows: bool,
    format_name: str | None,
    meter_name: str | None,
    register: bool,
    reports: Sequence[str],
    output: CommandOutput,
) -> None:
    """Load meter reports into the database: all of them, or none if any has an error.

    Creates what is missing: the database, its tables, the API users and the database account of
    the server. Loading a report again is safe: existing readings stay, corrected ones are
    updated.

    A REPORT is a .csv or .csv.gz file, or - for standard input. The first one of an empty database
    registers the meter main; where there are several meters, a report goes to the one that --meter,
    its identifier or the setting meter.file_name names.

    \b
    Examples:
      elecdata load Monitoring_report.csv
      elecdata load --dry-run january.csv.gz february.csv.gz
      elecdata load --format distributor-hourly consumption.csv
      elecdata load --meter garage --register garage-2024.csv
      zcat report.csv.gz | elecdata load -
      elecdata load --json report.csv | jq '.reports[].new'

    \b
    Status: 0 success, 1 error, 2 wrong command line, 130 stopped by Ctrl-C. After an error, nothing
    was written unless the message says otherwise.
    """
    try:
        work = _import(
            config,
            format_name,
            meter_name,
            reports,
            output,
            dry_run=dry_run,
            skip_bad_rows=skip_bad_rows,
            register=register,
        )
        asyncio.run(work)
    except (FaultyReportsError, SettingsError, StorageError, ReportError) as error:
        output.fail(error)
    except KeyboardInterrupt:
        stopped("; nothing was written")


async def _import(
    config: Path | None,
    format_name: str | None,
    meter_name: str | None,
    reports: Sequence[str],
    output: CommandOutput,
    *,
    dry_run: bool,
    skip_bad_rows: bool,
    register: bool,
) -> None:
    settings = load_settings(config)
    database = open_importer(settings)
    with _Progress(output) as progress:
        importer = Importer(
            settings,
            database,
            ImportListener(
                on_step=lambda step: progress.say(f"OK - {step}"),
                on_wait=lambda: progress.say(WAITING),
                on_progress=progress.show,
                on_warning=lambda text: print_line(f"WARNING - {text}", err=True),
            ),
            format_name,
            meter_name,
            register=register,
        )
        try:
            if not dry_run:
                await importer.prepare()
            summaries = await importer.run(reports, skip_bad_rows=skip_bad_rows, dry_run=dry_run)
        finally:
            await database.engine.close()
    output.print_errors(importer.errors)
    for summary in summaries:
        if not dry_run:
            output.say(
                f"OK - CSV ({summary.report.readings} lines) successfully imported to "
                f"{database.engine.database}.consumpdata"
            )
    for summary in summaries:
        for line in _format_summary(summary):
            output.say(line)
    if dry_run:
        output.say("Nothing was written (--dry-run)")
    output.give(import_document(summaries, importer.errors, dry_run=dry_run))


def _format_summary(summary: ImportSummary) -> list[str]:
    report, imported = summary.report, summary.imported
    rows: list[tuple[str, object]] = []
    if report.detected is not None and report.detected.format.name != MONITORING:
        rows.append(("format", report.detected.format.name))
    rows.append(("readings", report.readings))
    if summary.meter is not None and summary.meter.public_id != MAIN_METER:
        rows.append(("meter", summary.meter.public_id))
    if imported is not None:
        rows += [
            ("new", imported.new),
            ("changed", imported.changed),
            ("unchanged", imported.unchanged),
        ]
    rows.append(("missing values", report.missing))
    if report.rejected:
        file = summary.rejected_to
        hint = "" if file is None else f", see {click.format_filename(file)}"
        rows.append(("rejected rows", f"{report.rejected}{hint}"))
    if imported is not None:
        flags = ", ".join(f"{count} {name}" for name, count in imported.flags.items())
        rows.append(("flags", flags or "none"))
    if report.span is not None:
        rows.append(("span", " to ".join(report.span)))
    if report.interval is not None:
        rows.append(("interval", f"{report.interval} s"))
    rows.append(("time", f"{summary.seconds:.1f} s"))
    return [report.name, *(f"  {name:<15}{value}" for name, value in rows)]


class _Progress:
    """A progress bar on a terminal, with lines above it."""

    def __init__(self, output: CommandOutput) -> None:
        self._output = output
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
            disable=not sys.stderr.isatty() or output.mode is not OutputMode.TEXT,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._output.say(text)

    def show(self, report: str, size: int) -> None:
        """Show how many bytes of a report were read."""
        if report not in self._tasks:
            total = None if report == STANDARD_INPUT else Path(report).stat().st_size
            self._tasks[report] = self._bar.add_task(printable(report), total=total)
        self._bar.update(self._tasks[report], completed=size)


if __name__ == "__main__":
    main(prog_name="python -m loader")
