"""Data quality: gaps, flagged readings, coverage by day."""

import re
from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from domain.fixed_point import parse_scaled
from domain.flags import FLAGS
from domain.parameters import Parameter, Params, either
from domain.readings_query import QueryError
from domain.time.time_buckets import BUCKET_SIZES
from domain.time.time_zone import DAY_SECONDS
from storage.backends.base import ReadEngine
from storage.backends.dialect import ANY_VALUE, Condition, to_unix_seconds
from storage.common.turns import in_turns
from storage.figures.aggregate import BOUNDS, COVERAGE, FLAG_FIELDS, PARTIAL, Aggregate
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks
from storage.figures.scan import TimeChunk, time_chunks
from storage.figures.selection import PERIOD_PARAMETERS, Period, Selection, interval_note, select
from storage.figures.sums.measures import Measures
from storage.meters import Meter

LISTS = ("gaps", "flagged", "days")
_LIST = either("list", "Gaps, flagged readings, or coverage by day.", LISTS)
ANY_FLAG = "any"
_FLAG = either(
    "flag",
    "With list=flagged, only readings with this flag; those with implausible are what "
    "quality=clean leaves out elsewhere.",
    (ANY_FLAG, *(flag.name for flag in FLAGS)),
)

MAX_RECORDS = 100_000
"""Gaps, or flagged readings, that a result may have."""

GAP_FIELDS = (
    Field("date", FieldType.INSTANT, "Start of the first reading that is missing"),
    Field("last", FieldType.INSTANT, "Start of the last one"),
    Field("readings", FieldType.COUNT, "Number of missing readings"),
    Field("empty", FieldType.COUNT, "Of these, readings without any value"),
    Field("absent", FieldType.COUNT, "Of these, readings that do not exist"),
)
FLAGGED_FIELDS = (
    Field("id", FieldType.COUNT, "Id of the reading"),
    Field("date", FieldType.INSTANT, "Its start"),
    Field("flags", FieldType.TEXT, "Names of its flags, separated by spaces"),
    Field("energy", FieldType.QUANTITY, "Energy (kWh)", "kWh"),
    Field("maximeter", FieldType.QUANTITY, "Maximeter (kW)", "kW"),
    Field("voltage", FieldType.QUANTITY, "Voltage (V)", "V"),
    Field("intensity", FieldType.QUANTITY, "Intensity (A)", "A"),
    Field("means", FieldType.TEXT, "What the flags mean"),
    Field("rule", FieldType.TEXT, "The condition of each flag"),
)
_FLAGGED_QUANTITIES = ("energy", "maximeter", "voltage", "intensity")
_FIELDS = {
    "gaps": GAP_FIELDS,
    "flagged": FLAGGED_FIELDS,
    "days": (*BOUNDS, *COVERAGE, PARTIAL, *FLAG_FIELDS),
}
_SETTINGS = re.compile(r"maximeter_tolerance ([0-9.]+), maximeter_allowance ([0-9.]+) kW")
"""What a meter's record says of the settings that its readings were flagged with."""

Edge = tuple[int | None, int, int | None]
"""The start of a reading with any value, between those of its neighbours in the chunk."""


@dataclass(frozen=True, slots=True)
class DataQuality:
    """A query for one of the lists."""

    period: Period
    list_: str
    flag: str = ANY_FLAG

    parameters: ClassVar[Sequence[Parameter]] = (_LIST, _FLAG, *PERIOD_PARAMETERS)

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""
        return f"quality {self.list_} {self.flag} {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return _FIELDS[self.list_]

    @classmethod
    def of(cls, params: Params) -> Self:
        """Parse the parameters of a request; raise QueryError."""
        list_, flag = _LIST.parse(params), _FLAG.parse(params)
        if flag != ANY_FLAG and list_ != "flagged":
            raise QueryError(_FLAG.name, f"expected list=flagged with it, got list={list_}")
        return cls(Period.of(params), list_, flag)

    async def select(self, engine: ReadEngine, meter: Meter) -> Selection | None:
        """Return the readings of the period, None if it is empty; raise QueryError."""
        return await select(engine, meter, self.period)

    def scanned(self, selection: Selection) -> int:
        """Return how many readings of a selection are read, at most."""
        return self._days.scanned(selection) if self.list_ == "days" else selection.readings

    async def table(self, engine: ReadEngine, selection: Selection) -> ResultTable:
        """Return the list, in order of time."""
        if self.list_ == "days":
            # Without a choice of raw or clean, there is no other that could be told of.
            return replace(await self._days.table(engine, selection), metadata={})
        if self.list_ == "gaps":
            rows = await _gaps(engine, selection)
        else:
            rows = await _flagged(engine, selection, self.flag)
        if len(rows) > MAX_RECORDS:
            raise QueryError(
                "list",
                f"expected at most {MAX_RECORDS:,} records, and this would be more: "
                f"choose a shorter time with {' and '.join(self.period.names)}",
            )
        notes = interval_note(selection)
        return ResultTable(self.fields, selection.zone, len(rows), as_chunks(rows), notes)

    @property
    def _days(self) -> Aggregate:
        return Aggregate(self.period, BUCKET_SIZES["day"], Measures((), has_flags=True), None)


async def _flagged(engine: ReadEngine, selection: Selection, name: str) -> list[Row]:
    where = selection.where(engine.dialect)
    for flag in FLAGS:
        if flag.name == name:
            where &= Condition(f"flags & {flag.bit} <> 0")
    settings = await _settings(engine, selection)
    rows = await engine.fetch(
        f"SELECT id, {engine.dialect.year_0_seconds('utc')}, flags,"
        f" {', '.join(_FLAGGED_QUANTITIES)}"
        f" FROM {selection.table.flagged} WHERE {where.text}"
        f" ORDER BY utc LIMIT {MAX_RECORDS + 1}",
        where.args,
    )
    records: list[Row] = []
    async for number, at, bits, *quantities in in_turns(rows):
        flags = [flag for flag in FLAGS if flag.bit & bits]
        names = " ".join(flag.name for flag in flags)
        means = "; ".join(flag.means for flag in flags)
        rule = "; ".join(flag.rule.format(**settings) for flag in flags)
        records.append(
            (
                number,
                to_unix_seconds(at),
                names,
                *map(parse_scaled, quantities),
                *(means, rule),
            )
        )
    return records


async def _settings(engine: ReadEngine, selection: Selection) -> dict[str, str]:
    """Return the settings that the meter's readings were flagged with, by their names."""
    rows = await engine.fetch(
        f"SELECT COALESCE(quality, '') FROM meters WHERE id = {selection.meter.id}"
    )
    found = _SETTINGS.search(rows[0][0].decode()) if rows else None
    tolerance, allowance = (
        found.groups() if found else ("maximeter_tolerance", "maximeter_allowance")
    )
    return {"tolerance": tolerance, "allowance": allowance}


async def _gaps(engine: ReadEngine, selection: Selection) -> list[Row]:
    gaps: list[Row] = []
    empty: list[int] = []
    last: int | None = None
    chunks = (
        (chunk, seconds)
        for part, seconds in selection.by_span()
        for chunk in time_chunks(part, DAY_SECONDS)
    )
    for chunk, seconds in chunks:
        async for due in _empty(engine, selection, chunk):
            if due not in empty[-1:]:
                empty.append(due)
        async for before, at, behind in _edges(engine, selection, chunk, seconds):
            gaps += _gap(selection, last if before is None else before, at, empty)
            del empty[: bisect_left(empty, selection.grid.due(at))]
            if behind is None:
                last = at
        if len(gaps) > MAX_RECORDS:
            return gaps
    return gaps + _gap(selection, last, None, empty)


async def _edges(
    engine: ReadEngine, selection: Selection, chunk: TimeChunk, seconds: int | None
) -> AsyncGenerator[Edge]:
    """Yield the readings with any value at the ends of gaps and of the chunk.

    Gaps are what is longer than the interval of so many seconds; without it, nothing is.
    """
    is_gap = "FALSE" if seconds is None else f"start - before_it > {seconds}"
    where = selection.where(engine.dialect, start=chunk.start, end=chunk.end)
    rows = await engine.fetch(
        "SELECT before_it, start, behind_it FROM (SELECT start,"
        " LAG(start) OVER (ORDER BY start) AS before_it,"
        " LEAD(start) OVER (ORDER BY start) AS behind_it"
        f" FROM (SELECT {engine.dialect.year_0_seconds('utc')} AS start FROM {selection.table.name}"
        f" WHERE {where.text} AND {ANY_VALUE} IS NOT NULL) AS present) AS neighbours"
        f" WHERE before_it IS NULL OR behind_it IS NULL OR {is_gap} ORDER BY start",
        where.args,
    )
    async for before, at, behind in in_turns(rows):
        yield (
            None if before is None else to_unix_seconds(before),
            to_unix_seconds(at),
            None if behind is None else to_unix_seconds(behind),
        )


async def _empty(engine: ReadEngine, selection: Selection, chunk: TimeChunk) -> AsyncGenerator[int]:
    """Yield when the readings without any value were due."""
    where = selection.where(engine.dialect, start=chunk.start, end=chunk.end)
    rows = await engine.fetch(
        f"SELECT {engine.dialect.year_0_seconds('utc')} FROM {selection.table.name}"
        f" WHERE {where.text} AND {ANY_VALUE} IS NULL ORDER BY utc",
        where.args,
    )
    async for (at,) in in_turns(rows):
        yield selection.grid.due(to_unix_seconds(at))


def _gap(
    selection: Selection, before: int | None, behind: int | None, empty: Sequence[int]
) -> list[Row]:
    """Return what is missing between two readings, or an end of the selection, if anything is.

    `empty` tells when readings without any value were due, each moment once.
    """
    grid = selection.grid
    start = selection.start if before is None else grid.due(before) + 1
    end = selection.until if behind is None else grid.due(behind)
    readings = grid.expected(start, end) if start < end else 0
    if not readings:
        return []
    first, last = grid.next_expected(start), grid.last_expected(end)
    without_value = bisect_left(empty, end) - bisect_left(empty, start)
    return [(first, last, readings, without_value, readings - without_value)]
