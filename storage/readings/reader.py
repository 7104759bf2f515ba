"""Readings by id, by pattern and by range: how many there are, and where their pages begin."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from domain.flags import IMPLAUSIBLE
from domain.quantities import DECIMALS
from domain.readings_query import ReadingsQuery
from domain.record_layout import RecordLayout
from storage.backends.base import ReadEngine
from storage.backends.dialect import DESCENDING, Condition, ReadingsTable, all_of
from storage.common.deflate import DeflateBlock
from storage.readings.page_store import PAGE_READINGS
from storage.readings.pager import SMALL_RESULT_ROWS, IdRange, IdSpan, Pager

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The number of implausible readings left out of a clean result, and their energy in kWh."""

    readings: int = 0
    energy: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class ReadingsResult:
    """The number of readings, and their records as texts, page by page.

    Stored pages are compressed; the others are after `deflate`, if there are several. Pages raise
    Inconsistent if they hold more or fewer readings than `count`, another StorageError if the
    database fails. If the limit cut the result short, it goes on after the id `following`; a clean
    result has `left_out`.
    """

    count: int
    pages: AsyncGenerator[bytes | DeflateBlock]
    deflate: Callable[[], None]
    """Asks for compressed pages, before the first one is taken."""
    following: int | None = None
    left_out: LeftOut | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """The id ranges of a result's pages; a result without a count is one page that tells it."""

    ranges: AsyncGenerator[IdRange] | IdRange | None
    count: int | None = None
    following: int | None = None
    left_out: LeftOut | None = None


class ReadingsReader:
    """Reads the readings of one meter. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine, table: ReadingsTable) -> None:
        self._engine = engine
        self._dialect = engine.dialect
        self._table = table
        self._plausible = table.without_flags(IMPLAUSIBLE.bit)

    async def read(
        self,
        query: ReadingsQuery,
        known: IdSpan | None,
        layout: RecordLayout,
        *,
        mark: bytes | None,
    ) -> ReadingsResult:
        """Return the readings of a query; `known` is the span of all readings, if on record.

        The readings are those of the state with a mark, see `Pager`.
        """
        pager = Pager(
            self._engine,
            self._table,
            layout,
            clean=query.clean,
            descending=query.descending,
            mark=mark,
        )
        if query.ids is None:
            plan = await self._plan_span(pager, query, known)
        else:
            plan = await self._plan_ids(query)
        count = plan.count
        if isinstance(plan.ranges, AsyncGenerator):
            assert count is not None
            pages = pager.pages(plan.ranges, count)
        else:
            page = await pager.page(plan.ranges) if plan.ranges else None
            count = page.count if page else 0
            pages = _each([page.records] if page and count else [])
        return ReadingsResult(count, pages, pager.deflate, plan.following, plan.left_out)

    async def _plan_ids(self, query: ReadingsQuery) -> _Plan:
        if query.windows:
            query = replace(query, ids=await self._visible_ids(query))
        ids, following = await self._limited_ids(query)
        parts = [
            self._dialect.among(ids[at : at + PAGE_READINGS])
            for at in range(0, len(ids), PAGE_READINGS)
        ]
        left_out = await self._left_out(*parts) if query.clean else None
        if len(parts) <= 1:
            is_small = len(ids) <= SMALL_RESULT_ROWS
            only = IdRange(parts[0], is_small=is_small) if parts else None
            return _Plan(only, None, following, left_out)
        spans = [await self._span(part) for part in parts]
        count = sum(span.count for span in spans if span) - _readings(left_out)
        return _Plan(_each(map(IdRange, parts)), count, following, left_out)

    async def _plan_span(self, pager: Pager, query: ReadingsQuery, known: IdSpan | None) -> _Plan:
        dated = self._dialect.dated(query)
        span = known if dated is None and known is not None else await self._span(dated)
        if span is None:
            return _Plan(None, left_out=LeftOut() if query.clean else None)
        if query.is_partial:
            return await self._plan_part(pager, query, span, dated)
        left_out = await self._left_out(dated) if query.clean else None
        if span.count <= PAGE_READINGS and not pager.uses_page_store(span):
            where = dated or self._dialect.between(span.first_id, span.last_id)
            return _Plan(IdRange(where), left_out=left_out)
        count = span.count - _readings(left_out)
        return _Plan(pager.id_ranges(span, dated), count, left_out=left_out)

    async def _plan_part(
        self, pager: Pager, query: ReadingsQuery, span: IdSpan, dated: Condition | None
    ) -> _Plan:
        """Plan at most `limit` of the readings of a span, those after the id `after`."""
        first_id, last_id = span.first_id, span.last_id
        if query.up_to is not None:
            last_id = min(last_id, query.up_to)
        if query.after is not None and query.descending:
            last_id = min(last_id, query.after - 1)
        elif query.after is not None:
            first_id = max(first_id, query.after + 1)
        where = all_of(self._dialect.between(first_id, last_id), dated)
        direction = DESCENDING if query.descending else ""
        counted = self._table.where(where, self._plausible if query.clean else None)
        # One more than the limit tells where the next part begins.
        limit = "" if query.limit is None else f" LIMIT {query.limit + 1}"
        rows = await self._engine.fetch(
            "SELECT COUNT(*), MIN(id), MAX(id) FROM (SELECT id FROM"
            f" {self._dialect.in_order_of_id(self._table)}"
            f" WHERE {counted.text} ORDER BY id{direction}{limit}) AS part",
            counted.args,
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
            return _Plan(IdRange(where), None, following, left_out)
        ranges = pager.id_ranges(IdSpan(count, first_id, last_id), dated)
        return _Plan(ranges, count, following, left_out)

    async def _span(self, dated: Condition | None) -> IdSpan | None:
        where = self._table.where(dated)
        rows = await self._engine.fetch(
            f"SELECT COUNT(*), MIN(id), MAX(id) FROM {self._table.name} WHERE {where.text}",
            where.args,
        )
        count, first_id, last_id = rows[0]
        return IdSpan(count, first_id, last_id) if count else None

    async def _limited_ids(self, query: ReadingsQuery) -> tuple[Sequence[int], int | None]:
        """Return the ids within the limit, in order, and the one after which the next ones come."""
        assert query.ids is not None
        ids: Sequence[int] = query.ids[::-1] if query.descending else query.ids
        after = query.after
        if after is not None:
            ids = [id_ for id_ in ids if (id_ < after if query.descending else id_ > after)]
        if query.up_to is not None:
            ids = [id_ for id_ in ids if id_ <= query.up_to]
        if query.limit is None:
            return ids, None
        found = 0
        for at in range(0, len(ids), PAGE_READINGS):
            existing = await self._existing(ids[at : at + PAGE_READINGS], clean=query.clean)
            for index, id_ in enumerate(ids[at : at + PAGE_READINGS], at):
                found += id_ in existing
                if found > query.limit:
                    return ids[:index], ids[index - 1]
        return ids, None

    async def _visible_ids(self, query: ReadingsQuery) -> tuple[int, ...]:
        """Return the ids of a query whose readings are of days that the client may see."""
        assert query.ids is not None
        visible: set[int] = set()
        for at in range(0, len(query.ids), PAGE_READINGS):
            among = self._dialect.among(query.ids[at : at + PAGE_READINGS])
            where = self._table.where(among, self._dialect.in_windows(query.windows))
            visible |= await self._ids(where)
        return tuple(id_ for id_ in query.ids if id_ in visible)

    async def _existing(self, ids: Sequence[int], *, clean: bool) -> set[int]:
        among = self._dialect.among(ids)
        return await self._ids(self._table.where(among, self._plausible if clean else None))

    async def _ids(self, where: Condition) -> set[int]:
        rows = await self._engine.fetch(
            f"SELECT id FROM {self._table.name} WHERE {where.text}", where.args
        )
        return {row[0] for row in rows}

    async def _left_out(self, *parts: Condition | None) -> LeftOut:
        return await left_out(self._engine, self._table, parts)


async def left_out(
    engine: ReadEngine, table: ReadingsTable, parts: Iterable[Condition | None]
) -> LeftOut:
    """Return what a clean result lacks of the readings that some conditions select."""
    readings = energy = 0
    for part in parts:
        where = table.where(Condition(f"flags & {IMPLAUSIBLE.bit}"), part)
        rows = await engine.fetch(
            f"SELECT COUNT(*), {engine.dialect.energy_sum_scaled}"
            f" FROM {table.flagged} WHERE {where.text}",
            where.args,
        )
        readings += rows[0][0]
        energy += rows[0][1]
    return LeftOut(readings, Decimal(energy).scaleb(-DECIMALS))


def _readings(left_out: LeftOut | None) -> int:
    return left_out.readings if left_out else 0


async def _each(items: Iterable[T]) -> AsyncGenerator[T]:
    for item in items:
        yield item
