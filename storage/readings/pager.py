"""Pages of long results: their id ranges, read ahead and counted."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from domain.flags import IMPLAUSIBLE
from domain.record_layout import CONTRACT_LAYOUT, CONTRACT_NDJSON_LAYOUT, RecordLayout
from storage.backends.base import ReadEngine
from storage.backends.dialect import DESCENDING, SPARSE_FACTOR, Condition, ReadingsTable
from storage.common.deflate import DeflateBlock, deflate_block
from storage.common.errors import Inconsistent, Overtaken
from storage.common.prefetch import prefetch
from storage.readings.page_store import PAGE_READINGS, first_id_of_page, slice_page

SMALL_RESULT_ROWS = 100
"""Readings that are faster to process than to hand to a thread."""

MIN_PAGE_STORE_ROWS = 500
"""Readings from which slicing a stored page is faster than formatting them."""


@dataclass(frozen=True, slots=True)
class IdSpan:
    """The number of some readings, and their first and last id."""

    count: int
    first_id: int
    last_id: int

    @property
    def is_dense(self) -> bool:
        """Whether every id between the first and the last has a reading."""
        return self.count == self.last_id - self.first_id + 1

    @property
    def is_sparse(self) -> bool:
        """Whether most ids between the first and the last have no reading."""
        return self.last_id - self.first_id > SPARSE_FACTOR * self.count


@dataclass(frozen=True, slots=True)
class IdRange:
    """The readings of a page, or of a part of one."""

    where: Condition
    stored: range | None = None
    """Their ids, if a stored page may hold all of them."""
    is_small: bool = False
    """Whether the readings are few, and found by their ids."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some records; those of a stored page are compressed."""

    count: int
    records: bytes | DeflateBlock
    mark: bytes
    """The state of the data when it was read, see `Dialect.state_mark`."""


class Pager:
    """Fetches pages of records. Every call raises a StorageError if the database fails.

    With `clean`, pages lack the implausible readings. All are of one state of the data, if its
    `mark` is known, or raise Overtaken.
    """

    def __init__(
        self,
        engine: ReadEngine,
        table: ReadingsTable,
        layout: RecordLayout,
        *,
        clean: bool,
        descending: bool = False,
        by_time: bool = False,
        mark: bytes | None,
    ) -> None:
        """Read pages in the order of id, `descending` or not, or in that of time.

        Those in the order of time have no reading with a larger id than the state's last one.
        """
        self._engine = engine
        self._table = table
        self._dialect = engine.dialect
        self._layout = layout
        self._filter = table.without_flags(IMPLAUSIBLE.bit) if clean else None
        self._descending = descending
        self._by_time = by_time
        self._order = "utc" if by_time else f"id{DESCENDING if descending else ''}"
        self._compressed = False
        self._mark = mark
        self._mark_sql = "''"
        if mark is not None and table.meter_id is not None:
            self._mark_sql = engine.dialect.state_mark(table.meter_id)
        self._uses_stored = (
            table.meter_id is not None
            and layout in (CONTRACT_LAYOUT, CONTRACT_NDJSON_LAYOUT)
            and not clean
            and self._order == "id"
        )

    def deflate(self) -> None:
        """Compress the pages that are fetched from now on, not only the stored ones."""
        self._compressed = True

    def uses_page_store(self, span: IdSpan) -> bool:
        """Return whether the page store serves a span faster than SQL."""
        return self._uses_stored and span.is_dense and span.count >= MIN_PAGE_STORE_ROWS

    async def id_ranges(self, span: IdSpan, dated: Condition | None) -> AsyncGenerator[IdRange]:
        """Yield ranges of at most a page each that together hold the readings of a span."""
        if span.is_dense:
            dated = None
        is_sparse = span.is_sparse or dated is not None
        if self._descending:
            async for id_range in self._backwards(span, dated, is_sparse=is_sparse):
                yield id_range
            return
        at = span.first_id
        while at <= span.last_id:
            if is_sparse:
                end = await self._page_end(at, span.last_id, dated)
                yield IdRange(self._within(at, end, dated))
            else:
                end = min(first_id_of_page(at) + PAGE_READINGS - 1, span.last_id)
                ids = range(at, end + 1)
                stored = ids if self._uses_stored and len(ids) >= MIN_PAGE_STORE_ROWS else None
                yield IdRange(self._within(at, end, None), stored)
            at = end + 1

    async def _backwards(
        self, span: IdSpan, dated: Condition | None, *, is_sparse: bool
    ) -> AsyncGenerator[IdRange]:
        """Yield the same ranges, the last one first."""
        at = span.last_id
        while at >= span.first_id:
            if is_sparse:
                end = await self._page_end(span.first_id, at, dated)
            else:
                end = max(first_id_of_page(at), span.first_id)
            yield IdRange(self._within(end, at, dated if is_sparse else None))
            at = end - 1

    async def pages(
        self, ranges: AsyncGenerator[IdRange], count: int
    ) -> AsyncGenerator[bytes | DeflateBlock]:
        """Yield the records of some ranges; raise Inconsistent unless there are `count`."""
        found = 0
        is_first = True
        jobs = (self._page(id_range) async for id_range in ranges)
        async with aclosing(ranges), aclosing(prefetch(jobs)) as pages:
            async for page in pages:
                self._require_state(page, is_first=is_first)
                is_first = False
                found += page.count
                if found > count:
                    break
                if page.count:
                    yield page.records
        if found != count:
            raise Inconsistent(f"{count} readings were announced, {found} or more were found")

    async def page(self, id_range: IdRange) -> Page:
        """Return the records of a range, of the state itself."""
        page = await self._page(id_range)
        self._require_state(page, is_first=True)
        return page

    def _require_state(self, page: Page, *, is_first: bool) -> None:
        """Raise Overtaken if a page is of another state.

        States follow each other: where the first page is of the right one, all that was read
        before it was. Readings that are added later are in no range of the pages after it.
        """
        if self._mark is None or page.mark == self._mark:
            return
        if (is_first and not self._by_time) or _corrections(page.mark) != _corrections(self._mark):
            raise Overtaken

    async def _page(self, id_range: IdRange) -> Page:
        ids = id_range.stored
        if ids is not None and (found := await self._stored(first_id_of_page(ids[0]))):
            stored, mark = found
            if self._layout == CONTRACT_LAYOUT and len(ids) == PAGE_READINGS:
                return Page(PAGE_READINGS, stored, mark)
            records = await asyncio.to_thread(self._part_of_stored, stored, ids)
            return Page(len(ids), records, mark)
        return await self._formatted(id_range)

    def _part_of_stored(self, stored: DeflateBlock, ids: range) -> bytes | DeflateBlock:
        """Return some records of a stored page: no value of a record holds a brace."""
        records = stored.plain()
        if len(ids) < PAGE_READINGS:
            records = slice_page(records, ids[0], ids[-1])
        if self._layout == CONTRACT_NDJSON_LAYOUT:
            records = records.replace(b"},{", b"}\n{") + b"\n"
        return deflate_block(records) if self._compressed else records

    async def _stored(self, first_id: int) -> tuple[DeflateBlock, bytes] | None:
        """Return a stored page and its mark, None if there is no such page."""
        rows = await self._engine.fetch(
            f"SELECT deflated, size, crc, {self._mark_sql} FROM pages"
            f" WHERE meter_id = {self._table.meter_id} AND first_id = {self._dialect.placeholder}",
            (first_id,),
        )
        return (DeflateBlock(*rows[0][:3]), rows[0][3]) if rows else None

    async def _formatted(self, id_range: IdRange) -> Page:
        where = id_range.where if self._filter is None else id_range.where & self._filter
        sql = self._dialect.page(
            self._table, where, self._layout, order=self._order, mark=self._mark_sql
        )
        rows = await self._engine.fetch(sql, where.args, small=id_range.is_small)
        counted, records = rows[0]
        number, _, mark = counted.partition(b" ")
        count = int(number)
        if not count:
            return Page(0, b"", mark)
        if self._layout.count_records(records) != count:
            raise Inconsistent("the database cut a page short: raise its max_allowed_packet")
        if not self._compressed:
            return Page(count, records, mark)
        if count <= SMALL_RESULT_ROWS:
            return Page(count, deflate_block(records), mark)
        return Page(count, await asyncio.to_thread(deflate_block, records), mark)

    async def _page_end(self, first_id: int, last_id: int, dated: Condition | None) -> int:
        """Return the last id of a page that begins at the first of some ids, or at their last."""
        where = self._table.where(self._within(first_id, last_id, dated))
        direction, rest = (DESCENDING, first_id) if self._descending else ("", last_id)
        rows = await self._engine.fetch(
            f"SELECT id FROM {self._dialect.in_order_of_id(self._table)} WHERE {where.text}"
            f" ORDER BY id{direction} LIMIT 1 OFFSET {PAGE_READINGS - 1}",
            where.args,
        )
        return int(rows[0][0]) if rows else rest

    def _within(self, first_id: int, last_id: int, dated: Condition | None) -> Condition:
        between = self._dialect.between(first_id, last_id)
        return between & dated if dated else between


def _corrections(mark: bytes) -> bytes:
    return mark.rpartition(b"-")[2]
