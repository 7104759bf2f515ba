"""Planning imports: which reports there are, and which belong to the same meter."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

from loader.formats.report_format import ReportFormat
from loader.imports.assignment import MeterAssignment, NewMeter, ReportOrigin
from loader.report_file import PackedPart, ReportFile, ReportPart
from loader.rows.errors import FaultyRowsError, ReportError, RowError
from loader.rows.file_reader import ArchiveMember, can_be_read_again, file_name
from loader.rows.rejected import RejectedRows
from loader.sources.archive import (
    ARCHIVE_ENDING,
    archive_content,
    as_member,
    is_archive,
)
from storage.meters import MeterRecord

_ENDINGS = (".csv", ".csv.gz", ".xlsx", ".xml", ARCHIVE_ENDING)
_EXPECTED = f"*{', *'.join(_ENDINGS[:-1])} or *{_ENDINGS[-1]}"
_REJECTED = (".rejected.csv", ".rejected.csv.gz")
_NEW = 2**63
"""More than the number of any meter."""


@dataclass(frozen=True, slots=True)
class PlannedReport:
    """A report of a command, or the part of it that is of one meter."""

    number: int
    """Its place among the reports of the command, from 0."""
    path: str
    part: ReportPart | PackedPart | None = None
    """The rows, if they are not those of the whole file or it cannot be read again."""
    rejected: RejectedRows | None = None
    """The rejected rows of the file, if several meters share it."""
    is_named: bool = False
    """Whether the command or the name of the file says whose it is."""


@dataclass(slots=True)
class MeterImport:
    """Reports of a meter, in the order of the command: all of them are imported, or none."""

    meter: MeterRecord | NewMeter | None
    """None if there is no database that knows any."""
    reports: list[PlannedReport] = field(default_factory=list)

    @property
    def place(self) -> int:
        """The place among the imports of a command, in the order of the meters."""
        return self.meter.id if isinstance(self.meter, MeterRecord) else _NEW

    @property
    def has_parts(self) -> bool:
        """Whether rows are read from what this process has set aside."""
        return any(isinstance(report.part, ReportPart) for report in self.reports)

    def packed(self) -> "MeterImport | None":
        """Return the import for another process; None if a part is too large.

        The files of all parts must have been read, and their bad rows not be skipped.
        """
        reports = []
        for report in self.reports:
            part = report.part
            if isinstance(part, ReportPart):
                part = part.packed()
                if part is None:
                    return None
            reports.append(replace(report, part=part, rejected=None))
        return MeterImport(self.meter, reports)


class ImportPlan:
    """The imports of a command; leaving the context removes temporary files."""

    def __init__(
        self,
        formats: Sequence[ReportFormat],
        zone: ZoneInfo,
        *,
        skip_bad_rows: bool,
        dry_run: bool,
        on_errors: Callable[[str, list[RowError]], None],
    ) -> None:
        """Call `on_errors` with the path and the errors of each row without a meter."""
        self.imports: list[MeterImport] = []
        """Those of each meter, in the order of the meters."""
        self.unassigned: list[tuple[PlannedReport, ReportError]] = []
        """The reports, or parts, that belong to no meter, each with its error."""
        self.strangers = 0
        """Of these, how many are of no known meter."""
        self.paths: Sequence[str] = ()
        """The paths of the reports."""
        self.size = 0
        """The number of reports and parts."""
        self._formats = formats
        self._zone = zone
        self._skip_bad_rows = skip_bad_rows
        self._dry_run = dry_run
        self._on_errors = on_errors
        self._files = ExitStack()
        self._is_looking = False
        """Whether a report is read that is read again, and has its errors told, then."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def read_without_meters(self, paths: Sequence[str]) -> None:
        """Plan to read all reports, for want of a database."""
        self.paths = paths
        reports = [PlannedReport(number, path) for number, path in enumerate(paths)]
        self.imports = [MeterImport(None, reports)]
        self.size = len(reports)

    def shared_files(self, written: Collection[int]) -> list[RejectedRows]:
        """Return the files of rejected rows that several meters share, of reports by number."""
        reports = (report for each in self.imports for report in each.reports)
        files = (report.rejected for report in reports if report.number in written)
        return [*dict.fromkeys(rejected for rejected in files if rejected is not None)]

    async def find_meters(self, paths: Sequence[str], assignment: MeterAssignment) -> None:
        """Find the meters of all reports, whose beginnings are read.

        Raises a StorageError if the database fails.
        """
        self.paths = paths
        reports: list[tuple[PlannedReport, ReportOrigin]] = []
        for path in paths:
            parts, rejected = self._parts(path)
            for part, identifier in parts:
                origin = ReportOrigin(path, file_name(path), identifier)
                is_named = assignment.named_by(origin) is not None
                planned = PlannedReport(self._next_number(), path, part, rejected, is_named)
                reports.append((planned, origin))
            await asyncio.sleep(0)  # so that Ctrl-C is noticed
        await assignment.look_up([origin for _, origin in reports])
        imports: dict[int | str, MeterImport] = {}
        for planned, origin in reports:
            try:
                meter = assignment.meter_of(origin)
            except ReportError as error:
                self.unassigned.append((planned, error))
                self.strangers += 1
                continue
            key = meter.id if isinstance(meter, MeterRecord) else meter.public_id
            if key not in imports:
                imports[key] = MeterImport(meter)
            imports[key].reports.append(planned)
        self.imports = sorted(imports.values(), key=lambda each: each.place)

    def _parts(
        self, path: str
    ) -> tuple[list[tuple[ReportPart | None, str | None]], RejectedRows | None]:
        """Return the parts of a report that are of one meter each, with the meter's name in it.

        If there are several, they share the file of rejected rows that is returned.
        """
        parts = []
        with ExitStack() as files:
            rejected = files.enter_context(RejectedRows(path))
            try:
                for part in self._read_parts(path, files, rejected):
                    parts.append(part)  # noqa: PERF402 - those before an error count
            except ReportError as error:
                self.unassigned.append((PlannedReport(self._next_number(), path), error))
                # Rows that name no meter do no harm to the others.
                if not isinstance(error, FaultyRowsError):
                    return [], None
            if len(parts) == 1 and can_be_read_again(path):
                return [(None, parts[0].identifier)], None
            self._files.enter_context(files.pop_all())
        return [(part, part.identifier) for part in parts], rejected

    def _read_parts(
        self, path: str, files: ExitStack, rejected: RejectedRows
    ) -> Iterator[ReportPart]:
        """Yield the parts of a report, which needs not be read whole for that if it has one."""
        file, parts = self._open(path, files, rejected)
        first = next(parts)
        if first.identifier is None:
            yield first
            return
        if file.is_split or not can_be_read_again(path):
            yield first
            yield from parts
            return
        # As long as no other is found, the rows of this one need not be kept.
        first.drop()
        self._is_looking = True
        try:
            is_only = next(parts, None) is None
        finally:
            self._is_looking = False
        if is_only:
            yield first
            return
        _, parts = self._open(path, files, rejected)
        yield from parts

    def _open(
        self, path: str, files: ExitStack, rejected: RejectedRows
    ) -> tuple[ReportFile, Iterator[ReportPart]]:
        file = files.enter_context(ReportFile(path, formats=self._formats))

        def on_errors(errors: list[RowError], raw: bytes) -> None:
            if self._is_looking:
                return
            self._on_errors(path, errors)
            if self._skip_bad_rows and not self._dry_run:
                assert file.detected is not None, "it has rows"
                rejected.add(errors, raw, file.detected.header)

        parts = file.parts(self._zone, skip_bad_rows=self._skip_bad_rows, on_errors=on_errors)
        return file, parts

    def _next_number(self) -> int:
        self.size += 1
        return self.size - 1


def report_paths(paths: Sequence[str], on_passed_over: Callable[[str], None]) -> list[str]:
    """Return the paths of reports: of those in each folder and in each archive, by name.

    Rejected rows are left out: they are to be corrected first. `on_passed_over` is called with the
    paths of other files in archives. Raises ReportError if a folder or an archive has no report or
    can't be read.
    """
    found: list[str] = []
    for path in paths:
        for each in _reports_in(path) if Path(path).is_dir() else [path]:
            if not is_archive(each):
                found.append(as_member(each) or each)
                continue
            content = archive_content(each)
            found += content.reports
            for name in content.others:
                on_passed_over(ArchiveMember(each, name))
    return found


def _reports_in(folder: str) -> list[str]:
    try:
        names = sorted(entry.name for entry in Path(folder).iterdir())
    except OSError as error:
        raise ReportError(f"{folder}: cannot be read: {error.strerror}") from error
    reports = [
        str(Path(folder, name))
        for name in names
        if name.endswith(_ENDINGS) and not name.endswith(_REJECTED) and not name.startswith(".")
    ]
    if not reports:
        raise ReportError(f"{folder}: expected a report, there is no {_EXPECTED} in it")
    return reports
