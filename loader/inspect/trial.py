"""Reading a whole file with a format, as an import would, to see whether it fits."""

from collections import Counter
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from cli.error_report import ErrorReport
from domain.report_source import BATCH_FIELDS, FULL_BATCH_FIELDS, RowBatch
from loader.formats.configured_format import ConfiguredFormat
from loader.formats.report_format import ReportFormat
from loader.report import Report
from loader.report_file import ReportFile
from loader.rows.errors import FaultyRowsError, ReportError, RowError
from settings import FormatSettings
from settings.yaml_document import parse_yaml

SHOWN_READINGS = 3
_MAX_FAULTS = 20

MAX_READINGS = 500_000
"""Readings that are looked at."""


@dataclass
class Trial:
    """What a reading of a file with a format gave."""

    readings: int = 0
    rejected: int = 0
    repeated: int = 0
    missing: int = 0
    ignored: int = 0
    """Lines that are said to be no readings."""
    unread: int = 0
    """Rows of other kinds than those that are read."""
    gaps: int = 0
    meters: list[str] = field(default_factory=list)
    """The identifiers of the meters in the file."""
    refused_days: list[str] = field(default_factory=list)
    intervals: list[int | None] = field(default_factory=list)
    """Seconds, of each span of time of the first meter."""
    span: tuple[str, str] | None = None
    shown: list[dict[str, str]] = field(default_factory=list)
    """The first readings, as they would be stored."""
    errors: ErrorReport = field(default_factory=ErrorReport)
    faults: list[tuple[RowError, bytes]] = field(default_factory=list)
    """The first rows that were not read, each with an error."""
    error: str = ""
    """Why the file as a whole cannot be read."""
    is_cut_off: bool = False
    """Whether there were more readings than are looked at."""
    days: Counter[str] = field(default_factory=Counter)
    """The readings of each local day."""

    @property
    def reads_all(self) -> bool:
        """Whether all rows were read."""
        return bool(self.readings) and not (self.rejected or self.refused_days or self.error)

    @property
    def rank(self) -> tuple[bool, int, int]:
        """What makes a trial better than another one."""
        return self.reads_all, self.readings, -self.rejected

    @property
    def messages(self) -> str:
        """All messages, in one text."""
        return "\n".join([self.error, *self.errors.shown])


def try_entry(path: str, name: str, text: str, zone: ZoneInfo) -> Trial:
    """Read a file with an entry of `formats` as it stands in config.yaml."""
    formats = parse_yaml(text, "entry").keys["formats"]
    assert isinstance(formats, dict), "it was written as a section"
    try:
        settings = FormatSettings.model_validate(formats[name])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        return Trial(error=f"{key}: {first['msg']}")
    return try_format(path, ConfiguredFormat(name, settings), zone)


def try_format(path: str, report_format: ReportFormat, zone: ZoneInfo) -> Trial:
    """Read a file with a format; nothing is written."""
    trial = Trial()

    def on_errors(errors: list[RowError], raw: bytes) -> None:
        for error in errors:
            trial.errors.add(f"{path}:{error}")
        if len(trial.faults) < _MAX_FAULTS:
            trial.faults.append((errors[0], raw.rstrip(b"\r")))

    try:
        with ReportFile(path, formats=[report_format]) as file:
            for part in file.parts(zone, skip_bad_rows=True, on_errors=on_errors):
                report = Report(
                    path,
                    zone,
                    skip_bad_rows=True,
                    on_errors=on_errors,
                    formats=[report_format],
                    part=part,
                )
                _read(report, trial)
            trial.rejected += file.unassigned
            trial.ignored = file.passed_over.ignored
            trial.unread += file.passed_over.others
    except (ReportError, FaultyRowsError) as error:
        trial.error = str(error)
    return trial


def _read(report: Report, trial: Trial) -> None:
    """Read the rows of a meter, and note what they are."""
    try:
        for batch in report.batches():
            if len(trial.shown) < SHOWN_READINGS:
                trial.shown += _readings(batch)[: SHOWN_READINGS - len(trial.shown)]
            days = Counter(line.split(b",", 2)[1][:10] for line in batch.rows.splitlines())
            trial.days.update({day.decode(): count for day, count in days.items()})
            if trial.readings + report.readings >= MAX_READINGS:
                trial.is_cut_off = True
                break
    finally:
        trial.readings += report.readings
        trial.rejected += report.rejected
        trial.repeated += report.repeated
        trial.missing += report.missing
        trial.unread += report.unread_rows
        trial.refused_days += report.refused_days
        if report.span is not None:
            first, last = trial.span or report.span
            trial.span = min(first, report.span[0]), max(last, report.span[1])
    trial.meters += [] if report.identifier is None else [report.identifier]
    trial.gaps += report.gaps
    trial.intervals = trial.intervals or list(report.intervals)


def _readings(batch: RowBatch) -> list[dict[str, str]]:
    """Return the first readings of a batch: the local time with its offset, and the quantities."""
    fields = FULL_BATCH_FIELDS if batch.is_full else BATCH_FIELDS
    found = []
    for line in batch.rows.decode("ascii").splitlines()[:SHOWN_READINGS]:
        _, local, ahead, *quantities = line.split(",")
        sign = "-" if int(ahead) < 0 else "+"
        hours, minutes = divmod(abs(int(ahead)) // 60, 60)
        named = zip(fields[-len(quantities) :], quantities, strict=True)
        start = {"start": f"{local}{sign}{hours:02}:{minutes:02}"}
        found.append(start | {name: text for name, text in named if text})
    return found
