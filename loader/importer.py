"""Importing reports into the database: those of a meter all together or not at all."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter

from cli.error_report import ErrorReport, FaultyReportsError
from loader.audit_record import recorded
from loader.formats.registry import format_by_name, known_formats
from loader.imports.assignment import MeterAssignment
from loader.imports.outcome import (
    ImportOutcome,
    ImportSummary,
    PartlyImportedError,
    not_tried,
    without_file,
)
from loader.imports.plan import ImportPlan, MeterImport
from loader.imports.transaction import ImportOptions, ReportImporter, record_failure
from loader.imports.workers import ImportWorkers, count_workers
from loader.rows.errors import FaultyRowsError, ReportError, RowError
from loader.rows.file_reader import report_name
from loader.rows.rejected import save_all
from settings import Settings
from storage.common.errors import StorageError
from storage.common.passwords import hash_password
from storage.factory import WritableDatabase


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
    on_takeover: Callable[[int, int], None] = lambda _done, _all: None
    """Called with the shares of a long move of readings to a new layout: done, and all."""
    on_reports: Callable[[int, int, int], None] = lambda _done, _written, _all: None
    """Called with the number of reports that are done, of these written, and of all, if meters are
    imported one by one."""


class Importer:
    """Imports reports, after `prepare`."""

    def __init__(
        self,
        settings: Settings,
        database: WritableDatabase,
        listener: ImportListener,
        format_name: str | None = None,
        meter_name: str | None = None,
        *,
        register: bool = False,
        interval: int | None = None,
    ) -> None:
        """Detect each report's format by its header, unless a format is named.

        The reports belong to the meter that is named or, if none is, to those that they tell of.
        An unknown one is registered, or else refused.

        Raises ReportError if there is no format of that name.
        """
        self._format_name = format_name
        self._interval = interval
        known = known_formats(settings, interval)
        self._formats = known if format_name is None else (format_by_name(known, format_name),)
        self._settings = settings
        self._database = database
        self._listener = listener
        database.engine.on_wait = listener.on_wait
        database.engine.on_warning = listener.on_warning
        database.engine.on_takeover = listener.on_takeover
        self._assignment = MeterAssignment(
            database.meters, settings.meter, meter_name, register=register
        )
        self._lacks_default = False
        """Whether the view shows another meter than the default one, which is not registered."""
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
        self._lacks_default = self._settings.meter.default is not None
        await self._show_default()
        if reader := await self._database.engine.admit_reader():
            self._listener.on_step(f"'{reader}' user")

    async def run(
        self,
        paths: Sequence[str],
        *,
        skip_bad_rows: bool,
        dry_run: bool = False,
        all_or_nothing: bool = False,
        empty_erases: bool = False,
        allow_corrections: bool = False,
    ) -> list[ImportSummary]:
        """Import the reports, or with `dry_run` find out what that would change.

        With `empty_erases`, empty fields erase the values that are there; with `allow_corrections`,
        a report that does not say whose it is may differ from nearly all that is there.

        Each meter has its own transaction, unless all or nothing is to be imported. Raises
        PartlyImportedError if that of some meters failed, or if days are refused. With a single
        one, raises FaultyReportsError, ReportError or StorageError; nothing was written then,
        unless the message says so.
        """
        options = ImportOptions(
            skip_bad_rows=skip_bad_rows,
            dry_run=dry_run,
            empty_erases=empty_erases,
            allow_corrections=allow_corrections,
            all_or_nothing=all_or_nothing and not skip_bad_rows,
            interval=self._interval,
        )
        importer = ReportImporter(
            self._settings, self._database, self._formats, options, self._listener.on_progress
        )
        plan = ImportPlan(
            self._formats,
            self._settings.meter.timezone,
            skip_bad_rows=skip_bad_rows,
            dry_run=dry_run,
            on_errors=self._add_errors,
        )
        with plan:
            if dry_run and not await self._database.engine.is_prepared():
                plan.read_without_meters(paths)
                summaries = await self._check(plan, importer)
                self._require_all_days(summaries, importer.options)
                return summaries
            await plan.find_meters(paths, self._assignment)
            if not dry_run:
                await self._database.users.forget_revocations()
            is_together = all_or_nothing or len(plan.imports) + plan.strangers <= 1
            run = self._import_together if is_together else self._import_apart
            try:
                summaries = await run(plan, importer, dry_run=dry_run)
            except PartlyImportedError:
                await self._show_new_default()
                raise
            await self._show_new_default()
            self._require_all_days(summaries, importer.options)
            return summaries

    def _require_all_days(self, summaries: Sequence[ImportSummary], options: ImportOptions) -> None:
        """Raise PartlyImportedError if days are refused and bad rows are not to be skipped."""
        days = sum(len(summary.refused_days) for summary in summaries)
        if days and not options.skip_bad_rows:
            what = "1 day is refused" if days == 1 else f"{days} days are refused"
            done = "" if options.dry_run else "; all others were written"
            raise PartlyImportedError(f"{what}{done}", summaries, self.errors)

    async def _show_default(self) -> None:
        """Let the view show the default meter, once it is registered."""
        default = self._settings.meter.default
        if default is not None and (meter := await self._database.meters.find(default)):
            await self._database.engine.show_meter(meter.id)
            self._lacks_default = False

    async def _show_new_default(self) -> None:
        """Do so after an import that may have registered it, whose outcome stands."""
        if not self._lacks_default:
            return
        try:
            await self._show_default()
        except StorageError as error:
            self._listener.on_warning(
                f"the view consumpdata does not show the meter {self._settings.meter.default} yet:"
                f" run `elecdata load` once more ({error})"
            )

    async def _check(self, plan: ImportPlan, importer: ReportImporter) -> list[ImportSummary]:
        """Read all reports; raise FaultyReportsError if any has errors."""
        outcome = ImportOutcome(errors=self.errors)
        await importer.check(plan.imports, outcome)
        return outcome.summaries

    async def _import_together(
        self, plan: ImportPlan, importer: ReportImporter, *, dry_run: bool
    ) -> list[ImportSummary]:
        """Import all reports in one transaction, or none of them."""
        outcome = ImportOutcome(errors=self.errors)
        if not plan.unassigned:
            await importer.run(plan.imports, outcome)
            return sorted(outcome.summaries, key=attrgetter("number"))
        faults = {report.number: error for report, error in plan.unassigned}
        reports = [report for report, _ in plan.unassigned]
        reports += [report for each in plan.imports for report in each.reports]
        for report in sorted(reports, key=attrgetter("number")):
            if report.number in faults:
                self._add_error(faults[report.number])
                continue
            with suppress(FaultyReportsError):
                await importer.check([MeterImport(None, [report])], outcome)
        error = FaultyReportsError(self.errors)
        if not dry_run:
            await record_failure(self._database, plan.paths, error)
        raise error

    async def _import_apart(
        self, plan: ImportPlan, importer: ReportImporter, *, dry_run: bool
    ) -> list[ImportSummary]:
        """Import the reports of each meter in a transaction of their own."""
        summaries = self._add_unassigned(plan)
        if summaries and not dry_run:
            paths = [report.path for report, _ in plan.unassigned]
            await record_failure(self._database, paths, FaultyReportsError(self.errors))
        written: set[int] = set()
        is_unsaved = False

        def add(outcome: ImportOutcome) -> None:
            nonlocal is_unsaved
            summaries.extend(outcome.summaries)
            self.errors.add_all(outcome.errors)
            if outcome.is_written:
                written.update(summary.number for summary in outcome.summaries)
                is_unsaved = is_unsaved or outcome.error is not None
            self._listener.on_reports(len(summaries), len(written), plan.size)

        left = deque(plan.imports)
        fatal = await self._run_all(left, importer, add)
        for work in left:
            add(not_tried(work, str(fatal)))
        summaries.sort(key=attrgetter("number"))
        for rejected in plan.shared_files(written):
            try:
                save_all([rejected])
            except ReportError as error:
                self._add_error(error)
                is_unsaved = True
                summaries = [without_file(summary, rejected.path) for summary in summaries]
        texts = [fatal] if fatal else []
        if failed := sum(summary.error is not None for summary in summaries):
            what = "have errors" if dry_run else "were not written"
            texts.append(f"{failed} of {plan.size} reports {what}")
        if is_unsaved:
            texts.append("rejected rows were not saved")
        if texts:
            raise PartlyImportedError("; ".join(texts), summaries, self.errors)
        return summaries

    async def _run_all(
        self,
        left: deque[MeterImport],
        importer: ReportImporter,
        add: Callable[[ImportOutcome], None],
    ) -> str | None:
        """Take imports and run them; return the error if the database fails, which ends that."""
        # Rejected rows of several meters go to one file, which this process writes.
        is_here = importer.options.skip_bad_rows
        here = deque(each for each in left if is_here and each.has_parts)
        others = deque(each for each in left if not (is_here and each.has_parts))
        left.clear()
        try:
            error = await self._run_by_workers(others, importer, add)
            return error or await self._run_here(here, importer, add)
        finally:
            left.extend((*others, *here))

    async def _run_by_workers(
        self,
        left: deque[MeterImport],
        importer: ReportImporter,
        add: Callable[[ImportOutcome], None],
    ) -> str | None:
        """Run imports, in worker processes if there are many."""
        workers = count_workers(left)
        if workers > 1:
            pool = ImportWorkers(
                self._settings,
                self._format_name,
                importer.options,
                commits_together=self._database.engine.commits_together,
                on_outcome=add,
                on_wait=self._listener.on_wait,
            )
            try:
                error = await pool.run(left, workers)
            finally:
                await self._database.engine.sync()
            if error:
                return error
        return await self._run_here(left, importer, add)

    async def _run_here(
        self,
        left: deque[MeterImport],
        importer: ReportImporter,
        add: Callable[[ImportOutcome], None],
    ) -> str | None:
        """Run imports in this process, one after the other."""
        while left:
            (outcome,) = await importer.attempt([left.popleft()])
            add(outcome)
            if outcome.is_fatal:
                return outcome.error
        return None

    def _add_error(self, error: ReportError) -> None:
        """Add the error of a report, unless those of its rows were."""
        if not isinstance(error, FaultyRowsError):
            self.errors.add(str(error))

    def _add_errors(self, path: str, errors: list[RowError]) -> None:
        for error in errors:
            self.errors.add(f"{path}:{error}")

    def _add_unassigned(self, plan: ImportPlan) -> list[ImportSummary]:
        """Add the errors of the reports that belong to no meter; return their outcomes."""
        for _, error in plan.unassigned:
            self._add_error(error)
        return [
            ImportSummary(report.number, report_name(report.path), error=str(error))
            for report, error in plan.unassigned
        ]
