"""What the server asks of a database: the state of the data, answers, users."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from storage.engine import Engine
from storage.errors import Inconsistent, NotPrepared
from storage.pages import PAGE
from storage.paging import Pager, Span, Window
from storage.pieces import Piece
from storage.query import Query
from storage.shared import Shared
from storage.sql import Condition

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class State:
    """The version of the data and, where it is on record, the span of all readings."""

    version: str
    span: Span | None
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """How many readings were found, and their records as JSON texts joined by commas.

    Pages that were kept ready are compressed pieces; the others are so where that was asked for,
    and else plain bytes. They raise Inconsistent where they would hold more or fewer readings
    than `count`, and another StorageError where the database fails.
    """

    count: int
    pages: AsyncGenerator[bytes | Piece]


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in: the password is a hash, argon2id or SHA-256 in hex."""

    name: str
    password: str
    enabled: bool


class Reader:
    """The readings and users of a database. Every call raises a StorageError where it fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._dialect = engine.dialect
        self.load = engine.load
        """How busy the database's connections are."""
        self._tables: set[bytes] = set()
        self._distrusted: str | None = None
        self.state = Shared(self._read_state)
        """The state of the data at some moment after the call."""

    async def close(self) -> None:
        """End all connections."""
        await self._engine.close()

    async def answer(self, query: Query, state: State, *, compressed: bool = False) -> Answer:
        """The readings that a query asks for, in the order of id."""
        pager = Pager(self._engine, compressed=compressed)
        if query.ids is not None:
            return await self._by_ids(pager, query.ids)
        dated = self._dialect.dated(query)
        span = state.span if dated is None else None
        if span is None:
            span = await self._span(dated)
        if span is None:
            return Answer(0, _each([]))
        if span.count <= PAGE:
            within = self._dialect.between(span.first_id, span.last_id)
            return await self._single(pager, dated or within)
        pages = pager.pages(pager.windows(span, dated), span.count)
        return Answer(span.count, self._watched(pages, state))

    async def newest(self) -> datetime | None:
        """The local time of the newest reading."""
        rows = await self._engine.fetch("SELECT MAX(date) FROM consumpdata")
        newest = rows[0][0]
        return newest and datetime.fromisoformat(newest.decode())

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
        """Whether the database has all tables; one that the original's importer made has two."""
        if b"pages" not in self._tables:
            self._tables = {row[0] for row in await self._engine.fetch(self._dialect.tables)}
            if not {b"consumpdata", b"users"} <= self._tables:
                raise NotPrepared(
                    "the database has no readings yet: load a report with "
                    "python -m loader REPORT.csv"
                )
        return b"pages" in self._tables

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

    async def _by_ids(self, pager: Pager, ids: tuple[int, ...]) -> Answer:
        parts = [self._dialect.among(ids[at : at + PAGE]) for at in range(0, len(ids), PAGE)]
        if not parts:
            return Answer(0, _each([]))
        if len(parts) == 1:
            return await self._single(pager, parts[0])
        spans = [await self._span(part) for part in parts]
        count = sum(span.count for span in spans if span)
        return Answer(count, pager.pages(_each([Window(part) for part in parts]), count))

    async def _single(self, pager: Pager, where: Condition) -> Answer:
        page = await pager.page(Window(where))
        return Answer(page.count, _each([page.records] if page.count else []))

    async def _watched(
        self, pages: AsyncGenerator[bytes | Piece], state: State
    ) -> AsyncGenerator[bytes | Piece]:
        """The pages; where they belie the record of imports, it is no longer believed."""
        try:
            async for page in pages:
                yield page
        except Inconsistent:
            self._distrusted = state.version
            raise
        finally:
            await pages.aclose()


async def _each(items: list[T]) -> AsyncGenerator[T]:
    for item in items:
        yield item
