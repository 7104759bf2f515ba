"""Columns of readings from their rows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domain.columns import Bits, Column, Columns, Integers
from storage.backends.base import ReadEngine, Row
from storage.backends.dialect import ANY_VALUE, Condition, ReadingsTable, readings_of
from storage.common.errors import Inconsistent
from storage.common.turns import in_thread

SEGMENT_READINGS = 4000
"""Ids of a segment, the first one a multiple of that plus one."""

PRESENT_FIELD = "present"
"""The name of a quantity that every reading with any quantity has, and no other."""

_MISSING = np.iinfo(np.int64).min
"""Stands for NULL in the text of a column: no quantity has so many digits."""

_NUMBERS = 10**9
"""More than the segments of a meter."""

_EXPRESSIONS = {PRESENT_FIELD: f"CASE WHEN {ANY_VALUE} IS NOT NULL THEN 1 END"}
"""The SQL of quantities that are no columns of the table."""


@dataclass(frozen=True, slots=True)
class IdSegment:
    """Readings with neighbouring ids, the times of the first and the last of them included."""

    number: int
    """Counts from 0."""
    first_utc: int
    last_utc: int

    @property
    def first_id(self) -> int:
        """The first id that may be in it."""
        return self.number * SEGMENT_READINGS + 1

    @property
    def last_id(self) -> int:
        """The last id that may be in it."""
        return self.first_id + SEGMENT_READINGS - 1


@dataclass(frozen=True, slots=True)
class MeterPeriod:
    """The time of a meter's readings, from `start` up to, and without, `until`."""

    meter_id: int
    start: int
    until: int


@dataclass(frozen=True, slots=True)
class IdRange:
    """Ids of a meter's readings, both ends included."""

    meter_id: int
    first_id: int
    last_id: int


class RowSource:
    """Reads columns of the readings of meters, row by row."""

    def __init__(self, engine: ReadEngine, periods: Sequence[MeterPeriod]) -> None:
        """Read the readings of some meters, each of a period."""
        self._engine = engine
        self._dialect = engine.dialect
        self.periods = {period.meter_id: period for period in periods}

    async def segments(self) -> Mapping[int, Sequence[IdSegment]]:
        """Return the segments that have readings of the time, by meter."""
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for period in self.periods.values():
            alike[period.start, period.until].append(period.meter_id)
        number = self._dialect.int_div("id - 1", SEGMENT_READINGS)
        seconds = self._dialect.unix_seconds
        found: dict[int, list[IdSegment]] = defaultdict(list)
        for bounds, ids in alike.items():
            within = self._within(*bounds)
            rows = await self._engine.fetch(
                self._dialect.group_sums(
                    f"meter_id * {_NUMBERS} + {number}",
                    [seconds("MIN(utc)"), seconds("MAX(utc)")],
                    f"readings WHERE meter_id IN ({', '.join(map(str, ids))}) AND {within.text}",
                ),
                within.args,
            )
            for key, *ends in self._dialect.parse_groups(rows):
                meter_id, segment = divmod(key, _NUMBERS)
                found[meter_id].append(IdSegment(segment, *ends))
        return found

    async def read(
        self, ranges: Sequence[IdRange], names: Sequence[str]
    ) -> Mapping[int, Sequence[Columns]]:
        """Return the columns of the readings with some ids, by meter."""
        selected = ["id", self._dialect.unix_seconds("utc")]
        selected += [f"COALESCE({_EXPRESSIONS.get(name, name)}, '{_MISSING}')" for name in names]
        texts = ", ".join(f"GROUP_CONCAT({each})" for each in selected)
        conditions = [self._selecting(each) for each in ranges]
        rows = await self._engine.fetch(
            " UNION ALL ".join(
                f"SELECT {place}, COUNT(*), {texts}"
                f" FROM {self._dialect.in_order_of_id(table)} WHERE {where.text}"
                for place, (table, where) in enumerate(conditions)
            ),
            [arg for _, where in conditions for arg in where.args],
        )
        return await in_thread(_parsed, ranges, names, rows, await self._flags(ranges))

    def _selecting(self, ids: IdRange) -> tuple[ReadingsTable, Condition]:
        table, period = readings_of(ids.meter_id), self.periods[ids.meter_id]
        within = self._within(period.start, period.until)
        return table, table.where(self._dialect.between(ids.first_id, ids.last_id), within)

    def _within(self, start: int, until: int) -> Condition:
        place = self._dialect.placeholder
        bounds = (self._dialect.utc(start), self._dialect.utc(until))
        return Condition(f"utc >= {place} AND utc < {place}", bounds)

    async def _flags(self, ranges: Sequence[IdRange]) -> Sequence[Row]:
        """Return a row for each range: how many readings have flags, their ids and their flags."""
        return await self._engine.fetch(
            " UNION ALL ".join(
                f"SELECT {place}, COUNT(*), GROUP_CONCAT(reading_id), GROUP_CONCAT(flags)"
                f" FROM flags WHERE meter_id = {each.meter_id}"
                f" AND reading_id BETWEEN {each.first_id} AND {each.last_id}"
                for place, each in enumerate(ranges)
            )
        )


def _parsed(
    ranges: Sequence[IdRange], names: Sequence[str], rows: Sequence[Row], flags: Sequence[Row]
) -> Mapping[int, Sequence[Columns]]:
    found: dict[int, list[Columns]] = defaultdict(list)
    by_place = {place: row for place, *row in flags}
    for place, count, *values in rows:
        if count:
            ids, utc, *columns = (_integers(text, count) for text in values)
            quantities = dict(zip(names, map(_column, columns), strict=True))
            flagged, *texts = by_place[place]
            bits = _placed(ids, *(_integers(text, flagged) for text in texts))
            found[ranges[place].meter_id].append(Columns(ids, utc, quantities, bits))
    return found


def _placed(ids: Integers, flagged: Integers, bits: Integers) -> Bits:
    """Return the flags of readings."""
    flags = np.zeros(len(ids), np.uint8)
    if not len(flagged):
        return flags
    order = np.argsort(ids)
    places = np.searchsorted(ids, flagged, sorter=order)
    # Flags may outlive readings that another program has deleted.
    places = order[np.minimum(places, len(ids) - 1)]
    is_there = ids[places] == flagged
    flags[places[is_there]] = bits[is_there]
    return flags


def _column(values: Integers) -> Column:
    missing = values == _MISSING
    if not missing.any():
        return Column(values)
    return Column(np.where(missing, 0, values), ~missing)


def _integers(text: bytes | None, count: int) -> Integers:
    """Return the numbers of a text, those with decimals scaled by 10^5."""
    values = np.fromstring((text or b"").replace(b".", b""), np.int64, sep=",")
    if len(values) != count:
        raise Inconsistent("the database cut a column short: raise its max_allowed_packet")
    return values
