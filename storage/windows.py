"""A scope window by window, so that neither a statement nor its result grows with the scope."""

from collections.abc import Iterator
from dataclasses import dataclass

from storage.engine import Engine
from storage.paging import SPARSE
from storage.quality import Flag
from storage.scope import Scope
from storage.sql import Condition

GROUPS = 500
"""Groups that the readings of a window make at most."""


@dataclass(frozen=True, slots=True)
class Window:
    """Readings from `start` up to `end`, while local time is `offset` seconds ahead of UTC."""

    start: int
    end: int
    offset: int


@dataclass(frozen=True, slots=True)
class Found:
    """How many readings there are, and where; `ids` are the first and the last one's."""

    count: int
    table: str
    where: Condition
    plain: Condition
    """The same without regard to their ids."""
    ids: tuple[int, int]


def windows(scope: Scope, size: int) -> Iterator[Window]:
    """The windows of a scope, in order, for groups of so many seconds; none without readings."""
    start = max(scope.start, scope.first_reading)
    end = min(scope.until, scope.last_reading + 1)
    for stretch in scope.zone.stretches(start, end):
        for at in range(stretch.start, stretch.end, GROUPS * size):
            yield Window(at, min(at + GROUPS * size, stretch.end), stretch.offset)


async def found(
    engine: Engine, scope: Scope, *without: Flag, window: Window | None = None
) -> Found:
    """Where the readings of a scope, or of a window of it, are that have none of some flags.

    Where they have ids of their own, one after the other, they are read
    by id: their table is kept in that order, and going by the index on instants would fetch them
    one by one.
    """
    dialect = engine.dialect
    ends = {"start": window.start, "end": window.end} if window else {}
    where = scope.where(dialect, *without, **ends)
    rows = await engine.fetch(
        f"SELECT COUNT(*), MIN(id), MAX(id) FROM consumpdata WHERE {where.text}", where.args
    )
    count, first_id, last_id = rows[0]
    if not count or last_id - first_id >= SPARSE * count:
        return Found(count, "consumpdata", where, where, (first_id, last_id))
    within = dialect.between(first_id, last_id) & where
    return Found(count, f"consumpdata {dialect.by_id}", within, where, (first_id, last_id))
