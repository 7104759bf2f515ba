"""Readings in the order of time, whatever the order of their import."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from domain.access import Window
from domain.flags import IMPLAUSIBLE
from domain.record_layout import RecordLayout
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition, ReadingsTable, to_unix_seconds
from storage.readings.page_store import PAGE_READINGS
from storage.readings.pager import IdRange, Pager
from storage.readings.reader import ReadingsResult, left_out


@dataclass(frozen=True, slots=True)
class TimeQuery:
    """The readings from `start` up to, and without, `end`, seconds since 1970; None has no bound.

    At most `limit` of them, none with a larger id than `up_to`. `clean` leaves out implausible
    ones. `windows` are the local days that the client may see, all of them if there are none.
    """

    start: int | None = None
    end: int | None = None
    clean: bool = False
    limit: int | None = None
    up_to: int | None = None
    windows: Sequence[Window] = ()


class TimeOrderReader:
    """Reads the readings of one meter. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine, table: ReadingsTable) -> None:
        self._engine = engine
        self._dialect = engine.dialect
        self._table = table

    async def read(
        self, query: TimeQuery, layout: RecordLayout, *, mark: bytes | None
    ) -> ReadingsResult:
        """Return the readings of a query, of the state with a mark, see `Pager`.

        If the limit cut them short, `following` is the start of the next one.
        """
        pager = Pager(self._engine, self._table, layout, clean=query.clean, by_time=True, mark=mark)
        count, end = await self._extent(query)
        following = None
        if query.limit is not None and count > query.limit:
            count, following = query.limit, end
            query = replace(query, end=end, limit=None)
        where = self._within(query, query.start)
        excluded = None
        if query.clean:
            excluded = await left_out(self._engine, self._table, [where])
        pages = pager.pages(self._ranges(query, is_one=count <= PAGE_READINGS), count)
        return ReadingsResult(count, pages, pager.deflate, following, excluded)

    async def _extent(self, query: TimeQuery) -> tuple[int, int | None]:
        """Return how many readings there are, up to one more than the limit, and the last one."""
        plausible = self._table.without_flags(IMPLAUSIBLE.bit) if query.clean else None
        where = self._table.where(self._within(query, query.start), plausible)
        readings = f"{self._table.name} WHERE {where.text}"
        if query.limit is not None:
            limited = f"SELECT utc FROM {readings} ORDER BY utc LIMIT {query.limit + 1}"
            readings = f"({limited}) AS part"
        rows = await self._engine.fetch(
            f"SELECT COUNT(*), {self._dialect.year_0_seconds('MAX(utc)')} FROM {readings}",
            where.args,
        )
        count, last = rows[0]
        return count, None if last is None else to_unix_seconds(last)

    async def _ranges(self, query: TimeQuery, *, is_one: bool) -> AsyncGenerator[IdRange]:
        """Yield what selects the readings of one page after the other."""
        start = query.start
        while not is_one:
            where = self._table.where(self._within(query, start))
            rows = await self._engine.fetch(
                f"SELECT {self._dialect.year_0_seconds('utc')} FROM {self._table.name}"
                f" WHERE {where.text} ORDER BY utc LIMIT 1 OFFSET {PAGE_READINGS}",
                where.args,
            )
            if not rows:
                break
            end = to_unix_seconds(rows[0][0])
            yield IdRange(self._within(query, start, end))
            start = end
        yield IdRange(self._within(query, start))

    def _within(self, query: TimeQuery, start: int | None, end: int | None = None) -> Condition:
        end = query.end if end is None else end
        condition = Condition("TRUE")
        for bound, comparison in ((start, ">="), (end, "<")):
            if bound is not None:
                condition &= Condition(
                    f"utc {comparison} {self._dialect.placeholder}", (self._dialect.utc(bound),)
                )
        if query.up_to is not None:
            condition &= Condition(f"id <= {query.up_to}")
        if query.windows:
            condition &= self._dialect.in_windows(query.windows)
        return condition
