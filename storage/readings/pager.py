"""Long answers, a page at a time: found, fetched ahead, and counted."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from domain.record_layout import CONTRACT_LAYOUT, CONTRACT_NDJSON_LAYOUT, RecordLayout
from storage.backends.base import ReadEngine
from storage.backends.dialect import DESCENDING, PLAUSIBLE, Condition
from storage.common.deflate import DeflateBlock, deflate_block
from storage.common.errors import Inconsistent
from storage.common.prefetch import prefetch
from storage.readings.page_store import PAGE_READINGS, first_id_of_page, slice_page

PAGES_IN_FLIGHT = 2
"""Pages of one answer that are fetched at once."""

SMALL_RESULT_ROWS = 100
"""Readings that are quicker to work on than to hand to a thread."""

MIN_PAGE_STORE_ROWS = 500
"""Readings that are quicker to cut out of a page which is kept ready than to format."""

SPARSE_FACTOR = 4
"""Ids for each reading from which on looking for the next ones beats trying all ids."""


@dataclass(frozen=True, slots=True)
class IdSpan:
    """How many readings there are, and between which ids."""

    count: int
    first_id: int
    last_id: int

    @property
    def is_dense(self) -> bool:
        """Whether every id between the first and the last has a reading."""
        return self.count == self.last_id - self.first_id + 1

    @property
    def is_sparse(self) -> bool:
        """Whether most ids between the first and the last have none."""
        return self.last_id - self.first_id > SPARSE_FACTOR * self.count


@dataclass(frozen=True, slots=True)
class IdRange:
    """Where the readings of a page, or of a part of one, are."""

    where: Condition
    stored: range | None = None
    """Their ids, where a page that is kept ready may hold all of them."""
    is_brief: bool = False
    """Whether its readings are few, and found by their ids."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some records; a page that was kept ready is compressed."""

    count: int
    records: bytes | DeflateBlock


class Pager:
    """Fetches pages. Every call raises a StorageError where the database fails.

    With `clean`, pages lack the readings that cannot be right.
    """

    def __init__(
        self,
        engine: ReadEngine,
        shape: RecordLayout = CONTRACT_LAYOUT,
        *,
        clean: bool = False,
        descending: bool = False,
        compressed: bool,
    ) -> None:
        self._engine = engine
        self._dialect = engine.dialect
        self._shape = shape
        self._only = PLAUSIBLE if clean else None
        self._descending = descending
        self._compressed = compressed
        self._uses_stored = (
            shape in (CONTRACT_LAYOUT, CONTRACT_NDJSON_LAYOUT) and not clean and not descending
        )

    def cuts(self, span: IdSpan) -> bool:
        """Whether the readings of a span had better be cut out of pages that are kept ready."""
        return self._uses_stored and span.is_dense and span.count >= MIN_PAGE_STORE_ROWS

    async def windows(self, span: IdSpan, dated: Condition | None) -> AsyncGenerator[IdRange]:
        """Windows that hold at most a page each and, together, all readings of a span."""
        if span.is_dense:
            dated = None
        sparse = span.is_sparse or dated is not None
        if self._descending:
            async for window in self._backwards(span, dated, sparse=sparse):
                yield window
            return
        at = span.first_id
        while at <= span.last_id:
            if sparse:
                end = await self._page_end(at, span.last_id, dated)
                yield IdRange(self._within(at, end, dated))
            else:
                end = min(first_id_of_page(at) + PAGE_READINGS - 1, span.last_id)
                ids = range(at, end + 1)
                stored = ids if self._uses_stored and len(ids) >= MIN_PAGE_STORE_ROWS else None
                yield IdRange(self._within(at, end, None), stored)
            at = end + 1

    async def _backwards(
        self, span: IdSpan, dated: Condition | None, *, sparse: bool
    ) -> AsyncGenerator[IdRange]:
        """The same windows, the last one first."""
        at = span.last_id
        while at >= span.first_id:
            if sparse:
                end = await self._page_end(span.first_id, at, dated)
            else:
                end = max(first_id_of_page(at), span.first_id)
            yield IdRange(self._within(end, at, dated if sparse else None))
            at = end - 1

    async def pages(
        self, windows: AsyncGenerator[IdRange], count: int
    ) -> AsyncGenerator[bytes | DeflateBlock]:
        """The records of some windows; raises Inconsistent unless they are as many as `count`."""
        found = 0
        jobs = (self.page(window) async for window in windows)
        async with aclosing(windows), aclosing(prefetch(jobs, PAGES_IN_FLIGHT)) as pages:
            async for page in pages:
                found += page.count
                if found > count:
                    break
                if page.count:
                    yield page.records
        if found != count:
            raise Inconsistent(f"{count} readings were announced, {found} or more were found")

    async def page(self, window: IdRange) -> Page:
        """The records of a window."""
        ids = window.stored
        if ids is not None and (kept := await self._stored(first_id_of_page(ids[0]))):
            if self._shape == CONTRACT_LAYOUT and len(ids) == PAGE_READINGS:
                return Page(PAGE_READINGS, kept)
            return await asyncio.to_thread(self._of_stored, kept, ids)
        return await self._formatted(window)

    def _of_stored(self, kept: DeflateBlock, ids: range) -> Page:
        """Some records of a page that was kept ready: no value of a record holds a brace."""
        records = kept.plain()
        if len(ids) < PAGE_READINGS:
            records = slice_page(records, ids[0], ids[-1])
        if self._shape == CONTRACT_NDJSON_LAYOUT:
            records = records.replace(b"},{", b"}\n{") + b"\n"
        return Page(len(ids), deflate_block(records) if self._compressed else records)

    async def _stored(self, first_id: int) -> DeflateBlock | None:
        rows = await self._engine.fetch(
            f"SELECT deflated, size, crc FROM pages WHERE first_id = {self._dialect.place}",
            (first_id,),
        )
        return DeflateBlock(*rows[0]) if rows else None

    async def _formatted(self, window: IdRange) -> Page:
        where = window.where if self._only is None else window.where & self._only
        sql = self._dialect.page(where, self._shape, descending=self._descending)
        count, records = (await self._engine.fetch(sql, where.args, brief=window.is_brief))[0]
        if not count:
            return Page(0, b"")
        if self._shape.counted(records) != count:
            raise Inconsistent("the database cut a page short: raise its max_allowed_packet")
        if not self._compressed:
            return Page(count, records)
        if count <= SMALL_RESULT_ROWS:
            return Page(count, deflate_block(records))
        return Page(count, await asyncio.to_thread(deflate_block, records))

    async def _page_end(self, first_id: int, last_id: int, dated: Condition | None) -> int:
        """The last id of a page that begins at the first of some ids, or at their last."""
        where = self._within(first_id, last_id, dated)
        direction, rest = (DESCENDING, first_id) if self._descending else ("", last_id)
        rows = await self._engine.fetch(
            f"SELECT id FROM consumpdata {self._dialect.by_id} WHERE {where.text}"
            f" ORDER BY id{direction} LIMIT 1 OFFSET {PAGE_READINGS - 1}",
            where.args,
        )
        return int(rows[0][0]) if rows else rest

    def _within(self, first_id: int, last_id: int, dated: Condition | None) -> Condition:
        between = self._dialect.between(first_id, last_id)
        return between & dated if dated else between
