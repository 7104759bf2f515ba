"""An import: reports into the database, all of them or none."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from cli.error_report import ErrorReport, FaultyReportsError
from loader.formats.registry import format_by_name, known_formats
from loader.report import Report
from loader.rows.errors import FaultyRowsError, ReportError, RowError
from loader.rows.rejected import RejectedRows
from settings import Settings
from storage.common.errors import StorageError
from storage.common.passwords import hash_password
from storage.factory import WritableDatabase
from storage.imports.import_writer import ImportResult


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a report; `imported` is None where there was no database to compare with."""

    report: Report
    imported: ImportResult | None
    seconds: float
    rejected_to: Path | None


@dataclass(frozen=True, slots=True)
class ImportListener:
    """Is told how an import goes."""

    on_step: Callable[[str], None]
    """A part is there, or done."""
    on_wait: Callable[[], None]
    """Another loader is at work."""
    on_progress: Callable[[str, int], None]
    """So many bytes of a report were read."""


class Importer:
    """Imports reports, in one transaction, once the database is prepared."""

    def __init__(
        self,
        settings: Settings,
        database: WritableDatabase,
        watcher: ImportListener,
        layout: str | None = None,
    ) -> None:
        """Where no layout is named, each report's heading tells its own.

        Raises ReportError where there is none of that name.
        """
        known = known_formats(settings)
        self._layouts = known if layout is None else (format_by_name(known, layout),)
        self._settings = settings
        self._database = database
        self._watcher = watcher
        self.faults = ErrorReport()
        """What was found so far: with bad rows skipped, an import succeeds in spite of faults."""

    async def prepare(self) -> None:
        """Makes what is missing: database, tables, users, the account that reads."""
        async for step in self._database.engine.prepare():
            self._watcher.on_step(step)
        known = {user.name for user in await self._database.users.users()}
        for name, password in self._settings.api_users.items():
            if name not in known:
                secret = password.get_secret_value()
                hashed = await asyncio.to_thread(hash_password, secret)
                await self._database.users.add(name, hashed)
        self._watcher.on_step("User")
        if reader := await self._database.engine.admit_reader():
            self._watcher.on_step(f"'{reader}' user")

    async def run(
        self, paths: Sequence[str], *, skip_bad_rows: bool, dry_run: bool = False
    ) -> list[Summary]:
        """Imports the reports, or finds out what that would do.

        Raises FaultyReportsError or StorageError, and then nothing was written.
        """
        with ExitStack() as drafts:
            reports = [
                self._report(
                    path,
                    drafts.enter_context(RejectedRows(path)),
                    skip_bad_rows=skip_bad_rows,
                    keep_bad_rows=skip_bad_rows and not dry_run,
                )
                for path in paths
            ]
            if dry_run and not await self._database.engine.is_prepared():
                return await self._load(reports, into_database=False)
            await self._database.engine.begin(self._watcher.on_wait)
            try:
                await self._database.meters.register(str(self._settings.meter.timezone))
                summaries = await self._load(reports)
                if dry_run:
                    await self._database.engine.rollback()
                    return summaries
                for _, rejected in reports:
                    rejected.keep()
                await _uninterrupted(self._database.engine.commit())
            except BaseException:
                # What went wrong matters more than a connection that can't even roll back.
                with suppress(StorageError):
                    await self._database.engine.rollback()
                raise
            return summaries

    def _report(
        self, path: str, rejected: RejectedRows, *, skip_bad_rows: bool, keep_bad_rows: bool
    ) -> tuple[Report, RejectedRows]:
        def on_faults(faults: list[RowError], raw: bytes) -> None:
            for fault in faults:
                self.faults.add(f"{path}:{fault}")
            if keep_bad_rows:
                assert report.fitting is not None
                rejected.add(faults, raw, report.fitting.heading)

        report = Report(
            path,
            self._settings.meter.timezone,
            skip_bad_rows=skip_bad_rows,
            on_faults=on_faults,
            on_progress=lambda size: self._watcher.on_progress(path, size),
            layouts=self._layouts,
        )
        return report, rejected

    async def _load(
        self, reports: Sequence[tuple[Report, RejectedRows]], *, into_database: bool = True
    ) -> list[Summary]:
        summaries = []
        failed = False
        for report, rejected in reports:
            started = time.monotonic()
            imported = None
            try:
                if into_database and not failed:
                    imported = await self._database.imports.load(report)
                else:
                    deque(report.batches(), maxlen=0)
            except ReportError as error:
                failed = True
                if not isinstance(error, FaultyRowsError):
                    self.faults.add(str(error))
            seconds = time.monotonic() - started
            to = rejected.path if rejected.has_rows else None
            summaries.append(Summary(report, imported, seconds, to))
        if failed:
            raise FaultyReportsError(self.faults)
        return summaries


async def _uninterrupted(work: Awaitable[None]) -> None:
    """Finishes what must not be left in doubt, even if this task is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    task.result()
