"""Imports of reports: readings, their pages and flags, and a record of each import."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from domain.quantities import ALL_QUANTITY_NAMES
from domain.record_layout import CONTRACT_LAYOUT
from domain.report_source import ReportSource, RowBatch
from domain.time.local_time import LocalTimeResolver
from settings import QualitySettings
from storage.backends.base import WriteEngine
from storage.backends.day_sums import DaySpan
from storage.backends.dialect import Condition, readings_of
from storage.columns.block_builder import ReadingsBlock, built_block
from storage.columns.row_source import columns_statement, parsed_columns
from storage.common.deflate import DeflateBlock, deflate_block
from storage.common.errors import Conflict
from storage.common.identifiers import is_same_meter
from storage.imports.appended import AppendedReadings
from storage.imports.days import DayUpdater
from storage.imports.flagging import Flagged, FlagUpdater, energy_limit
from storage.imports.intervals import IntervalUpdater, NewReadings, lengths_within
from storage.imports.merging import (
    DEFAULT_OPTIONS,
    Correction,
    Merged,
    MergeOptions,
    ReadingsMerger,
)
from storage.imports.runs import AppendedRuns, Run
from storage.meters import MeterAdmin, MeterRecord, MeterState
from storage.readings.page_store import PAGE_READINGS, built_page

BATCHES_BEFORE_PAGES = 8
"""Batches that are inserted before their pages: as many pages as may wait in memory."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did: numbers of readings, and of the rows that were left out."""

    new: int
    changed: int
    unchanged: int
    rejected: int
    kept: int = 0
    """Values that stayed because the report has an empty field."""
    corrections: Sequence[Correction] = ()
    """The first ones of the readings that were changed."""
    intervals: Sequence[int | None] = ()
    """The intervals of the readings between the first and the last of the report, in order."""
    flags: Mapping[str, int] = field(default_factory=dict)
    """How many readings of the report's span have which flag, by its name."""


@dataclass(frozen=True, slots=True)
class _Appended:
    """Readings after all others, and their pages."""

    ids: range
    pages: int


@dataclass(frozen=True, slots=True)
class _Import:
    """An import into a meter, and what the meter had before."""

    meter_id: int
    number: int
    """The number of the import of its meter."""
    readings: int
    last_id: int
    last_utc: int | None
    """The start of the last reading, seconds since 1970."""
    last_day: str
    """The last local day that has readings, empty if none has."""
    pages: int | None
    """How many are stored with their blocks, None if that has to be looked up."""


class ImportWriter:
    """Imports reports. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine, quality: QualitySettings) -> None:
        self._engine = engine
        self._limit = energy_limit(quality)
        self._meters = MeterAdmin(engine)
        self._flags = FlagUpdater(engine, quality)
        self._days = DayUpdater(engine)
        self._merger = ReadingsMerger(engine)
        self._intervals = IntervalUpdater(engine)

    async def load(
        self, report: ReportSource, meter: MeterRecord, options: MergeOptions = DEFAULT_OPTIONS
    ) -> ImportResult:
        """Add and correct readings of a meter, and record the import, uncommitted.

        Raises Disagreement if the report may be another meter's.
        """
        started = time.monotonic()
        zone = meter.timezone
        known, state, (ends, recorded) = await self._meters.lock_and_fetch(
            meter.id, self._ends(meter.id), self._intervals.recorded(meter.id)
        )
        meter = known
        if meter.timezone != zone:
            raise Conflict(
                f"the time zone of {meter.public_id} was changed meanwhile: load {report.name}"
                " again"
            )
        work = await self._begin(state, meter.id, ends[0])
        batches = _RowBatches(report.batches(), work.last_day)
        is_stale = bool(state.changes) or state.last_id != work.last_id
        readings = None
        if not is_stale or not work.readings:
            intervals = self._intervals.known(meter, recorded)
            resolver = LocalTimeResolver(ZoneInfo(zone))
            readings = AppendedReadings(work.last_id, resolver, self._limit, intervals)
        appended = await self._append(batches, work, readings)
        staged = 0 if batches.is_empty else await self._engine.stage(batches.rest())
        meter = await self._meters.describe(meter, report)
        merged = await self._merge(report, known, work, staged, options)
        changed, inserted = merged.changed, merged.inserted
        result = _result(report, appended, merged)
        last_id = work.last_id + result.new
        if changed or work.pages is None or work.pages + appended.pages != last_id // PAGE_READINGS:
            await self._build_missing_pages(meter.id, last_id)
        new = NewReadings(work.readings, work.last_utc, result.new, are_later=not staged)
        intervals = await self._intervals.update(meter, report, new, recorded)
        meter = replace(meter, interval=intervals.only)
        result = replace(result, intervals=lengths_within(intervals, report.differences))
        reflagged = False
        flagged = None
        if last_id and report.span is not None:
            flagged = await self._flags.update(
                meter,
                intervals,
                report.span,
                appended.ids,
                readings,
                merged=changed + inserted > 0,
                tells_estimated=report.tells_estimated,
            )
            meter, reflagged = flagged.meter, flagged.has_changed
            if staged or flagged.has_any:
                ids = None if staged else appended.ids
                result = replace(result, flags=await self._flags.counts(meter, report.span, ids))
        spans = [DaySpan(meter.id, *batches.appended_days, appended.ids)] if appended.ids else []
        await self._keep_days(work, spans, flagged, is_stale=is_stale, is_merged=staged > 0)
        await self._meters.update(known, meter)
        await self._record(
            report,
            result,
            work,
            time.monotonic() - started,
            # An id that another program has deleted, or TRUNCATE has, may stand for a new reading.
            is_correction=changed > 0 or reflagged or state.last_id != work.last_id,
        )
        return result

    def _ends(self, meter_id: int) -> Condition:
        """Return the statement that selects where the readings of a meter end."""
        dialect = self._engine.dialect
        of_meter = f"WHERE meter_id = {dialect.placeholder}"
        columns = dialect.few(
            [
                f"(SELECT COALESCE(MAX(id), 0) FROM readings {of_meter})",
                f"(SELECT {dialect.unix_seconds('MAX(utc)')} FROM readings {of_meter})",
                f"(SELECT MAX(date) FROM readings {of_meter})",
                f"(SELECT COUNT(*) FROM pages {of_meter})",
                f"(SELECT COUNT(*) FROM blocks {of_meter})",
            ]
        )
        return Condition(f"SELECT {columns}", (meter_id,) * 5)

    async def _begin(self, state: MeterState, meter_id: int, ends: Sequence[Any]) -> _Import:
        """Return an import of a meter; remove what has outlived its readings."""
        last_id, last_utc, last_date, pages, blocks = self._engine.dialect.parse_few(ends)
        if pages != blocks:
            pages = None
        readings = state.readings
        # TRUNCATE fires no trigger.
        if readings is None or state.last_id != last_id:
            # Counted before, since MariaDB is slow to count what is not committed yet.
            readings = (
                await self._engine.fetch(
                    f"SELECT COUNT(*) FROM readings WHERE meter_id = {meter_id}"
                )
            )[0][0]
            await self._engine.execute(
                f"DELETE FROM pages WHERE meter_id = {meter_id}"
                f" AND first_id > {last_id - PAGE_READINGS + 1}"
            )
            for table in ("flags", "replaced_values"):
                await self._engine.execute(
                    f"DELETE FROM {table} WHERE meter_id = {meter_id} AND reading_id > {last_id}"
                )
            pages = None
        if not readings and (state.changes or state.last_id != last_id):
            await self._days.forget(meter_id)
        last_day = "" if last_date is None else str(last_date)[:10]
        return _Import(meter_id, state.imports + 1, readings, last_id, last_utc, last_day, pages)

    async def _append(
        self, batches: "_RowBatches", work: _Import, readings: AppendedReadings | None
    ) -> "_Appended":
        """Insert the batches after all readings, and their pages; note the readings."""
        runs = AppendedRuns(work.last_id)
        appended = built = 0
        while batches.has_later:
            pages: list[tuple[DeflateBlock, ReadingsBlock]] = []

            def building(
                pages: list[tuple[DeflateBlock, ReadingsBlock]] = pages,
            ) -> Iterator[RowBatch]:
                for batch in islice(batches.later(), BATCHES_BEFORE_PAGES):
                    pages.extend(map(_stored, runs.add(batch.columns, batch.ahead)))
                    if readings is not None:
                        readings.add(batch)
                    yield batch

            appended += await self._engine.append(
                building(), work.meter_id, work.number, work.last_id
            )
            for page, block in pages:
                await self._engine.store_page(work.meter_id, block.first_id, page)
                await self._store_block(work.meter_id, block)
            built += len(pages)
            if readings is not None and batches.has_later:
                settled = readings.settled()
                await self._flags.record(work.meter_id, settled.flags)
                await self._days.add(work.meter_id, settled.days)
        ids = range(work.last_id + 1, work.last_id + 1 + appended)
        return _Appended(ids, built)

    async def _keep_days(
        self,
        work: _Import,
        appended: Sequence[DaySpan],
        flagged: Flagged | None,
        *,
        is_stale: bool,
        is_merged: bool,
    ) -> None:
        """Bring the sums of the days up to date that the import has touched, or of all."""
        if flagged is not None and flagged.days is not None:
            await self._days.add(work.meter_id, flagged.days)
        elif is_stale or (flagged and flagged.is_of_all):
            is_new = not work.readings and not is_merged
            ids = appended[0].ids if is_new and appended else None
            await self._days.rebuild(work.meter_id, ids)
        else:
            spans = [*appended]
            if flagged is not None and flagged.merged_days is not None:
                spans.append(DaySpan(work.meter_id, *flagged.merged_days))
            await self._days.update(*spans)

    async def _merge(
        self,
        report: ReportSource,
        meter: MeterRecord,
        work: _Import,
        staged: int,
        options: MergeOptions,
    ) -> Merged:
        """Merge the rows that were staged, if any, with the readings that are there."""
        if not staged:
            return Merged()
        if is_same_meter(meter.identifier, report.identifier):
            options = replace(options, is_confirmed=True)
        return await self._merger.merge(report, work.meter_id, work.number, options, staged)

    async def _build_missing_pages(self, meter_id: int, last_id: int) -> None:
        """Store the pages and blocks of readings that an older loader wrote, or whose were removed.

        A change of a reading removes them.
        """
        if last_id < PAGE_READINGS:
            return
        pages, blocks = [
            {
                row[0]
                for row in await self._engine.fetch(
                    f"SELECT first_id FROM {table} WHERE meter_id = {meter_id}"
                )
            }
            for table in ("pages", "blocks")
        ]
        for first_id in range(1, last_id - PAGE_READINGS + 2, PAGE_READINGS):
            is_stored = first_id in pages or await self._build_page(meter_id, first_id)
            if is_stored and first_id not in pages & blocks:
                await self._build_block(meter_id, first_id)

    async def _build_page(self, meter_id: int, first_id: int) -> bool:
        """Store a page if all of its readings are there; return whether they are."""
        dialect = self._engine.dialect
        where = dialect.between(first_id, first_id + PAGE_READINGS - 1)
        rows = await self._engine.fetch(dialect.page(readings_of(meter_id), where), where.args)
        count, text = int(rows[0][0]), rows[0][1]
        records = (text or "").encode()
        # A page that the database cut short is not stored: its readers are told.
        is_whole = count == PAGE_READINGS == CONTRACT_LAYOUT.count_records(records)
        if is_whole:
            page = await asyncio.to_thread(deflate_block, records)
            await self._engine.store_page(meter_id, first_id, page)
        return is_whole

    async def _build_block(self, meter_id: int, first_id: int) -> None:
        """Store the block of the readings of a page."""
        dialect = self._engine.dialect
        table = readings_of(meter_id)
        where = table.where(dialect.between(first_id, first_id + PAGE_READINGS - 1))
        sql = columns_statement(dialect, dialect.in_order_of_id(table), where, ALL_QUANTITY_NAMES)
        (row,) = await self._engine.fetch(sql, where.args)
        columns = await asyncio.to_thread(parsed_columns, row, ALL_QUANTITY_NAMES)
        await self._store_block(meter_id, await asyncio.to_thread(built_block, first_id, columns))

    async def _store_block(self, meter_id: int, block: ReadingsBlock) -> None:
        times = (block.first_utc, block.last_utc)
        await self._engine.store_block(meter_id, block.first_id, times, block.columns)

    async def _record(
        self,
        report: ReportSource,
        result: ImportResult,
        work: _Import,
        seconds: float,
        *,
        is_correction: bool,
    ) -> None:
        version = secrets.token_hex(16)
        finished = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        readings = work.readings + result.new
        last_id = work.last_id + result.new
        first, last = report.span or (None, None)
        dialect = self._engine.dialect
        of_meter = f"FROM readings WHERE meter_id = {dialect.placeholder}"
        values = {
            "meter_id": work.meter_id,
            "id": work.number,
            "version": version,
            "file": report.name[-255:],
            "sha256": report.sha256,
            "new": result.new,
            "changed": result.changed,
            "unchanged": result.unchanged,
            "rejected": result.rejected,
            "kept": result.kept,
            "format": report.format[:255],
            "first_reading": first,
            "last_reading": last,
            "finished": finished,
            "seconds": round(seconds, 3),
            "readings": readings,
            "last_id": last_id or None,
        }
        placeholders = ", ".join([dialect.placeholder] * len(values))
        await self._engine.post(
            f"INSERT INTO imports ({', '.join(values)}, first_id)"
            f" VALUES ({placeholders}, (SELECT MIN(id) {of_meter}))",
            (*values.values(), work.meter_id),
        )
        state = {
            "version": version,
            "changes": 0,
            "readings": readings,
            "last_id": last_id,
            "imports": work.number,
            "changed": finished,
        }
        await self._engine.post(
            f"UPDATE states SET corrections = corrections + {is_correction:d},"
            f" first_id = (SELECT MIN(id) {of_meter}), first_utc = (SELECT MIN(utc) {of_meter}),"
            f" last_utc = (SELECT MAX(utc) {of_meter}),"
            f" {', '.join(f'{name} = {dialect.placeholder}' for name in state)}"
            f" WHERE meter_id = {dialect.placeholder}",
            (*[work.meter_id] * 3, *state.values(), work.meter_id),
        )


def _result(report: ReportSource, appended: _Appended, merged: Merged) -> ImportResult:
    return ImportResult(
        len(appended.ids) + merged.inserted,
        merged.changed,
        merged.staged - merged.changed - merged.inserted,
        report.rejected,
        merged.kept,
        merged.corrections,
    )


def _stored(run: Run) -> tuple[DeflateBlock, ReadingsBlock]:
    """Return the page and the block of a run."""
    return built_page(*run), built_block(run.first_id, run.columns)


class _RowBatches:
    """The batches of a report: first the later ones, after the last day that has readings.

    From the first that is not later, all are the rest.
    """

    def __init__(self, batches: Iterable[RowBatch], last_day: str) -> None:
        self._batches = iter(batches)
        self._last_day = last_day
        self._next = next(self._batches, None)
        self._appended: list[str] = []

    @property
    def is_empty(self) -> bool:
        return self._next is None

    @property
    def appended_days(self) -> tuple[str, str]:
        """The first and the last day of the later batches so far."""
        return min(self._appended), max(self._appended)

    @property
    def has_later(self) -> bool:
        return self._next is not None and self._next.first[:10] > self._last_day

    def later(self) -> Iterator[RowBatch]:
        while self._next is not None and self.has_later:
            batch, self._next = self._next, next(self._batches, None)
            self._appended += batch.first[:10], batch.last[:10]
            yield batch

    def rest(self) -> Iterator[RowBatch]:
        while self._next is not None:
            batch, self._next = self._next, next(self._batches, None)
            yield batch
