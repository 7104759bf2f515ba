"""Imports of reports: readings, their pages and flags, and a record of each import."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice

from domain.quantities import QUANTITY_NAMES
from domain.record_layout import CONTRACT_LAYOUT
from domain.report_source import ReportSource, RowBatch
from settings import QualitySettings
from storage.backends.base import WriteEngine
from storage.common.deflate import DeflateBlock, deflate_block
from storage.common.errors import NotPrepared
from storage.imports.flagging import FlagUpdater
from storage.meters import METER_ID, MeterAdmin
from storage.readings.page_store import PAGE_READINGS, PageBuilder

BATCHES_BEFORE_PAGES = 32
"""Batches that are inserted before their pages: as many pages as may wait in memory."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did: numbers of readings, and of the rows that were left out."""

    new: int
    changed: int
    unchanged: int
    rejected: int
    flags: Mapping[str, int] = field(default_factory=dict)
    """How many readings of the report's span have which flag, by its name."""


class ImportWriter:
    """Imports reports. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine, quality: QualitySettings) -> None:
        self._engine = engine
        self._meters = MeterAdmin(engine)
        self._flags = FlagUpdater(engine, quality)

    async def load(self, report: ReportSource) -> ImportResult:
        """Add and correct the readings of a report, and record the import, uncommitted."""
        started = time.monotonic()
        # Counted before, since MariaDB is slow to count what is not committed yet.
        before, last_id, last_date = (
            await self._engine.fetch(
                "SELECT COUNT(*), COALESCE(MAX(id), 0), MAX(date) FROM consumpdata"
            )
        )[0]
        states = await self._engine.fetch("SELECT last_id FROM states")
        if not states:
            raise NotPrepared("the table states has lost its row: restore a backup")
        known_id = states[0][0]
        # TRUNCATE fires no trigger: pages and flags may have outlived their readings.
        await self._engine.execute(
            f"DELETE FROM pages WHERE first_id > {last_id - PAGE_READINGS + 1}"
        )
        await self._engine.execute(f"DELETE FROM flags WHERE reading_id > {last_id}")
        batches = _RowBatches(report.batches(), "" if last_date is None else str(last_date)[:10])
        appended = await self._append(batches, last_id)
        staged = changed = inserted = 0
        if not batches.is_empty:
            staged = await self._engine.stage(batches.rest())
            changed, inserted = await self._merge(staged)
        result = ImportResult(
            appended + inserted, changed, staged - changed - inserted, report.rejected
        )
        await self._meters.describe(report)
        await self._build_missing_pages()
        reflagged = await self._flags.update(
            range(last_id + 1, last_id + 1 + appended), merged=changed + inserted > 0
        )
        result = replace(result, flags=await self._flags.counts(report.span))
        await self._record(
            report,
            result,
            before + result.new,
            time.monotonic() - started,
            # An id that another program has deleted, or TRUNCATE has, may stand for a new reading.
            is_correction=changed > 0 or reflagged or known_id != last_id,
        )
        return result

    async def _append(self, batches: "_RowBatches", last_id: int) -> int:
        """Insert the batches after all readings, and their pages; return how many rows."""
        builder = PageBuilder(last_id)
        appended = 0
        while batches.has_later:
            pages: list[tuple[int, DeflateBlock]] = []

            def building(pages: list[tuple[int, DeflateBlock]] = pages) -> Iterator[RowBatch]:
                for batch in islice(batches.later(), BATCHES_BEFORE_PAGES):
                    pages.extend(builder.add(batch.rows))
                    yield batch

            appended += await self._engine.append(building(), last_id)
            for first_id, page in pages:
                await self._engine.store_page(first_id, page)
        return appended

    async def _merge(self, staged: int) -> tuple[int, int]:
        """Correct and add readings from `incoming`; return how many of each."""
        if await self._is_known(staged):
            return 0, 0
        changed = await self._engine.execute(self._engine.dialect.update_readings(METER_ID))
        inserted = await self._engine.execute(await self._insertion())
        return changed, inserted

    async def _is_known(self, staged: int) -> bool:
        """Return whether `incoming` is a run of unchanged readings: quick, if ids tell."""
        rows = await self._engine.fetch(
            f"SELECT c.id - i.number FROM incoming i JOIN consumpdata c"
            f" ON c.meter_id = {METER_ID} AND c.utc = i.utc ORDER BY i.number LIMIT 1"
        )
        if not rows:
            return False
        rows = await self._engine.fetch(
            f"SELECT COUNT(*) FROM incoming i JOIN consumpdata c ON c.id = i.number + {rows[0][0]}"
            f" WHERE c.meter_id = {METER_ID} AND c.utc = i.utc"
            f" AND {self._engine.dialect.same_quantities}"
        )
        return bool(rows[0][0] == staged)

    async def _build_missing_pages(self) -> None:
        """Store the pages of readings from an older schema, or whose page a change removed."""
        stored = {row[0] for row in await self._engine.fetch("SELECT first_id FROM pages")}
        rows = await self._engine.fetch("SELECT COALESCE(MAX(id), 0) FROM consumpdata")
        for first_id in range(1, rows[0][0] - PAGE_READINGS + 2, PAGE_READINGS):
            if first_id not in stored:
                await self._build_page(first_id)

    async def _build_page(self, first_id: int) -> None:
        dialect = self._engine.dialect
        where = dialect.between(first_id, first_id + PAGE_READINGS - 1)
        rows = await self._engine.fetch(dialect.page(where), where.args)
        count, text = int(rows[0][0]), rows[0][1]
        records = (text or "").encode()
        # A page that the database cut short is not stored: its readers are told.
        if count == PAGE_READINGS == CONTRACT_LAYOUT.count_records(records):
            page = await asyncio.to_thread(deflate_block, records)
            await self._engine.store_page(first_id, page)

    async def _insertion(self) -> str:
        columns = ", ".join(("date", "utc", *QUANTITY_NAMES))
        values = ", ".join(f"i.{name}" for name in ("date", "utc", *QUANTITY_NAMES))
        rows = await self._engine.fetch("SELECT COALESCE(MAX(id), 0) FROM consumpdata")
        return (
            f"INSERT INTO consumpdata (id, meter_id, {columns})"
            f" SELECT {int(rows[0][0])} + ROW_NUMBER() OVER (ORDER BY i.number), {METER_ID},"
            f" {values} FROM incoming i LEFT JOIN consumpdata c"
            f" ON c.meter_id = {METER_ID} AND c.utc = i.utc"
            f" WHERE c.id IS NULL ORDER BY i.number"
        )

    async def _record(
        self,
        report: ReportSource,
        result: ImportResult,
        readings: int,
        seconds: float,
        *,
        is_correction: bool,
    ) -> None:
        rows = await self._engine.fetch(
            "SELECT (SELECT MIN(id) FROM consumpdata), (SELECT MAX(id) FROM consumpdata)"
        )
        first_id, last_id = rows[0]
        first, last = report.span or (None, None)
        values = {
            "version": secrets.token_hex(16),
            "meter_id": METER_ID,
            "file": report.name[-255:],
            "sha256": report.sha256,
            "new": result.new,
            "changed": result.changed,
            "unchanged": result.unchanged,
            "rejected": result.rejected,
            "first_reading": first,
            "last_reading": last,
            "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "seconds": round(seconds, 3),
            "readings": readings,
            "first_id": first_id,
            "last_id": last_id,
        }
        await self._engine.execute(
            self._engine.dialect.insert("imports", tuple(values)), tuple(values.values())
        )
        state = {
            "version": values["version"],
            "changes": 0,
            "readings": readings,
            "first_id": first_id,
            "last_id": last_id or 0,
        }
        placeholder = self._engine.dialect.placeholder
        await self._engine.execute(
            f"UPDATE states SET corrections = corrections + {is_correction:d},"
            f" {', '.join(f'{name} = {placeholder}' for name in state)}"
            f" WHERE meter_id = {METER_ID}",
            tuple(state.values()),
        )


class _RowBatches:
    """The batches of a report: first the later ones, after the last day that has readings.

    From the first that is not later, all are the rest.
    """

    def __init__(self, batches: Iterable[RowBatch], last_day: str) -> None:
        self._batches = iter(batches)
        self._last_day = last_day
        self._next = next(self._batches, None)

    @property
    def is_empty(self) -> bool:
        return self._next is None

    @property
    def has_later(self) -> bool:
        return self._next is not None and self._next.first[:10] > self._last_day

    def later(self) -> Iterator[RowBatch]:
        while self._next is not None and self.has_later:
            batch, self._next = self._next, next(self._batches, None)
            yield batch

    def rest(self) -> Iterator[RowBatch]:
        while self._next is not None:
            batch, self._next = self._next, next(self._batches, None)
            yield batch
