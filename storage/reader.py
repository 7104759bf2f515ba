"""Answers from the readings, in pages that the database itself has formatted."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from storage.engine import Engine
from storage.errors import Inconsistent, NotPrepared
from storage.query import Query
from storage.shared import Shared
from storage.sql import Condition

T = TypeVar("T")

PAGE = 4000
"""Readings in a page: as many as keep the database busy and other requests quick."""

IN_FLIGHT = 2
"""Pages of one answer that are fetched at once."""


@dataclass(frozen=True, slots=True)
class Span:
    """How many readings there are, and between which ids."""

    count: int
    first_id: int
    last_id: int


@dataclass(frozen=True, slots=True)
class State:
    """The version of the data and, where it is on record, the span of all readings."""

    version: str
    span: Span | None
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """How many readings were found, and their records as JSON texts joined by commas.

    The pages raise Inconsistent where they would hold more or fewer readings than `count`,
    and another StorageError where the database fails.
    """

    count: int
    pages: AsyncGenerator[bytes]


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in: the password is a hash, argon2id or SHA-256 in hex."""

    name: str
    password: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class _Page:
    count: int
    json: bytes


class Reader:
    """The readings and users of a database. Every call raises a StorageError where it fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._dialect = engine.dialect
        self._recorded = False
        self._distrusted: str | None = None
        self.state = Shared(self._read_state)
        """The state of the data at some moment after the call."""

    async def close(self) -> None:
        """End all connections."""
        await self._engine.close()

    async def answer(self, query: Query, state: State) -> Answer:
        """The readings that a query asks for, in the order of id."""
        if query.ids is not None:
            return await self._by_ids(query.ids, state)
        dated = self._dialect.dated(query)
        span = state.span if dated is None else None
        if span is None:
            span = await self._span(dated)
        if span is None:
            return Answer(0, _each([]))
        if span.count <= PAGE:
            return await self._single(dated or self._within(span.first_id, span.last_id, None))
        return Answer(span.count, self._pages(self._windows(span, dated), span.count, state))

    async def user(self, name: str) -> User | None:
        """The user of exactly this name, if there is one."""
        enabled = "enabled" if await self._has_records() else "1"
        rows = await self._engine.fetch(
            f"SELECT user, password, {enabled} FROM users WHERE user = {self._dialect.place}",
            (name,),
        )
        for row in rows:
            if row[0] == name.encode():
                return User(name, row[1].decode(), bool(row[2]))
        return None

    async def _has_records(self) -> bool:
        """Whether the database knows its imports; one that the original's importer made doesn't."""
        if not self._recorded:
            tables = {row[0] for row in await self._engine.fetch(self._dialect.tables)}
            if not {b"consumpdata", b"users"} <= tables:
                raise NotPrepared(
                    "the database has no readings yet: load a report with "
                    "python -m loader REPORT.csv"
                )
            self._recorded = b"imports" in tables
        return self._recorded

    async def _read_state(self) -> State:
        if not await self._has_records():
            assert self._dialect.original_state is not None
            rows = await self._engine.fetch(self._dialect.original_state)
            return State(f"original-{rows[0][0].decode()}", None)
        rows = await self._engine.fetch(
            "SELECT version, readings, first_id, last_id FROM imports ORDER BY id DESC LIMIT 1"
        )
        if not rows:
            return State("empty", None, is_empty=await self._span(None) is None)
        version, count, first_id, last_id = rows[0]
        trusted = count and version.decode() != self._distrusted
        return State(version.decode(), Span(count, first_id, last_id) if trusted else None)

    async def _span(self, dated: Condition | None) -> Span | None:
        where = f" WHERE {dated.text}" if dated else ""
        rows = await self._engine.fetch(
            f"SELECT COUNT(*), MIN(id), MAX(id) FROM consumpdata{where}",
            dated.args if dated else (),
        )
        count, first_id, last_id = rows[0]
        return Span(count, first_id, last_id) if count else None

    async def _by_ids(self, ids: tuple[int, ...], state: State) -> Answer:
        parts = [self._dialect.among(ids[at : at + PAGE]) for at in range(0, len(ids), PAGE)]
        if not parts:
            return Answer(0, _each([]))
        if len(parts) == 1:
            return await self._single(parts[0])
        spans = [await self._span(part) for part in parts]
        count = sum(span.count for span in spans if span)
        return Answer(count, self._pages(_each(parts), count, state))

    async def _single(self, where: Condition) -> Answer:
        page = await self._page(where)
        return Answer(page.count, _each([page.json] if page.count else []))

    async def _windows(self, span: Span, dated: Condition | None) -> AsyncGenerator[Condition]:
        """Ranges of ids that hold at most a page each and, together, the whole span."""
        dense = span.count == span.last_id - span.first_id + 1
        at = span.first_id
        while at <= span.last_id:
            end = at + PAGE - 1 if dense else await self._page_end(at, span.last_id, dated)
            yield self._within(at, min(end, span.last_id), dated)
            at = end + 1

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

    async def _pages(
        self, windows: AsyncGenerator[Condition], count: int, state: State
    ) -> AsyncGenerator[bytes]:
        found = 0
        async with aclosing(self._fetched(windows)) as pages:
            async for page in pages:
                found += page.count
                if found > count:
                    break
                if page.count:
                    yield page.json
        if found != count:
            self._distrusted = state.version
            raise Inconsistent(f"{count} readings were announced, and {found} or more were found")

    async def _fetched(self, windows: AsyncGenerator[Condition]) -> AsyncGenerator[_Page]:
        running: deque[asyncio.Task[_Page]] = deque()
        try:
            async with aclosing(windows):
                async for window in windows:
                    running.append(asyncio.create_task(self._page(window)))
                    if len(running) == IN_FLIGHT:
                        yield await running.popleft()
                while running:
                    yield await running.popleft()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _page(self, where: Condition) -> _Page:
        rows = await self._engine.fetch(
            f"SELECT COUNT(*), {self._dialect.joined} FROM {self._dialect.in_id_order(where)}",
            where.args,
        )
        count, json = rows[0]
        if not count:
            return _Page(0, b"")
        if json.count(b"{") != count:
            raise Inconsistent("the database cut a page short: raise its max_allowed_packet")
        return _Page(count, json)


async def _each(items: list[T]) -> AsyncGenerator[T]:
    for item in items:
        yield item
