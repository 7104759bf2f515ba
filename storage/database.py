"""What the server asks of a database: the state of the data, answers, who may ask."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from domain.flags import IMPLAUSIBLE
from domain.quantities import DECIMALS
from domain.readings_query import ReadingsQuery
from domain.record_layout import CONTRACT_LAYOUT, RecordLayout
from storage.backends.base import ReadEngine
from storage.backends.dialect import DESCENDING, PLAUSIBLE, Condition, all_of
from storage.common.deflate import DeflateBlock
from storage.common.errors import Inconsistent, NotPrepared, Outdated
from storage.common.single_flight import SingleFlight
from storage.figures.result import FigureQuery, ResultTable, Row
from storage.readings.page_store import PAGE_READINGS
from storage.readings.pager import SMALL_RESULT_ROWS, IdRange, IdSpan, Pager
from storage.readings.reader import LeftOut, ReadingsResult
from storage.users import UserStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DataState:
    """The version of the data and, where it is on record, the span of all readings."""

    version: str
    span: IdSpan | None
    is_empty: bool = False
    access: int | None = None
    """Moves with every change of users and revocations; None where these are not kept yet."""


class Database:
    """The readings and users of a database. Every call raises a StorageError where it fails."""

    def __init__(self, engine: ReadEngine) -> None:
        self._engine = engine
        self._dialect = engine.dialect
        self.load = engine.load
        """How busy the database's connections are."""
        self._tables: set[bytes] = set()
        self._distrusted: str | None = None
        self._seen: tuple[int | None, DataState] | None = None
        self.state = SingleFlight(self._noticed_state)
        """The state of the data at some moment after the call."""
        self.access = UserStore(engine, self._known_tables)

    async def close(self) -> None:
        """End all connections."""
        await self._engine.close()

    async def answer(
        self,
        query: ReadingsQuery,
        state: DataState,
        shape: RecordLayout = CONTRACT_LAYOUT,
        *,
        compressed: bool = False,
    ) -> ReadingsResult:
        """The readings that a query asks for, their records in a shape."""
        await self._check_layout(query, shape)
        pager = Pager(
            self._engine,
            shape,
            clean=query.clean,
            descending=query.descending,
            compressed=compressed,
        )
        if query.ids is not None:
            return await self._by_ids(pager, query)
        dated = self._dialect.dated(query)
        span = state.span if dated is None else None
        if span is None:
            span = await self._span(dated)
        if span is None:
            return ReadingsResult(0, _each([]), left_out=LeftOut() if query.clean else None)
        if query.is_part:
            return await self._part(pager, query, span, dated)
        left_out = await self._left_out(dated) if query.clean else None
        if span.count <= PAGE_READINGS and not pager.cuts(span):
            where = dated or self._dialect.between(span.first_id, span.last_id)
            return await self._single(pager, IdRange(where), left_out=left_out)
        count = span.count - left_out.readings if left_out else span.count
        pages = pager.pages(pager.windows(span, dated), count)
        return ReadingsResult(count, self._watched(pages, state), left_out=left_out)

    async def newest(self) -> datetime | None:
        """The local time of the newest reading."""
        rows = await self._engine.fetch("SELECT MAX(date) FROM consumpdata")
        newest = rows[0][0]
        return newest and datetime.fromisoformat(newest.decode())

    async def table(self, question: FigureQuery, state: DataState) -> ResultTable:
        """What is worked out from readings; raises QueryError where it cannot be.

        Its rows raise Inconsistent where the data did not stay in the state until they were all
        worked out: several statements may have seen readings of before and after an import.
        """
        await self._require(b"flags", "the flags of readings")
        table = await question.table(self._engine)
        return replace(table, rows=self._of_one_state(table.rows, state))

    async def _known_tables(self) -> set[bytes]:
        """The tables; a database that the loader has not brought up to date lacks the newest."""
        if b"access" not in self._tables:
            self._tables = {row[0] for row in await self._engine.fetch(self._dialect.tables)}
            if not {b"consumpdata", b"users"} <= self._tables:
                raise NotPrepared(
                    "the database has no readings yet: load a report with elecdata load REPORT.csv"
                )
        return self._tables

    async def _check_layout(self, query: ReadingsQuery, shape: RecordLayout) -> None:
        """Raises Outdated where the tables lack what is asked for."""
        if query.clean or shape.has_flags:
            await self._require(b"flags", "the flags of readings")
        elif shape.needs_instants:
            await self._require(b"pages", "the instants of readings")

    async def _require(self, table: bytes, what: str) -> None:
        if table not in self._tables:
            self._tables = {row[0] for row in await self._engine.fetch(self._dialect.tables)}
        if table not in self._tables:
            raise Outdated(f"the database has an older layout, without {what}: run the loader")

    async def _noticed_state(self) -> DataState:
        """The state, read again only where the database has noticed that something was written."""
        writes = self._engine.writes()
        if self._seen is None or writes is None or self._seen[0] != writes:
            # What is written meanwhile has moved the number by the next time.
            self._seen = writes, await self._read_state()
        return self._seen[1]

    async def _read_state(self) -> DataState:
        tables = await self._known_tables()
        if b"pages" not in tables:
            assert self._dialect.original_state is not None
            rows = await self._engine.fetch(self._dialect.original_state)
            return DataState(f"original-{rows[0][0].decode()}", None)
        counted = b"access" in tables
        access = "(SELECT changes FROM access)" if counted else "NULL"
        # One column, since MySQL's driver takes longer for each than the database does for all.
        rows = await self._engine.fetch(
            f"SELECT JSON_ARRAY({access}, version, readings, first_id, last_id)"
            " FROM imports ORDER BY id DESC LIMIT 1",
            brief=True,
        )
        if rows:
            changes, version, count, first_id, last_id = json.loads(rows[0][0])
        else:
            changes = (await self._engine.fetch(f"SELECT {access}"))[0][0]
        if counted and changes is None:
            raise NotPrepared("the table access has lost its row: restore it with (1, 0)")
        if not rows:
            return DataState("empty", None, is_empty=await self._span(None) is None, access=changes)
        trusted = count and version != self._distrusted
        span = IdSpan(count, first_id, last_id) if trusted else None
        return DataState(version, span, access=changes)

    async def _span(self, dated: Condition | None) -> IdSpan | None:
        where = f" WHERE {dated.text}" if dated else ""
        rows = await self._engine.fetch(
            f"SELECT COUNT(*), MIN(id), MAX(id) FROM consumpdata{where}",
            dated.args if dated else (),
        )
        count, first_id, last_id = rows[0]
        return IdSpan(count, first_id, last_id) if count else None

    async def _by_ids(self, pager: Pager, query: ReadingsQuery) -> ReadingsResult:
        ids, following = await self._asked_ids(query)
        parts = [
            self._dialect.among(ids[at : at + PAGE_READINGS])
            for at in range(0, len(ids), PAGE_READINGS)
        ]
        left_out = await self._left_out(*parts) if query.clean else None
        if not parts:
            return ReadingsResult(0, _each([]), left_out=left_out)
        if len(parts) == 1:
            window = IdRange(parts[0], is_brief=len(ids) <= SMALL_RESULT_ROWS)
            return await self._single(pager, window, following, left_out)
        spans = [await self._span(part) for part in parts]
        count = sum(span.count for span in spans if span)
        count -= left_out.readings if left_out else 0
        pages = pager.pages(_each([IdRange(part) for part in parts]), count)
        return ReadingsResult(count, pages, following, left_out)

    async def _asked_ids(self, query: ReadingsQuery) -> tuple[Sequence[int], int | None]:
        """The ids in question, in order, and the one after which the next ones come."""
        assert query.ids is not None
        ids: Sequence[int] = query.ids[::-1] if query.descending else query.ids
        after = query.after
        if after is not None:
            ids = [number for number in ids if (number > after) != query.descending]
            ids = [number for number in ids if number != after]
        if query.limit is None:
            return ids, None
        found = 0
        for at in range(0, len(ids), PAGE_READINGS):
            there = await self._existing(ids[at : at + PAGE_READINGS], clean=query.clean)
            for place, number in enumerate(ids[at : at + PAGE_READINGS], at):
                found += number in there
                if found > query.limit:
                    return ids[:place], ids[place - 1]
        return ids, None

    async def _existing(self, ids: Sequence[int], *, clean: bool) -> set[int]:
        where = self._dialect.among(ids)
        if clean:
            where &= PLAUSIBLE
        rows = await self._engine.fetch(
            f"SELECT id FROM consumpdata WHERE {where.text}", where.args
        )
        return {row[0] for row in rows}

    async def _part(
        self, pager: Pager, query: ReadingsQuery, span: IdSpan, dated: Condition | None
    ) -> ReadingsResult:
        """At most `limit` of the readings of a span, those behind `after`."""
        first_id, last_id = span.first_id, span.last_id
        if query.after is not None and query.descending:
            last_id = min(last_id, query.after - 1)
        elif query.after is not None:
            first_id = max(first_id, query.after + 1)
        where = all_of(self._dialect.between(first_id, last_id), dated)
        direction = DESCENDING if query.descending else ""
        wanted = where & PLAUSIBLE if query.clean else where
        # One more than is wanted tells where the next part begins.
        limit = "" if query.limit is None else f" LIMIT {query.limit + 1}"
        rows = await self._engine.fetch(
            f"SELECT COUNT(*), MIN(id), MAX(id) FROM (SELECT id FROM consumpdata"
            f" {self._dialect.by_id} WHERE {wanted.text} ORDER BY id{direction}{limit}) AS part",
            wanted.args,
        )
        count, lowest, highest = rows[0]
        following = None
        if query.limit is not None and count > query.limit:
            count = query.limit
            if query.descending:
                first_id = following = lowest + 1
            else:
                last_id = following = highest - 1
        where = all_of(self._dialect.between(first_id, last_id), dated)
        left_out = await self._left_out(where) if query.clean else None
        if count <= PAGE_READINGS:
            return await self._single(pager, IdRange(where), following, left_out)
        windows = pager.windows(IdSpan(count, first_id, last_id), dated)
        return ReadingsResult(count, pager.pages(windows, count), following, left_out)

    async def _left_out(self, *parts: Condition | None) -> LeftOut:
        """What of some readings cannot be right."""
        readings = energy = 0
        for part in parts:
            where = all_of(Condition(f"flags & {IMPLAUSIBLE.bit}"), part)
            rows = await self._engine.fetch(
                f"SELECT COUNT(*), {self._dialect.hundred_thousandths}"
                f" FROM consumpdata JOIN flags ON reading_id = id WHERE {where.text}",
                where.args,
            )
            readings += rows[0][0]
            energy += rows[0][1]
        return LeftOut(readings, Decimal(energy).scaleb(-DECIMALS))

    async def _single(
        self,
        pager: Pager,
        window: IdRange,
        following: int | None = None,
        left_out: LeftOut | None = None,
    ) -> ReadingsResult:
        page = await pager.page(window)
        pages = _each([page.records] if page.count else [])
        return ReadingsResult(page.count, pages, following, left_out)

    async def _of_one_state(
        self, rows: AsyncGenerator[Sequence[Row]], state: DataState
    ) -> AsyncGenerator[Sequence[Row]]:
        """The rows; the last ones, often the only ones, are given once the state was looked at."""
        held: Sequence[Row] = []
        async with aclosing(rows):
            async for some in rows:
                if held:
                    yield held
                held = some
        if (await self.state()).version != state.version:
            raise Inconsistent("an import was written while figures were worked out")
        if held:
            yield held

    async def _watched(
        self, pages: AsyncGenerator[bytes | DeflateBlock], state: DataState
    ) -> AsyncGenerator[bytes | DeflateBlock]:
        """The pages; where they belie the record of imports, it is no longer believed."""
        try:
            async for page in pages:
                yield page
        except Inconsistent:
            self._distrusted, self._seen = state.version, None
            raise
        finally:
            await pages.aclose()


async def _each(items: list[T]) -> AsyncGenerator[T]:
    for item in items:
        yield item
