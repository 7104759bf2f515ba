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
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cli.commands import EscapingCommand
from cli.error_report import FaultyReportsError, error_summary
from cli.output import WAITING, CommandOutput, OutputMode, output_options, stopped
from cli.printing import print_line, printable
from loader.importer import Importer, ImportListener
from loader.imports.outcome import ImportSummary, PartlyImportedError
from loader.imports.plan import report_paths
from loader.rows.errors import ReportError
from loader.rows.file_reader import STANDARD_INPUT, ArchiveMember
from loader.summary import imported_lines, report_documents, summary_lines
from settings import Settings, SettingsError, load_settings
from storage.common.errors import StorageError
from storage.factory import open_importer


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
    "--empty-erases",
    is_flag=True,
    help="Let an empty field erase the value that is there. Default: the value stays.",
)
@click.option(
    "--allow-corrections",
    is_flag=True,
    help="Load a report even if nearly all its values differ from those that are there.",
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
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.IntRange(1, 86400),
    help="Seconds between readings. Default: what the format says, or the readings tell.",
)
@click.option(
    "--all-or-nothing",
    is_flag=True,
    help="Write nothing unless all reports of all meters are right.",
)
@click.argument("reports", metavar="REPORT.csv...", nargs=-1, required=True)
@output_options
def main(
    config: Path | None,
    dry_run: bool,
    skip_bad_rows: bool,
    empty_erases: bool,
    allow_corrections: bool,
    format_name: str | None,
    meter_name: str | None,
    register: bool,
    interval: int | None,
    all_or_nothing: bool,
    reports: Sequence[str],
    output: CommandOutput,
) -> None:
    """Load meter reports into the database: those of a meter all together, or none of them.

    Creates what is missing: the database, its tables, the API users and the database account of
    the server. Loading a report again is safe: existing readings stay, corrected ones are
    updated, and what was replaced stays on record. A report leaves alone what it has no column for.

    A REPORT is a file (CSV, Excel workbook .xlsx, NEM12, Green Button XML; plain or gzipped), a
    .zip archive or a folder of such files, or - for standard input. The first one of an empty
    database registers the meter main; where there are several meters, a report goes to the one that
    --meter, its identifier or the setting meter.file_name names. An error in the reports of one
    meter stops none of the others, unless --all-or-nothing is given.

    \b
    Examples:
      elecdata load Monitoring_report.csv
      elecdata load --dry-run january.csv.gz february.csv.gz
      elecdata load --format distributor-hourly consumption.csv
      elecdata load --meter garage --register garage-2024.csv
      elecdata load --register reports/
      zcat report.csv.gz | elecdata load -
      elecdata load --json report.csv | jq '.reports[].new'

    \b
    Status: 0 success, 1 error, 2 wrong command line, 130 stopped by Ctrl-C. After an error, nothing
    was written unless the message says otherwise.
    """
    command = _Command(output, dry_run=dry_run)
    try:
        work = command.run(
            load_settings(config),
            format_name,
            meter_name,
            report_paths(reports, command.tell_passed_over),
            skip_bad_rows=skip_bad_rows,
            register=register,
            interval=interval,
            all_or_nothing=all_or_nothing,
            empty_erases=empty_erases,
            allow_corrections=allow_corrections,
        )
        asyncio.run(work)
    except PartlyImportedError as error:
        command.print_lines(error.summaries)
        output.fail(error, error.errors, report_documents(error.summaries))
    except (FaultyReportsError, SettingsError, StorageError, ReportError) as error:
        output.fail(error)
    except KeyboardInterrupt:
        stopped(f"; {command.written}")


class _Command:
    """Runs the command, and prints what it does."""

    def __init__(self, output: CommandOutput, *, dry_run: bool) -> None:
        self._output = output
        self._dry_run = dry_run
        self._database = ""
        self._progress = _Progress(output)

    @property
    def written(self) -> str:
        """What is written so far, for whoever has stopped the command."""
        written, reports = self._progress.written, self._progress.reports
        if not written or self._dry_run:
            return "nothing was written"
        return f"{written} of {reports} reports were written: load all again, which does no harm"

    def tell_passed_over(self, path: str) -> None:
        """Say that a file in an archive is no report."""
        print_line(f"WARNING - {path}: passed over, its name is not that of a report", err=True)

    async def run(
        self,
        settings: Settings,
        format_name: str | None,
        meter_name: str | None,
        reports: Sequence[str],
        *,
        skip_bad_rows: bool,
        register: bool,
        interval: int | None,
        all_or_nothing: bool,
        empty_erases: bool,
        allow_corrections: bool,
    ) -> None:
        """Import reports, and print a summary."""
        database = open_importer(settings)
        self._database = database.engine.database
        with self._progress as progress:
            importer = Importer(
                settings,
                database,
                ImportListener(
                    on_step=lambda step: progress.say(f"OK - {step}"),
                    on_wait=lambda: progress.say(WAITING),
                    on_progress=progress.show,
                    on_warning=lambda text: print_line(f"WARNING - {text}", err=True),
                    on_takeover=progress.show_takeover,
                    on_reports=progress.show_reports,
                ),
                format_name,
                meter_name,
                register=register,
                interval=interval,
            )
            try:
                if not self._dry_run:
                    await importer.prepare()
                summaries = await importer.run(
                    reports,
                    skip_bad_rows=skip_bad_rows,
                    dry_run=self._dry_run,
                    all_or_nothing=all_or_nothing,
                    empty_erases=empty_erases,
                    allow_corrections=allow_corrections,
                )
            finally:
                await database.engine.close()
        self._output.print_errors(importer.errors)
        self.print_lines(summaries)
        document = {
            "ok": True,
            "written": not self._dry_run,
            "faults": error_summary(importer.errors),
        }
        self._output.give(document, report_documents(summaries))

    def print_lines(self, summaries: Sequence[ImportSummary]) -> None:
        """Print the outcomes of reports as text."""
        if not self._dry_run:
            for count in imported_lines(summaries):
                self._output.say(
                    f"OK - CSV ({count} lines) successfully imported to"
                    f" {self._database}.consumpdata"
                )
        for line in summary_lines(summaries):
            self._output.say(line)
        if self._dry_run:
            self._output.say("Nothing was written (--dry-run)")


_MOVED = "Readings moved"


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
        self._quarters = 0
        self.written = 0
        """The reports that were written so far."""
        self.reports = 0
        """All reports."""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._output.say(text)

    def show_takeover(self, done: int, shares: int) -> None:
        """Show how much of the readings was moved to a new layout: a bar, or a line a quarter."""
        if self._bar.disable:
            quarter = done * 4 // shares
            if quarter > self._quarters:
                self._quarters = quarter
                self.say(f"Readings moved: {quarter * 25} %")
            return
        if _MOVED not in self._tasks:
            self._tasks[_MOVED] = self._bar.add_task(_MOVED, total=shares)
        self._bar.update(self._tasks[_MOVED], completed=done)

    def show_reports(self, done: int, written: int, reports: int) -> None:
        """Show how many reports are done, of several."""
        if "" not in self._tasks:
            # Bytes of the first report may have been shown before.
            for task in self._tasks.values():
                self._bar.remove_task(task)
            self._tasks.clear()
            self._bar.columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._tasks[""] = self._bar.add_task("Reports", total=reports)
        self.written, self.reports = written, reports
        self._bar.update(self._tasks[""], completed=done)

    def show(self, report: str, size: int) -> None:
        """Show how many bytes of a report were read, unless several reports are shown."""
        if "" in self._tasks:
            return
        if _MOVED in self._tasks:
            self._bar.remove_task(self._tasks.pop(_MOVED))
        if report not in self._tasks:
            is_file = report != STANDARD_INPUT and not isinstance(report, ArchiveMember)
            total = Path(report).stat().st_size if is_file else None
            self._tasks[report] = self._bar.add_task(printable(report), total=total)
        self._bar.update(self._tasks[report], completed=size)


if __name__ == "__main__":
    main(prog_name="python -m loader")
