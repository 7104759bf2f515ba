"""A transaction that imports reports: of one meter, or of all."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cli.error_report import FaultyReportsError
from loader.audit_record import record
from loader.formats.report_format import ReportFormat
from loader.imports.assignment import NewMeter
from loader.imports.outcome import ImportOutcome, ImportSummary, not_tried
from loader.imports.plan import MeterImport, PlannedReport
from loader.report import Report
from loader.report_file import PackedPart
from loader.rows.errors import FaultyRowsError, ReportError, RowError
from loader.rows.file_reader import report_name
from loader.rows.rejected import RejectedRows, save_all
from settings import Settings
from storage.common.errors import Conflict, Disagreement, StorageError
from storage.factory import WritableDatabase
from storage.imports.import_writer import ImportResult
from storage.imports.merging import MergeOptions
from storage.meters import MeterRecord

_MAX_NAMES = 20
"""Files that the audit trail names of an import that failed: an entry has at most 64 KiB."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What is asked of all imports of a command."""

    skip_bad_rows: bool = False
    dry_run: bool = False
    empty_erases: bool = False
    """Whether an empty field erases the value that is there."""
    allow_corrections: bool = False
    """Whether a report may differ from nearly all that is there."""
    all_or_nothing: bool = False
    """Whether a day that is refused stops the import."""
    interval: int | None = None
    """Seconds from one reading to the next, whatever formats say."""


class ReportImporter:
    """Imports reports, and records that in the audit trail."""

    def __init__(
        self,
        settings: Settings,
        database: WritableDatabase,
        formats: Sequence[ReportFormat],
        options: ImportOptions,
        on_progress: Callable[[str, int], None] = lambda _path, _size: None,
    ) -> None:
        """Call `on_progress` with a report's path and the bytes of it that were read."""
        self._settings = settings
        self._database = database
        self._formats = formats
        self.options = options
        self._on_progress = on_progress
        self._is_open = False

    async def attempt(
        self, work: Sequence[MeterImport], on_commit: Callable[[], None] = lambda: None
    ) -> list[ImportOutcome]:
        """Import the reports of meters, some of many, each apart; return their outcomes.

        Several share a commit, before which `on_commit` is called.
        """
        attempts = [_Attempt(each) for each in work]
        with ExitStack() as drafts:
            try:
                await self._attempt_all(attempts, drafts, on_commit)
            except StorageError as error:
                _lose(attempts, error)
            for attempt in attempts:
                attempt.finish(is_dry=self.options.dry_run)
        return [attempt.outcome for attempt in attempts]

    async def _attempt_all(
        self, attempts: Sequence["_Attempt"], drafts: ExitStack, on_commit: Callable[[], None]
    ) -> None:
        """Attempt imports; raise StorageError if none of them was written."""
        engine, is_group = self._database.engine, len(attempts) > 1
        if not self._is_open:
            await engine.is_prepared()
            self._is_open = True
        if is_group:
            # Meanwhile, others can write.
            for attempt in attempts:
                self._read_ahead(attempt, drafts)
            await engine.begin_group()
        try:
            fatal = None
            for attempt in attempts:
                if fatal is None:
                    fatal = await self._attempt(attempt, drafts)
                else:
                    attempt.outcome = not_tried(attempt.work, str(fatal))
            if is_group:
                on_commit()
                await _finish(engine.commit_group())
        except BaseException as error:
            if is_group:
                with suppress(StorageError):
                    await engine.rollback_group()
            if isinstance(error, StorageError) and fatal is not None:
                raise fatal from error
            raise

    async def _attempt(self, attempt: "_Attempt", drafts: ExitStack) -> StorageError | None:
        """Attempt an import; return the error if it goes wrong with all others, too."""
        work, outcome = attempt.work, attempt.outcome
        try:
            attempt.rejected = await self._write(
                [work], outcome, drafts, ahead=attempt.ahead, is_one_of_many=True
            )
            attempt.is_done = True
        except (FaultyReportsError, ReportError, StorageError) as error:
            outcome.fail(work, error)
            return error if outcome.is_fatal and isinstance(error, StorageError) else None
        return None

    def _read_ahead(self, attempt: "_Attempt", drafts: ExitStack) -> None:
        """Read the beginnings of reports, whose errors come up once they are imported."""
        meter = attempt.work.meter
        if isinstance(meter, MeterRecord):
            with suppress(Conflict):
                for planned in attempt.work.reports:
                    opened = self._open(planned, meter, attempt.outcome, drafts)
                    opened.report.read_ahead()
                    attempt.ahead[planned.number] = opened

    async def run(self, work: Sequence[MeterImport], outcome: ImportOutcome) -> None:
        """Import the reports of meters in one transaction, which a dry run rolls back.

        Raises FaultyReportsError, ReportError or StorageError; nothing was written then, unless the
        message says so.
        """
        with ExitStack() as drafts:
            rejected = await self._write(work, outcome, drafts)
            outcome.is_written = not self.options.dry_run
            save_all(rejected)

    async def _write(
        self,
        work: Sequence[MeterImport],
        outcome: ImportOutcome,
        drafts: ExitStack,
        *,
        ahead: Mapping[int, "_Opened"] | None = None,
        is_one_of_many: bool = False,
    ) -> Sequence[RejectedRows]:
        """Import the reports of meters in one transaction, some of which may be opened already.

        Return what is left to do after the commit: the rejected rows to be put in place.
        """
        engine, is_dry = self._database.engine, self.options.dry_run
        shared = _shared_files(work)
        sizes = [rejected.size for rejected in shared]
        try:
            await engine.begin(keeps_triggers=is_dry or is_one_of_many)
            loaded = await self._load(await self._registered(work), outcome, drafts, ahead or {})
            if is_dry:
                await engine.rollback()
                return []
            complete = [each.rejected for each in loaded if each.rejected not in shared]
            if not is_one_of_many:
                complete += shared
            for rejected in complete:
                rejected.prepare()
            # At the end, since nobody else can append until the transaction ends.
            for each in loaded:
                await self._record(each)
            await _finish(engine.commit())
        except BaseException as error:
            with suppress(ReportError):
                for rejected, size in zip(shared, sizes, strict=True):
                    rejected.shorten(size)
            # The first error matters more than a connection that can't roll back.
            with suppress(StorageError):
                await engine.rollback()
                if isinstance(error, FaultyReportsError | ReportError) and not is_dry:
                    paths = [report.path for each in work for report in each.reports]
                    await record_failure(self._database, paths, error)
            raise
        return complete

    async def check(self, work: Sequence[MeterImport], outcome: ImportOutcome) -> None:
        """Read the reports only; raise FaultyReportsError if they have errors."""
        with ExitStack() as drafts:
            known = [(each.meter, each) for each in work]
            await self._load(known, outcome, drafts, {}, into_database=False)

    async def _registered(
        self, work: Sequence[MeterImport]
    ) -> list[tuple[MeterRecord, MeterImport]]:
        """Return the imports with their meters, in the order in which these are to be locked."""
        meters: list[tuple[MeterRecord, MeterImport]] = []
        for each in work:
            meter = each.meter
            if isinstance(meter, NewMeter):
                zone = str(self._settings.meter.timezone)
                meter = await self._database.meters.register(
                    meter.public_id, zone, meter.identifier
                )
            assert meter is not None, "there is a database"
            meters.append((meter, each))
        return sorted(meters, key=lambda item: item[0].id)

    async def _load(
        self,
        work: Sequence[tuple[MeterRecord | NewMeter | None, MeterImport]],
        outcome: ImportOutcome,
        drafts: ExitStack,
        ahead: Mapping[int, "_Opened"],
        *,
        into_database: bool = True,
    ) -> list["_Loaded"]:
        """Load the reports of meters; those after one with errors are checked only."""
        loaded = []
        failed = False
        for meter, each in work:
            for planned in each.reports:
                started = time.monotonic()
                opened = ahead.get(planned.number)
                opened = opened or self._open(planned, meter, outcome, drafts)
                report, rejected = opened.report, opened.rejected
                imported = error = None
                try:
                    if isinstance(meter, MeterRecord) and into_database and not failed:
                        imported = await self._import(report, meter, planned)
                    else:
                        deque(report.batches(), maxlen=0)
                    if report.refused_days and self.options.all_or_nothing:
                        raise FaultyRowsError(f"{planned.path}: days are refused")
                except ReportError as caught:
                    failed = True
                    error = str(caught)
                    if not isinstance(caught, FaultyRowsError):
                        outcome.errors.add(error)
                summary = ImportSummary(
                    planned.number,
                    report.name,
                    meter=meter if isinstance(meter, MeterRecord) else None,
                    format=None if report.detected is None else report.detected.format.name,
                    intervals=report.intervals if imported is None else imported.intervals,
                    gaps=report.gaps,
                    may_vary=report.detected is not None and report.may_vary,
                    readings=report.readings,
                    missing=report.missing,
                    rounded=report.rounded,
                    unread_rows=report.unread_rows,
                    register_events=report.register_events,
                    rejected=report.rejected,
                    repeated=report.repeated,
                    passed_over=report.passed_over,
                    refused_days=report.refused_days,
                    span=report.span,
                    seconds=time.monotonic() - started,
                    imported=imported,
                    rejected_to=rejected.path if rejected.has_rows and report.rejected else None,
                    error=error,
                )
                outcome.summaries.append(summary)
                loaded.append(_Loaded(summary, report.sha256, rejected))
        if failed:
            raise FaultyReportsError(outcome.errors)
        return loaded

    async def _import(
        self, report: Report, meter: MeterRecord, planned: PlannedReport
    ) -> ImportResult:
        """Import a report; raise ReportError if it may be another meter's."""
        options = MergeOptions(
            empty_erases=self.options.empty_erases,
            is_confirmed=self.options.allow_corrections or planned.is_named,
        )
        try:
            return await self._database.imports.load(report, meter, options)
        except Disagreement as error:
            raise ReportError(str(error)) from error

    def _open(
        self,
        planned: PlannedReport,
        meter: MeterRecord | NewMeter | None,
        outcome: ImportOutcome,
        drafts: ExitStack,
    ) -> "_Opened":
        path, skips = planned.path, self.options.skip_bad_rows
        refused: set[str] = set()
        rejected = planned.rejected or drafts.enter_context(RejectedRows(path))

        def on_errors(errors: list[RowError], raw: bytes) -> None:
            for error in errors:
                if error.day not in refused:
                    outcome.errors.add(f"{path}:{error}")
                if error.day:
                    refused.add(error.day)  # told of once, not for each row
            if skips and not self.options.dry_run:
                assert report.detected is not None
                rejected.add(errors, raw, report.detected.header)

        part = planned.part
        report = Report(
            path,
            _zone(meter) if isinstance(meter, MeterRecord) else self._settings.meter.timezone,
            skip_bad_rows=skips,
            on_errors=on_errors,
            on_progress=lambda size: self._on_progress(path, size),
            formats=self._formats,
            part=part.unpacked(self._formats) if isinstance(part, PackedPart) else part,
        )
        return _Opened(report, rejected)

    async def _record(self, loaded: "_Loaded") -> None:
        summary = loaded.summary
        imported, meter = summary.imported, summary.meter
        assert imported is not None, "a report that was read into the database"
        assert meter is not None, "so was its meter"
        await record(
            self._database,
            "import",
            file=summary.name,
            meter=meter.public_id,
            sha256=loaded.sha256,
            new=imported.new,
            changed=imported.changed,
            unchanged=imported.unchanged,
            rejected=imported.rejected,
            kept=imported.kept,
        )


@dataclass(frozen=True, slots=True)
class _Opened:
    """A report that is being read, and where its rejected rows go."""

    report: Report
    rejected: RejectedRows


@dataclass(slots=True)
class _Attempt:
    """An import of a meter, one of many."""

    work: MeterImport
    outcome: ImportOutcome = field(default_factory=ImportOutcome)
    ahead: dict[int, _Opened] = field(default_factory=dict)
    """The reports whose beginnings were read, by their numbers."""
    rejected: Sequence[RejectedRows] = ()
    """What is to be put in place after the commit."""
    is_done: bool = False
    """Whether only the commit that it may share is left to do."""

    def finish(self, *, is_dry: bool) -> None:
        """Note that the import is committed, unless it has failed; put rejected rows in place."""
        if not self.is_done or is_dry:
            return
        self.outcome.is_written = True
        try:
            save_all(self.rejected)
        except ReportError as error:
            self.outcome.fail(self.work, error)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A report that was read."""

    summary: ImportSummary
    sha256: str
    rejected: RejectedRows


async def record_failure(
    database: WritableDatabase, paths: Sequence[str], error: Exception
) -> None:
    """Append an entry about an import that has failed; raise StorageError."""
    files = [report_name(path) for path in paths[:_MAX_NAMES]]
    await database.engine.begin_change()
    await record(
        database, "import", result="failed", reports=len(paths), files=files, error=str(error)
    )
    await database.engine.commit()


def _lose(attempts: Sequence[_Attempt], error: StorageError) -> None:
    """Note that nothing was written, since the commit has failed or was never reached."""
    has_told = any(attempt.outcome.is_fatal for attempt in attempts)
    for attempt in attempts:
        attempt.is_done = False
        if attempt.outcome.error is not None:
            continue
        if has_told:
            attempt.outcome = not_tried(attempt.work, str(error))
        else:
            attempt.outcome.fail(attempt.work, error)
            has_told = True


def _zone(meter: MeterRecord) -> ZoneInfo:
    """Return the zone of a meter; raise Conflict if this machine does not know it."""
    try:
        return ZoneInfo(meter.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise Conflict(
            f"the meter {meter.public_id} is in the time zone {meter.timezone}, which this machine"
            " does not know"
        ) from None


def _shared_files(work: Sequence[MeterImport]) -> list[RejectedRows]:
    """Return the files of rejected rows that imports may share with those of other meters."""
    reports = (report for each in work for report in each.reports)
    return [*dict.fromkeys(report.rejected for report in reports if report.rejected is not None)]


async def _finish(work: Awaitable[None]) -> None:
    """Await work to its end even if this task is cancelled: its outcome must be known."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    task.result()
