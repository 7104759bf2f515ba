"""What is missing and what is doubtful: gaps, flagged readings, coverage by day."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from storage.aggregate import BOUNDS, COVERAGE, Aggregate
from storage.calendar import INTERVALS
from storage.engine import Engine
from storage.measures import Measures
from storage.quality import FLAGS
from storage.query import QueryError
from storage.scope import ANY_VALUE, Period, Scope, choice, scope
from storage.sql import since_epoch
from storage.table import Field, Kind, Row, Table, given, nothing, scaled
from storage.windows import Window, windows
from storage.zone import DAY

LISTS = ("gaps", "flagged", "days")

MOST = 100_000
"""Gaps, or flagged readings, that an answer may have."""

GAP_FIELDS = (
    Field("date", Kind.INSTANT, "Start of the first reading that is missing"),
    Field("last", Kind.INSTANT, "Start of the last one"),
    Field("readings", Kind.COUNT, "How many are missing"),
    Field("empty", Kind.COUNT, "Those that stand there without any value"),
    Field("absent", Kind.COUNT, "Those that don't stand there at all"),
)
FLAGGED_FIELDS = (
    Field("id", Kind.COUNT, "Number of the reading"),
    Field("date", Kind.INSTANT, "Its start"),
    Field("flags", Kind.TEXT, "Names of its flags, separated by blanks"),
    Field("energy", Kind.QUANTITY, "Energy (kWh)"),
    Field("maximeter", Kind.QUANTITY, "Maximeter (kW)"),
    Field("means", Kind.TEXT, "What the flags say"),
)
_FIELDS = {"gaps": GAP_FIELDS, "flagged": FLAGGED_FIELDS, "days": (*BOUNDS, *COVERAGE)}

Edge = tuple[int | None, int, int | None]
"""The start of a reading with any value, between those of the nearest ones in its window."""


@dataclass(frozen=True, slots=True)
class Quality:
    """One of the lists."""

    period: Period
    wanted: str

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""
        return f"quality {self.wanted} {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return _FIELDS[self.wanted]

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """What the parameters of a request mean; raises QueryError."""
        return cls(Period.of(given), choice(given, "list", LISTS))

    async def table(self, engine: Engine) -> Table:
        """The list, in the order of time."""
        if self.wanted == "days":
            days = Aggregate(self.period, INTERVALS["day"], Measures(()), None)
            return await days.table(engine)
        asked = await scope(engine, self.period)
        if asked is None:
            return nothing(self.fields)
        rows = await (_gaps if self.wanted == "gaps" else _flagged)(engine, asked)
        if len(rows) > MOST:
            raise QueryError(
                "list",
                f"expected at most {MOST:,} records, and this would be more: "
                "choose a shorter time with date and end_date",
            )
        return Table(self.fields, asked.zone, len(rows), given(rows))


async def _flagged(engine: Engine, asked: Scope) -> list[Row]:
    where = asked.where(engine.dialect)
    rows = await engine.fetch(
        f"SELECT id, {engine.dialect.seconds.format('utc')}, flags, energy, maximeter"
        f" FROM flags JOIN consumpdata ON id = reading_id WHERE {where.text}"
        f" ORDER BY utc LIMIT {MOST + 1}",
        where.args,
    )
    listed: list[Row] = []
    for number, at, bits, energy, maximeter in rows:
        flags = [flag for flag in FLAGS if flag.bit & bits]
        names = " ".join(flag.name for flag in flags)
        means = "; ".join(flag.means for flag in flags)
        listed.append((number, since_epoch(at), names, scaled(energy), scaled(maximeter), means))
    return listed


async def _gaps(engine: Engine, asked: Scope) -> list[Row]:
    gaps: list[Row] = []
    empty: list[int] = []
    last: int | None = None
    for window in windows(asked, DAY):
        empty += await _empty(engine, asked, window)
        for before, at, behind in await _edges(engine, asked, window):
            gaps += _gap(asked, last if before is None else before, at, empty)
            del empty[: bisect_left(empty, asked.due(at))]
            if behind is None:
                last = at
        if len(gaps) > MOST:
            return gaps
    return gaps + _gap(asked, last, None, empty)


async def _edges(engine: Engine, asked: Scope, window: Window) -> list[Edge]:
    """The readings with any value that have none right before them or none behind them."""
    where = asked.where(engine.dialect, start=window.start, end=window.end)
    rows = await engine.fetch(
        "SELECT before_it, start, behind_it FROM (SELECT start,"
        " LAG(start) OVER (ORDER BY start) AS before_it,"
        " LEAD(start) OVER (ORDER BY start) AS behind_it"
        f" FROM (SELECT {engine.dialect.seconds.format('utc')} AS start FROM consumpdata"
        f" WHERE {where.text} AND {ANY_VALUE} IS NOT NULL) AS present) AS neighbours"
        " WHERE before_it IS NULL OR behind_it IS NULL"
        f" OR start - before_it > {asked.meter.interval} ORDER BY start",
        where.args,
    )
    return [
        (
            None if before is None else since_epoch(before),
            since_epoch(at),
            None if behind is None else since_epoch(behind),
        )
        for before, at, behind in rows
    ]


async def _empty(engine: Engine, asked: Scope, window: Window) -> list[int]:
    """When the readings without any value were due."""
    where = asked.where(engine.dialect, start=window.start, end=window.end)
    rows = await engine.fetch(
        f"SELECT {engine.dialect.seconds.format('utc')} FROM consumpdata"
        f" WHERE {where.text} AND {ANY_VALUE} IS NULL ORDER BY utc",
        where.args,
    )
    return [asked.due(since_epoch(at)) for (at,) in rows]


def _gap(asked: Scope, before: int | None, behind: int | None, empty: Sequence[int]) -> list[Row]:
    """What is missing between two readings, or an end of the scope, if anything is."""
    start = asked.start if before is None else asked.due(before) + 1
    end = asked.until if behind is None else asked.due(behind)
    readings = asked.expected(start, end)
    if readings <= 0:
        return []
    first = asked.next_expected(start)
    last = first + (readings - 1) * asked.meter.interval
    without_value = len({*empty[bisect_left(empty, start) : bisect_left(empty, end)]})
    return [(first, last, readings, without_value, readings - without_value)]
