"""Readings, users and their record, written: what the loader does to a database."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from domain.quantities import QUANTITY_NAMES
from domain.record_layout import CONTRACT_LAYOUT
from domain.report_source import ReportSource, RowBatch
from domain.sampling_interval import usual_interval
from settings import QualitySettings
from storage.backends.write_base import WriteEngine
from storage.common.deflate import DeflateBlock, deflate_block
from storage.common.errors import Conflict
from storage.imports.flagging import FlagUpdater
from storage.meters import METER
from storage.readings.page_store import PAGE_READINGS, PageBuilder
from storage.users import User

PROGRESS_ROWS = 1000
"""Readings that are asked for their interval."""

BATCH_BLOCKS = 32
"""Blocks that are added before their pages are: as many pages as may wait in memory."""


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
    """The loader's side of a database. Every call raises a StorageError where it fails."""

    def __init__(self, engine: WriteEngine, quality: QualitySettings) -> None:
        self._engine = engine
        self._marking = FlagUpdater(engine, quality)
        self._place = engine.dialect.place
        self.database = engine.database
        self.prepare = engine.prepare
        self.is_prepared = engine.is_prepared
        self.admit_reader = engine.admit_reader
        self.begin = engine.begin
        self.commit = engine.commit
        self.rollback = engine.rollback
        self.close = engine.close

    async def meter(self, timezone: str) -> None:
        """Records the zone of the readings; raises Conflict where they were read in another."""
        known = await self._meter("timezone, interval_seconds")
        if not known:
            await self._insert("meters", {"id": METER, "timezone": timezone})
        elif known[0] != timezone:
            raise Conflict(
                f"{self.database} holds readings in the zone {known[0]}, and meter.timezone is "
                f"{timezone}: set meter.timezone to {known[0]}, or use another database.url"
            )
        if not known or known[1] is None:
            # Readings of an older layout, or too few so far.
            await self._change_meter("interval_seconds", await self._usual_interval())

    async def _usual_interval(self) -> int | None:
        rows = await self._engine.fetch(
            f"SELECT {self._engine.dialect.instant} FROM consumpdata WHERE meter_id = {METER}"
            f" ORDER BY utc LIMIT {PROGRESS_ROWS}"
        )
        return usual_interval((instant, (0,)) for (instant,) in rows)

    async def _describe_meter(self, report: ReportSource) -> None:
        """Records what a report tells of its meter; raises Conflict where it is another one."""
        known = await self._meter("identifier, interval_seconds")
        if known[0] is None:
            await self._change_meter("identifier", report.identifier)
        elif report.identifier not in (None, known[0]):
            raise Conflict(
                f"{self.database} holds readings of the meter {known[0]}, and {report.name} has "
                f"those of {report.identifier}: use another database.url for them"
            )
        if known[1] is None:
            await self._change_meter("interval_seconds", report.interval)
        elif report.interval not in (None, known[1]):
            raise Conflict(
                f"{self.database} holds readings of every {known[1]} seconds, and {report.name} "
                f"has those of every {report.interval}: use another database.url for them"
            )

    async def _meter(self, columns: str) -> Sequence[Any]:
        rows = await self._engine.fetch(f"SELECT {columns} FROM meters WHERE id = {METER}")
        return rows[0] if rows else ()

    async def _change_meter(self, column: str, value: object) -> None:
        await self._engine.execute(
            f"UPDATE meters SET {column} = {self._place} WHERE id = {METER}", (value,)
        )

    async def load(self, report: ReportSource) -> ImportResult:
        """Adds and corrects the readings of a report, and records the import, uncommitted."""
        started = time.monotonic()
        # Counted before, since MariaDB is slow to count what is not committed yet.
        before, last_id, last_date = (
            await self._engine.fetch(
                "SELECT COUNT(*), COALESCE(MAX(id), 0), MAX(date) FROM consumpdata"
            )
        )[0]
        # TRUNCATE fires no trigger: pages and flags may have outlived their readings.
        await self._engine.execute(
            f"DELETE FROM pages WHERE first_id > {last_id - PAGE_READINGS + 1}"
        )
        await self._engine.execute(f"DELETE FROM flags WHERE reading_id > {last_id}")
        blocks = _Blocks(report.batches(), "" if last_date is None else str(last_date)[:10])
        new = await self._append(blocks, last_id)
        staged = changed = inserted = 0
        if not blocks.is_empty:
            staged = await self._engine.stage(blocks.rest())
            changed, inserted = await self._merge(staged)
        imported = ImportResult(
            new + inserted, changed, staged - changed - inserted, report.rejected
        )
        await self._describe_meter(report)
        await self._make_pages()
        await self._marking.mark(
            range(last_id + 1, last_id + 1 + new), merged=changed + inserted > 0
        )
        imported = replace(imported, flags=await self._marking.counts(report.span))
        await self._record(report, imported, before + imported.new, time.monotonic() - started)
        return imported

    async def _append(self, blocks: "_Blocks", last_id: int) -> int:
        """Adds the blocks that lie behind all readings, and their pages; returns how many rows."""
        maker = PageBuilder(last_id)
        added = 0
        while blocks.has_later:
            pages: list[tuple[int, DeflateBlock]] = []

            def watched(pages: list[tuple[int, DeflateBlock]] = pages) -> Iterator[RowBatch]:
                for block in islice(blocks.later(), BATCH_BLOCKS):
                    pages.extend(maker.add(block.rows))
                    yield block

            added += await self._engine.append(watched(), last_id)
            for first_id, page in pages:
                await self._engine.keep_page(first_id, page)
        return added

    async def _merge(self, staged: int) -> tuple[int, int]:
        """Corrects and adds readings from `incoming`; returns how many of each."""
        if await self._is_known(staged):
            return 0, 0
        changed = await self._engine.execute(self._engine.dialect.update)
        inserted = await self._engine.execute(await self._insertion())
        return changed, inserted

    async def _is_known(self, staged: int) -> bool:
        """Whether `incoming` is a run of readings as they are: quick to see, where ids tell."""
        rows = await self._engine.fetch(
            f"SELECT c.id - i.number FROM incoming i JOIN consumpdata c"
            f" ON c.meter_id = {METER} AND c.utc = i.utc ORDER BY i.number LIMIT 1"
        )
        if not rows:
            return False
        rows = await self._engine.fetch(
            f"SELECT COUNT(*) FROM incoming i JOIN consumpdata c ON c.id = i.number + {rows[0][0]}"
            f" WHERE c.meter_id = {METER} AND c.utc = i.utc AND {self._engine.dialect.same}"
        )
        return bool(rows[0][0] == staged)

    async def _make_pages(self) -> None:
        """Makes the pages that are missing, of readings that an older layout or a change left."""
        kept = {row[0] for row in await self._engine.fetch("SELECT first_id FROM pages")}
        rows = await self._engine.fetch("SELECT COALESCE(MAX(id), 0) FROM consumpdata")
        for first_id in range(1, rows[0][0] - PAGE_READINGS + 2, PAGE_READINGS):
            if first_id not in kept:
                await self._make_page(first_id)

    async def _make_page(self, first_id: int) -> None:
        reading = self._engine.reading
        where = reading.between(first_id, first_id + PAGE_READINGS - 1)
        rows = await self._engine.fetch(reading.page(where), where.args)
        count, text = rows[0]
        records = (text or "").encode()
        # What the database cut short isn't kept: whoever asks for it is told.
        if count == PAGE_READINGS == CONTRACT_LAYOUT.counted(records):
            page = await asyncio.to_thread(deflate_block, records)
            await self._engine.keep_page(first_id, page)

    async def _insertion(self) -> str:
        columns = ", ".join(("date", "utc", *QUANTITY_NAMES))
        values = ", ".join(f"i.{name}" for name in ("date", "utc", *QUANTITY_NAMES))
        rows = await self._engine.fetch("SELECT COALESCE(MAX(id), 0) FROM consumpdata")
        return (
            f"INSERT INTO consumpdata (id, meter_id, {columns})"
            f" SELECT {int(rows[0][0])} + ROW_NUMBER() OVER (ORDER BY i.number), {METER}, {values}"
            f" FROM incoming i LEFT JOIN consumpdata c ON c.meter_id = {METER} AND c.utc = i.utc"
            f" WHERE c.id IS NULL ORDER BY i.number"
        )

    async def _record(
        self, report: ReportSource, imported: ImportResult, readings: int, seconds: float
    ) -> None:
        rows = await self._engine.fetch(
            "SELECT (SELECT MIN(id) FROM consumpdata), (SELECT MAX(id) FROM consumpdata)"
        )
        first_id, last_id = rows[0]
        first, last = report.span or (None, None)
        await self._insert(
            "imports",
            {
                "version": secrets.token_hex(16),
                "meter_id": METER,
                "file": report.name[-255:],
                "sha256": report.sha256,
                "new": imported.new,
                "changed": imported.changed,
                "unchanged": imported.unchanged,
                "rejected": imported.rejected,
                "first_reading": first,
                "last_reading": last,
                "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
                "seconds": round(seconds, 3),
                "readings": readings,
                "first_id": first_id,
                "last_id": last_id,
            },
        )

    async def users(self) -> list[User]:
        """All users, by name."""
        rows = await self._engine.fetch(
            "SELECT user, password, enabled, role, generation FROM users ORDER BY user"
        )
        return [
            User(name, password, bool(enabled), role, generation)
            for name, password, enabled, role, generation in rows
        ]

    async def add_user(self, name: str, password: str) -> bool:
        """Adds a user with the hash of a password; False where the name is taken."""
        values = {"user": name, "password": password}
        return await self._insert("users", values, self._engine.dialect.unless_taken) == 1

    async def set_password(self, name: str, password: str) -> bool:
        """Replaces the hash of a user's password; False where there is no such user."""
        return await self._change_user("password", password, name)

    async def set_enabled(self, name: str, *, enabled: bool) -> bool:
        """Lets a user log in, or not; False where there is no such user."""
        return await self._change_user("enabled", int(enabled), name)

    async def set_role(self, name: str, role: str) -> bool:
        """Says what a user may do; False where there is no such user."""
        return await self._change_user("role", role, name)

    async def _change_user(self, column: str, value: object, name: str) -> bool:
        if not any(user.name == name for user in await self.users()):
            return False
        await self._engine.execute(
            f"UPDATE users SET {column} = {self._place} WHERE user = {self._place}", (value, name)
        )
        return True

    async def _insert(self, table: str, values: Mapping[str, object], ending: str = "") -> int:
        places = ", ".join([self._place] * len(values))
        return await self._engine.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places}) {ending}",
            tuple(values.values()),
        )


class _Blocks:
    """The blocks of a report: the later ones lie behind the last day that has readings.

    Once one doesn't, it and all that follow are the rest.
    """

    def __init__(self, blocks: Iterable[RowBatch], last_day: str) -> None:
        self._blocks = iter(blocks)
        self._last_day = last_day
        self._next = next(self._blocks, None)

    @property
    def is_empty(self) -> bool:
        return self._next is None

    @property
    def has_later(self) -> bool:
        return self._next is not None and self._next.first[:10] > self._last_day

    def later(self) -> Iterator[RowBatch]:
        while self._next is not None and self.has_later:
            block, self._next = self._next, next(self._blocks, None)
            yield block

    def rest(self) -> Iterator[RowBatch]:
        while self._next is not None:
            block, self._next = self._next, next(self._blocks, None)
            yield block
