"""Long answers, a page at a time: found, fetched ahead, and counted."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from storage.ahead import ahead
from storage.engine import Engine
from storage.errors import Inconsistent
from storage.pages import PAGE, first_of_page
from storage.pieces import Piece, piece
from storage.sql import Condition

IN_FLIGHT = 2
"""Pages of one answer that are fetched at once."""

FEW = 100
"""Readings that are quicker to work on than to hand to a thread."""

SPARSE = 4
"""Ids for each reading from which on looking for the next ones beats trying all ids."""


@dataclass(frozen=True, slots=True)
class Span:
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
        return self.last_id - self.first_id > SPARSE * self.count


@dataclass(frozen=True, slots=True)
class Window:
    """Where the readings of a page are; `stored` is its first id where it may be kept ready."""

    where: Condition
    stored: int | None = None
    is_brief: bool = False
    """Whether its readings are few, and found by their ids."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some records as JSON texts joined by commas; a page that was kept ready is compressed."""

    count: int
    records: bytes | Piece


class Pager:
    """Fetches pages. Every call raises a StorageError where the database fails."""

    def __init__(self, engine: Engine, *, compressed: bool) -> None:
        self._engine = engine
        self._dialect = engine.dialect
        self._compressed = compressed

    async def windows(self, span: Span, dated: Condition | None) -> AsyncGenerator[Window]:
        """Windows that hold at most a page each and, together, all readings of a span."""
        if span.is_dense:
            dated = None
        sparse = span.is_sparse or dated is not None
        at = span.first_id
        while at <= span.last_id:
            if sparse:
                end = await self._page_end(at, span.last_id, dated)
                yield Window(self._within(at, end, dated))
            else:
                end = min(first_of_page(at) + PAGE - 1, span.last_id)
                stored = at if end - at + 1 == PAGE else None
                yield Window(self._within(at, end, None), stored)
            at = end + 1

    async def pages(
        self, windows: AsyncGenerator[Window], count: int
    ) -> AsyncGenerator[bytes | Piece]:
        """The records of some windows; raises Inconsistent unless they are as many as `count`."""
        found = 0
        jobs = (self.page(window) async for window in windows)
        async with aclosing(windows), aclosing(ahead(jobs, IN_FLIGHT)) as pages:
            async for page in pages:
                found += page.count
                if found > count:
                    break
                if page.count:
                    yield page.records
        if found != count:
            raise Inconsistent(f"{count} readings were announced, {found} or more were found")

    async def page(self, window: Window) -> Page:
        """The records of a window."""
        if window.stored is not None and (kept := await self._stored(window.stored)):
            return Page(PAGE, kept)
        return await self._formatted(window)

    async def _stored(self, first_id: int) -> Piece | None:
        rows = await self._engine.fetch(
            f"SELECT deflated, size, crc FROM pages WHERE first_id = {self._dialect.place}",
            (first_id,),
        )
        return Piece(*rows[0]) if rows else None

    async def _formatted(self, window: Window) -> Page:
        rows = await self._engine.fetch(
            f"SELECT COUNT(*), {self._dialect.joined}"
            f" FROM {self._dialect.in_id_order(window.where)}",
            window.where.args,
            brief=window.is_brief,
        )
        count, records = rows[0]
        if not count:
            return Page(0, b"")
        if records.count(b"{") != count:
            raise Inconsistent("the database cut a page short: raise its max_allowed_packet")
        if not self._compressed:
            return Page(count, records)
        if count <= FEW:
            return Page(count, piece(records))
        return Page(count, await asyncio.to_thread(piece, records))

    async def _page_end(self, at: int, last_id: int, dated: Condition | None) -> int:
        where = self._within(at, last_id, dated)
        rows = await self._engine.fetch(
            f"SELECT id FROM consumpdata {self._dialect.by_id} WHERE {where.text}"
            f" ORDER BY id LIMIT 1 OFFSET {PAGE - 1}",
            where.args,
        )
        return int(rows[0][0]) if rows else last_id

    def _within(self, first_id: int, last_id: int, dated: Condition | None) -> Condition:
        between = self._dialect.between(first_id, last_id)
        return between & dated if dated else between
