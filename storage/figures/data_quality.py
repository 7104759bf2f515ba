"""What is missing and what is doubtful: gaps, flagged readings, coverage by day."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from domain.fixed_point import parse_scaled
from domain.flags import FLAGS
from domain.parameters import Parameter, Params, either
from domain.readings_query import QueryError
from domain.time_buckets import BUCKET_SIZES
from domain.time_zone import DAY_SECONDS
from storage.backends.base import ReadEngine
from storage.backends.dialect import to_seconds_since_year_0
from storage.figures.aggregate import BOUNDS, COVERAGE, Aggregate
from storage.figures.aggregation_rules import Measures
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks, empty_table
from storage.figures.scan import TimeChunk, time_chunks
from storage.figures.selection import ANY_VALUE, PERIOD_PARAMETERS, Period, Selection, select

LISTS = ("gaps", "flagged", "days")
_LIST = either(
    "list",
    "Gaps, flagged readings, or the coverage of each day.",
    LISTS,
)

MAX_RECORDS = 100_000
"""Gaps, or flagged readings, that an answer may have."""

GAP_FIELDS = (
    Field("date", FieldType.INSTANT, "Start of the first reading that is missing"),
    Field("last", FieldType.INSTANT, "Start of the last one"),
    Field("readings", FieldType.COUNT, "How many are missing"),
    Field("empty", FieldType.COUNT, "Those that stand there without any value"),
    Field("absent", FieldType.COUNT, "Those that don't stand there at all"),
)
FLAGGED_FIELDS = (
    Field("id", FieldType.COUNT, "Number of the reading"),
    Field("date", FieldType.INSTANT, "Its start"),
    Field("flags", FieldType.TEXT, "Names of its flags, separated by blanks"),
    Field("energy", FieldType.QUANTITY, "Energy (kWh)"),
    Field("maximeter", FieldType.QUANTITY, "Maximeter (kW)"),
    Field("means", FieldType.TEXT, "What the flags say"),
)
_FIELDS = {"gaps": GAP_FIELDS, "flagged": FLAGGED_FIELDS, "days": (*BOUNDS, *COVERAGE)}

Edge = tuple[int | None, int, int | None]
"""The start of a reading with any value, between those of the nearest ones in its window."""


@dataclass(frozen=True, slots=True)
class DataQuality:
    """One of the lists."""

    period: Period
    wanted: str

    parameters: ClassVar[Sequence[Parameter]] = (_LIST, *PERIOD_PARAMETERS)

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""
        return f"quality {self.wanted} {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return _FIELDS[self.wanted]

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        return cls(Period.of(params), _LIST.parse(params))

    async def table(self, engine: ReadEngine) -> ResultTable:
        """The list, in the order of time."""
        if self.wanted == "days":
            days = Aggregate(self.period, BUCKET_SIZES["day"], Measures(()), None)
            return await days.table(engine)
        asked = await select(engine, self.period)
        if asked is None:
            return empty_table(self.fields)
        rows = await (_gaps if self.wanted == "gaps" else _flagged)(engine, asked)
        if len(rows) > MAX_RECORDS:
            raise QueryError(
                "list",
                f"expected at most {MAX_RECORDS:,} records, and this would be more: "
                "choose a shorter time with date and end_date",
            )
        return ResultTable(self.fields, asked.zone, len(rows), as_chunks(rows))


async def _flagged(engine: ReadEngine, asked: Selection) -> list[Row]:
    where = asked.where(engine.dialect)
    rows = await engine.fetch(
        f"SELECT id, {engine.dialect.seconds.format('utc')}, flags, energy, maximeter"
        f" FROM flags JOIN consumpdata ON id = reading_id WHERE {where.text}"
        f" ORDER BY utc LIMIT {MAX_RECORDS + 1}",
        where.args,
    )
    listed: list[Row] = []
    for number, at, bits, energy, maximeter in rows:
        flags = [flag for flag in FLAGS if flag.bit & bits]
        names = " ".join(flag.name for flag in flags)
        means = "; ".join(flag.means for flag in flags)
        listed.append(
            (
                number,
                to_seconds_since_year_0(at),
                names,
                parse_scaled(energy),
                parse_scaled(maximeter),
                means,
            )
        )
    return listed


async def _gaps(engine: ReadEngine, asked: Selection) -> list[Row]:
    gaps: list[Row] = []
    empty: list[int] = []
    last: int | None = None
    for window in time_chunks(asked, DAY_SECONDS):
        empty += await _empty(engine, asked, window)
        for before, at, behind in await _edges(engine, asked, window):
            gaps += _gap(asked, last if before is None else before, at, empty)
            del empty[: bisect_left(empty, asked.due(at))]
            if behind is None:
                last = at
        if len(gaps) > MAX_RECORDS:
            return gaps
    return gaps + _gap(asked, last, None, empty)


async def _edges(engine: ReadEngine, asked: Selection, window: TimeChunk) -> list[Edge]:
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
            None if before is None else to_seconds_since_year_0(before),
            to_seconds_since_year_0(at),
            None if behind is None else to_seconds_since_year_0(behind),
        )
        for before, at, behind in rows
    ]


async def _empty(engine: ReadEngine, asked: Selection, window: TimeChunk) -> list[int]:
    """When the readings without any value were due."""
    where = asked.where(engine.dialect, start=window.start, end=window.end)
    rows = await engine.fetch(
        f"SELECT {engine.dialect.seconds.format('utc')} FROM consumpdata"
        f" WHERE {where.text} AND {ANY_VALUE} IS NULL ORDER BY utc",
        where.args,
    )
    return [asked.due(to_seconds_since_year_0(at)) for (at,) in rows]


def _gap(
    asked: Selection, before: int | None, behind: int | None, empty: Sequence[int]
) -> list[Row]:
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
