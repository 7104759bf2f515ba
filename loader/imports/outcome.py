"""The outcomes of imports."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cli.error_report import ErrorReport, FaultyReportsError
from loader.imports.plan import MeterImport, PlannedReport
from loader.rows.file_reader import report_name
from loader.table.row_filter import PassedOver
from storage.common.errors import Conflict, NotPrepared, StorageError
from storage.imports.import_writer import ImportResult
from storage.meters import MeterRecord

_OF_ANOTHER = "another report of the meter has errors"


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """The outcome for a report; `imported` is None if there was no database to compare with."""

    number: int
    """Its place among the reports of the command, from 0."""
    name: str
    meter: MeterRecord | None = None
    """Its meter, None if that is not known."""
    format: str | None = None
    intervals: Sequence[int | None] = ()
    """The intervals of its readings; None stands for an unknown one."""
    gaps: int = 0
    """Readings that do not follow the one before by the interval."""
    may_vary: bool = False
    """Whether these may be ones that last longer."""
    readings: int = 0
    missing: int = 0
    rounded: int = 0
    """Values that had more decimals than are stored."""
    unread_rows: int = 0
    """Rows that no quantity is taken from."""
    register_events: Sequence[str] = ()
    """What happened to cumulative registers."""
    rejected: int = 0
    repeated: int = 0
    """Rows that are passed over, since an earlier one is the same."""
    passed_over: PassedOver = field(default_factory=PassedOver)
    """What of the file is not read, unless another summary tells it."""
    refused_days: Sequence[str] = ()
    """Local days that are left out."""
    span: tuple[str, str] | None = None
    seconds: float = 0
    imported: ImportResult | None = None
    rejected_to: Path | None = None
    error: str | None = None
    """Why it was not imported."""


@dataclass(slots=True)
class ImportOutcome:
    """The outcome of a transaction."""

    summaries: list[ImportSummary] = field(default_factory=list)
    errors: ErrorReport = field(default_factory=ErrorReport)
    """The errors so far; if bad rows are skipped, an import succeeds in spite of them."""
    is_written: bool = False
    error: str | None = None
    """What has gone wrong, if anything has."""
    is_fatal: bool = False
    """Whether it goes wrong with the reports of all other meters, too."""

    def fail(self, work: MeterImport, error: Exception) -> None:
        """Note why an import has failed, for each of its reports."""
        self.error = str(error)
        if not isinstance(error, FaultyReportsError):
            self.errors.add(self.error)
        self.is_fatal = isinstance(error, StorageError) and not isinstance(
            error, Conflict | NotPrepared
        )
        if self.is_written:
            # It was the rejected rows that could not be put in place.
            self.summaries = [replace(each, rejected_to=None) for each in self.summaries]
            return
        text = _OF_ANOTHER if isinstance(error, FaultyReportsError) else self.error
        known = {summary.number: summary for summary in self.summaries}
        self.summaries = []
        for report in work.reports:
            summary = known.get(report.number) or _summary(report, work)
            self.summaries.append(
                replace(summary, imported=None, rejected_to=None, error=summary.error or text)
            )


def not_tried(work: MeterImport, reason: str) -> ImportOutcome:
    """Return the outcome of an import that was not begun."""
    summaries = [_summary(report, work) for report in work.reports]
    return ImportOutcome([replace(summary, error=reason) for summary in summaries])


def without_file(summary: ImportSummary, path: Path) -> ImportSummary:
    """Return a summary that names this file of rejected rows no more."""
    return replace(summary, rejected_to=None) if summary.rejected_to == path else summary


def _summary(report: PlannedReport, work: MeterImport) -> ImportSummary:
    """Return a summary of a report that was not read."""
    meter = work.meter if isinstance(work.meter, MeterRecord) else None
    return ImportSummary(report.number, report_name(report.path), meter)


class PartlyImportedError(Exception):
    """Reports of some meters, or some days, were not imported; all others may have been."""

    def __init__(self, text: str, summaries: Sequence[ImportSummary], errors: ErrorReport) -> None:
        super().__init__(text)
        self.summaries = summaries
        self.errors = errors
