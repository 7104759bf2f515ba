"""Importing reports into the database, all of them or none."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cli.error_report import ErrorReport, FaultyReportsError
from loader.assignment import MeterAssignment
from loader.audit_record import record, recorded
from loader.formats.registry import format_by_name, known_formats
from loader.report import Report
from loader.rows.errors import FaultyRowsError, ReportError, RowError
from loader.rows.rejected import RejectedRows
from settings import Settings
from storage.common.errors import Conflict, StorageError
from storage.common.passwords import hash_password
from storage.factory import WritableDatabase
from storage.imports.import_writer import ImportResult
from storage.meters import MeterRecord

_MAX_NAMES = 20
"""Files that the audit trail names of an import that failed: an entry has at most 64 KiB."""


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """The outcome for a report; `imported` is None if there was no database to compare with."""

    report: Report
    meter: MeterRecord | None
    imported: ImportResult | None
    seconds: float
    rejected_to: Path | None


@dataclass(frozen=True, slots=True)
class ImportListener:
    """Callbacks for the progress of an import."""

    on_step: Callable[[str], None]
    """Called with each step that is done."""
    on_wait: Callable[[], None]
    """Called if another import holds the lock."""
    on_progress: Callable[[str, int], None]
    """Called with a report's path and the bytes of it that were read."""
    on_warning: Callable[[str], None] = lambda _: None
    """Called with what is left to do after an import."""


class Importer:
    """Imports reports in one transaction, after `prepare`."""

    def __init__(
        self,
        settings: Settings,
        database: WritableDatabase,
        listener: ImportListener,
        format_name: str | None = None,
        meter_name: str | None = None,
        *,
        register: bool = False,
    ) -> None:
        """Detect each report's format by its header, unless a format is named.

        The reports belong to the meter that is named or, if none is, to those that they tell of.
        An unknown one is registered, or else refused.

        Raises ReportError if there is no format of that name.
        """
        known = known_formats(settings)
        self._formats = known if format_name is None else (format_by_name(known, format_name),)
        self._settings = settings
        self._database = database
        self._listener = listener
        database.engine.on_wait = listener.on_wait
        database.engine.on_warning = listener.on_warning
        self._assignment = MeterAssignment(
            database.meters, settings.meter, meter_name, register=register
        )
        self.errors = ErrorReport()
        """The errors so far; if bad rows are skipped, an import succeeds in spite of them."""

    async def prepare(self) -> None:
        """Create what is missing: database, tables, users, the server's database account.

        Raises SettingsError, before it creates any, if published passwords would be of use to
        other machines.
        """
        self._settings.require_safe_accounts()
        async for step in self._database.engine.prepare():
            self._listener.on_step(step)
        known = {user.name for user in await self._database.users.users()}
        for name, password in self._settings.api_users.items():
            if name not in known:
                secret = password.get_secret_value()
                hashed = await asyncio.to_thread(hash_password, secret)
                async with recorded(self._database, "user added", user=name):
                    await self._database.users.add(name, hashed)
        self._listener.on_step("User")
        default = self._settings.meter.default
        if default is not None and (meter := await self._database.meters.find(default)):
            await self._database.engine.show_meter(meter.id)
        if reader := await self._database.engine.admit_reader():
            self._listener.on_step(f"'{reader}' user")

    async def run(
        self, paths: Sequence[str], *, skip_bad_rows: bool, dry_run: bool = False
    ) -> list[ImportSummary]:
        """Import the reports, or with `dry_run` find out what that would change.

        Raises FaultyReportsError, ReportError or StorageError; nothing was written then, unless the
        message says so.
        """
        with ExitStack() as drafts:
            reports = [
                self._report(
                    path,
                    drafts.enter_context(RejectedRows(path)),
                    skip_bad_rows=skip_bad_rows,
                    save_bad_rows=skip_bad_rows and not dry_run,
                )
                for path in paths
            ]
            if dry_run and not await self._database.engine.is_prepared():
                return await self._load(reports, into_database=False)
            try:
                await self._database.engine.begin(dry_run=dry_run)
                summaries = await self._load(reports)
                if dry_run:
                    await self._database.engine.rollback()
                    return summaries
                for _, rejected in reports:
                    rejected.prepare()
                await self._database.users.forget_revocations()
                # At the end, since nobody else can append until the transaction ends.
                for summary in summaries:
                    await _record_import(self._database, summary)
                await _finish(self._database.engine.commit())
            except BaseException as error:
                # The first error matters more than a connection that can't roll back.
                with suppress(StorageError):
                    await self._database.engine.rollback()
                    if isinstance(error, FaultyReportsError | ReportError) and not dry_run:
                        names = [report.name for report, _ in reports]
                        failure = {"reports": len(names), "files": names[:_MAX_NAMES]}
                        failure["error"] = str(error)
                        await record(self._database, "import", result="failed", **failure)
                raise
            _save([rejected for _, rejected in reports])
            return summaries

    def _report(
        self, path: str, rejected: RejectedRows, *, skip_bad_rows: bool, save_bad_rows: bool
    ) -> tuple[Report, RejectedRows]:
        def on_errors(errors: list[RowError], raw: bytes) -> None:
            for error in errors:
                self.errors.add(f"{path}:{error}")
            if save_bad_rows:
                assert report.detected is not None
                rejected.add(errors, raw, report.detected.header)

        report = Report(
            path,
            self._settings.meter.timezone,
            skip_bad_rows=skip_bad_rows,
            on_errors=on_errors,
            on_progress=lambda size: self._listener.on_progress(path, size),
            formats=self._formats,
        )
        return report, rejected

    async def _load(
        self, reports: Sequence[tuple[Report, RejectedRows]], *, into_database: bool = True
    ) -> list[ImportSummary]:
        summaries = []
        failed = False
        for report, rejected in reports:
            started = time.monotonic()
            imported = meter = None
            try:
                if into_database:
                    meter = await self._assignment.meter_of(report)
                    report.zone = _zone(meter)
                if meter is not None and not failed:
                    imported = await self._database.imports.load(report, meter)
                else:
                    deque(report.batches(), maxlen=0)
            except ReportError as error:
                failed = True
                if not isinstance(error, FaultyRowsError):
                    self.errors.add(str(error))
            seconds = time.monotonic() - started
            rejected_to = rejected.path if rejected.has_rows else None
            summaries.append(ImportSummary(report, meter, imported, seconds, rejected_to))
        if failed:
            raise FaultyReportsError(self.errors)
        return summaries


def _zone(meter: MeterRecord) -> ZoneInfo:
    """Return the zone of a meter; raise Conflict if this machine does not know it."""
    try:
        return ZoneInfo(meter.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise Conflict(
            f"the meter {meter.public_id} is in the time zone {meter.timezone}, which this machine"
            " does not know"
        ) from None


def _save(files: Sequence[RejectedRows]) -> None:
    """Put the files of rejected rows in place, all of those that can be."""
    failures = []
    for rejected in files:
        try:
            rejected.save()
        except ReportError as error:
            failures.append(str(error))
    if failures:
        raise ReportError("; ".join(failures))


async def _record_import(database: WritableDatabase, summary: ImportSummary) -> None:
    report, meter, imported = summary.report, summary.meter, summary.imported
    assert meter is not None
    assert imported is not None, "a report that was read into the database"
    await record(
        database,
        "import",
        file=report.name,
        meter=meter.public_id,
        sha256=report.sha256,
        new=imported.new,
        changed=imported.changed,
        unchanged=imported.unchanged,
        rejected=imported.rejected,
    )


async def _finish(work: Awaitable[None]) -> None:
    """Await work to its end even if this task is cancelled: its outcome must be known."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    task.result()
