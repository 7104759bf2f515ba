"""A scope window by window, so that neither a statement nor its result grows with the scope."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from storage.engine import Engine
from storage.paging import SPARSE
from storage.quality import Flag
from storage.scope import Scope, without
from storage.sql import Condition, both
from storage.zone import DAY

GROUPS = 2000
"""Groups that the readings of a window make at most."""

LONGEST = 500 * DAY
"""Seconds that a window may have."""

SLICE = 50_000
"""Ids of a slice."""


@dataclass(frozen=True, slots=True)
class Window:
    """Readings from `start` up to `end`, while local time is `offset` seconds ahead of UTC."""

    start: int
    end: int
    offset: int


@dataclass(frozen=True, slots=True)
class Found:
    """Where readings are; `ids` are the first and the last one's, of readings with any flags."""

    table: str
    where: Condition
    flagged: Condition
    """What stands behind FROM for those among them that have flags."""
    ids: tuple[int, int]
    is_empty: bool = False
    slices: Sequence[Condition] = ()
    """Conditions that together are `where`, each for not too many readings, where they are read by
    id since most ids between those are of such readings."""


_FLAGGED = "flags CROSS JOIN consumpdata ON id = reading_id"
"""Flags are few: SQLite, which keeps the order of a CROSS JOIN, is to begin with them."""


def windows(scope: Scope, size: int) -> Iterator[Window]:
    """The windows of a scope, in order, for groups of so many seconds; none without readings."""
    length = min(GROUPS * size, LONGEST)
    start = max(scope.start, scope.first_reading)
    end = min(scope.until, scope.last_reading + 1)
    for stretch in scope.zone.stretches(start, end):
        for at in range(stretch.start, stretch.end, length):
            yield Window(at, min(at + length, stretch.end), stretch.offset)


async def found(engine: Engine, scope: Scope, *flags: Flag, window: Window | None = None) -> Found:
    """Where the readings of a scope, or of a window of it, are that have none of some flags.

    Where they have ids of their own, one after the other, they are read by id: their table is kept
    in that order, and going by the index on instants would fetch them one by one.
    """
    dialect = engine.dialect
    ends = {"start": window.start, "end": window.end} if window else {}
    # Flags are few, and to look for those of each reading takes longer than to count all readings.
    within = scope.raw().where(dialect, **ends)
    if scope.is_whole and window is None:
        # Each in a query of its own, for which SQLite looks at one end of the table.
        rows = await engine.fetch(
            "SELECT (SELECT MIN(id) FROM consumpdata), (SELECT MAX(id) FROM consumpdata)"
        )
        first_id, last_id = rows[0]
        count = last_id - first_id + 1
    else:
        rows = await engine.fetch(
            f"SELECT COUNT(*), MIN(id), MAX(id) FROM consumpdata WHERE {within.text}", within.args
        )
        count, first_id, last_id = rows[0]
    if not count:
        return Found("consumpdata", within, within, (0, 0), is_empty=True)
    bits = scope.bits(*flags)
    unflagged = without(bits) if bits else None
    if last_id - first_id >= SPARSE * count:
        where = both(within, unflagged)
        flagged = Condition(f"{_FLAGGED} WHERE {where.text}", where.args)
        return Found("consumpdata", where, flagged, (first_id, last_id))
    # Where there are as many ids as readings, instants need not be looked at.
    rest = unflagged if last_id - first_id < count else both(within, unflagged)
    where = both(dialect.between(first_id, last_id), rest)
    flagged = Condition(
        f"{_FLAGGED} WHERE reading_id BETWEEN {dialect.place} AND {dialect.place}",
        (first_id, last_id),
    )
    return Found(
        f"consumpdata {dialect.by_id}",
        where,
        both(flagged, rest),
        (first_id, last_id),
        slices=[
            both(dialect.between(at, min(at + SLICE - 1, last_id)), rest)
            for at in range(first_id, last_id + 1, SLICE)
        ],
    )
