"""Data quality: gaps, flagged readings, coverage by day."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from domain.columns import Columns
from domain.fixed_point import parse_scaled
from domain.flags import FLAGS
from domain.parameters import Parameter, Params, either
from domain.readings_query import QueryError
from domain.time.time_buckets import BUCKET_SIZES
from storage.backends.base import ReadEngine
from storage.backends.dialect import ANY_VALUE, Condition, to_unix_seconds
from storage.common.turns import in_thread, in_turns
from storage.figures.aggregate import BOUNDS, COVERAGE, FLAG_FIELDS, PARTIAL, Aggregate
from storage.figures.result import Field, FieldType, ResultTable, Row, as_chunks
from storage.figures.scan import selected_columns
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
    gaps = _Gaps(selection)
    for part, seconds in selection.by_span():
        readings = selected_columns(engine, part, [ANY_VALUE])
        async with aclosing(readings):
            async for columns in readings:
                await in_thread(gaps.add, columns, seconds)
                if len(gaps.found) > MAX_RECORDS:
                    return gaps.found
    gaps.add_end()
    return gaps.found


class _Gaps:
    """What is missing between readings, which are taken in the order of time."""

    def __init__(self, selection: Selection) -> None:
        self.found: list[Row] = []
        self._selection = selection
        self._last: int | None = None
        """The start of the last reading with any value."""
        self._empty: list[int] = []
        """When readings without any value were due, since the last one, each moment once."""

    def add(self, columns: Columns, seconds: int | None) -> None:
        """Take in readings of an interval; where that is unknown, nothing is missing."""
        due = self._selection.grid.due
        has_any = columns.quantities[ANY_VALUE].present
        for at in map(due, columns.utc[~has_any].tolist()):
            if at not in self._empty[-1:]:
                self._empty.append(at)
        starts = columns.utc[has_any]
        if not len(starts):
            return
        self._add(self._last, int(starts[0]))
        if seconds is not None:
            behind = np.flatnonzero(np.diff(starts) > seconds) + 1
            for bounds in zip(starts[behind - 1].tolist(), starts[behind].tolist(), strict=True):
                self._add(*bounds)
        self._last = int(starts[-1])
        del self._empty[: bisect_left(self._empty, due(self._last))]

    def add_end(self) -> None:
        """Take in the end of the selection."""
        self._add(self._last, None)

    def _add(self, before: int | None, behind: int | None) -> None:
        """Take in two readings, or an end of the selection, with nothing between them."""
        selection, empty = self._selection, self._empty
        grid = selection.grid
        start = selection.start if before is None else grid.due(before) + 1
        end = selection.until if behind is None else grid.due(behind)
        readings = grid.expected(start, end) if start < end else 0
        if readings:
            first, last = grid.next_expected(start), grid.last_expected(end)
            without_value = bisect_left(empty, end) - bisect_left(empty, start)
            self.found.append((first, last, readings, without_value, readings - without_value))
