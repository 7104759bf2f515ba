"""Columns of readings from their rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Self

import numpy as np

from domain.columns import MISSING_VALUE, Column, Columns, Integers
from storage.backends.base import ReadEngine, Row
from storage.backends.dialect import Condition, Dialect, readings_of
from storage.common.errors import Inconsistent
from storage.common.turns import in_thread
from storage.readings.page_store import PAGE_READINGS

SEGMENT_READINGS = PAGE_READINGS
"""Ids of a segment, the first one a multiple of that plus one: a block is of those of a page."""

FEW_IDS = 10 * SEGMENT_READINGS
"""Ids that are looked through faster than the index on times, if that has as many."""

_LIKELY_SECONDS = 900
"""From one reading to the next, about."""


@dataclass(frozen=True, slots=True)
class IdSegment:
    """Readings with neighbouring ids, the times of the first and the last of them included."""

    number: int
    """Counts from 0."""
    first_utc: int
    last_utc: int
    readings: int = SEGMENT_READINGS
    """How many there are."""

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

    @property
    def likely_readings(self) -> int:
        """How many there are, about."""
        return (self.until - self.start) // _LIKELY_SECONDS + 1


@dataclass(frozen=True, slots=True)
class ReadingIds:
    """Ids of a meter's readings, both ends included."""

    meter_id: int
    first_id: int
    last_id: int

    @property
    def number(self) -> int:
        """How many they are."""
        return self.last_id - self.first_id + 1


class RowSource:
    """Reads columns of the readings of meters, row by row; one statement for all that is asked."""

    def __init__(self, engine: ReadEngine, periods: Sequence[MeterPeriod]) -> None:
        """Read the readings of some meters, each of a period."""
        self._engine = engine
        self._dialect = engine.dialect
        self._periods = {period.meter_id: period for period in periods}

    async def segments(self, ranges: Sequence[ReadingIds]) -> list[tuple[int, IdSegment]]:
        """Return the segments of some ids that have readings of the time, after their meters."""
        number = self._dialect.int_div("id - 1", SEGMENT_READINGS)
        seconds = self._dialect.unix_seconds
        statements = []
        for each in ranges:
            source, where = self._selecting(each, FEW_IDS)
            sql = (
                f"SELECT {each.meter_id}, {number} AS number, {seconds('MIN(utc)')},"
                f" {seconds('MAX(utc)')}, COUNT(*) FROM {source} WHERE {where.text} GROUP BY number"
            )
            statements.append(Condition(sql, where.args))
        rows = await self._fetch(statements)
        return [(meter_id, IdSegment(*values)) for meter_id, *values in rows]

    async def read(self, ranges: Sequence[ReadingIds], names: Sequence[str]) -> list[Columns]:
        """Return the columns of the readings of each range, without their flags."""
        statements = []
        for place, each in enumerate(ranges):
            source, where = self._selecting(each, each.number)
            sql = columns_statement(self._dialect, source, where, names, place)
            statements.append(Condition(sql, where.args))
        rows = await self._fetch(statements)
        return await in_thread(
            lambda: [parsed_columns(row, names) for row in sorted(rows, key=itemgetter(0))]
        )

    async def flags(self, ranges: Sequence[ReadingIds]) -> Sequence[Row]:
        """Return a row for each range, of which `FlaggedReadings` are made."""
        rows = await self._fetch(
            [
                Condition(
                    f"SELECT {place}, COUNT(*), GROUP_CONCAT(reading_id), GROUP_CONCAT(flags)"
                    f" FROM flags WHERE meter_id = {each.meter_id}"
                    f" AND reading_id BETWEEN {each.first_id} AND {each.last_id}"
                )
                for place, each in enumerate(ranges)
            ]
        )
        return sorted(rows, key=itemgetter(0))

    def _selecting(self, ids: ReadingIds, few: int) -> tuple[str, Condition]:
        """Return what follows FROM, and the condition, to select the readings of ids and times.

        Ids are looked through if they are few, and no more than there are readings of the time.
        """
        table, period = readings_of(ids.meter_id), self._periods[ids.meter_id]
        is_by_id = ids.number <= min(few, period.likely_readings)
        source = self._dialect.in_order_of_id(table) if is_by_id else table.name
        # No index serves an expression.
        number = "id" if is_by_id else "id + 0"
        place = self._dialect.placeholder
        within = Condition(
            f"{number} BETWEEN {place} AND {place} AND utc >= {place} AND utc < {place}",
            (
                *(ids.first_id, ids.last_id),
                *(self._dialect.utc(period.start), self._dialect.utc(period.until)),
            ),
        )
        return source, table.where(within)

    async def _fetch(self, statements: Sequence[Condition]) -> Sequence[Row]:
        """Return the rows of all statements."""
        if not statements:
            return []
        sql = " UNION ALL ".join(each.text for each in statements)
        return await self._engine.fetch(sql, [arg for each in statements for arg in each.args])


@dataclass(frozen=True, slots=True)
class FlaggedReadings:
    """Ids of readings and the bits of their flags."""

    ids: Integers
    bits: Integers

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return those of a row of `RowSource.flags`."""
        _, count, ids, bits = row
        return cls(integers_of(ids, count), integers_of(bits, count))

    def set_in(self, columns: Columns) -> None:
        """Write the flags into those of readings that follow each other."""
        if not len(columns) or not len(self.ids):
            return
        order = np.argsort(columns.ids)
        places = np.searchsorted(columns.ids, self.ids, sorter=order)
        # Flags may outlive readings that another program has deleted.
        places = order[np.minimum(places, len(columns) - 1)]
        is_there = columns.ids[places] == self.ids
        columns.flags[places[is_there]] = self.bits[is_there]


def columns_statement(
    dialect: Dialect, source: str, where: Condition, names: Sequence[str], place: int = 0
) -> str:
    """Return the statement that selects columns of readings; `parsed_columns` takes its row.

    `source` follows FROM. Rows of several statements have the order of their places.
    """
    selected = ["id", dialect.unix_seconds("utc")]
    selected += [f"COALESCE({name}, '{MISSING_VALUE}')" for name in names]
    texts = ", ".join(f"GROUP_CONCAT({each})" for each in selected)
    return f"SELECT {place}, COUNT(*), {texts} FROM {source} WHERE {where.text}"


def parsed_columns(row: Sequence[Any], names: Sequence[str]) -> Columns:
    """Return the columns of readings, without their flags, from the row of the statement."""
    _, count, *found = row
    ids, utc, *values = (integers_of(text, count) for text in found)
    quantities = dict(zip(names, map(Column.of, values), strict=True))
    return Columns(ids, utc, quantities, np.zeros(count, np.uint8))


def integers_of(text: bytes | str | None, count: int) -> Integers:
    """Return the numbers of a text, those with decimals scaled by 10^5."""
    plain = (text.encode() if isinstance(text, str) else text or b"").replace(b".", b"")
    values = np.fromstring(plain, np.int64, sep=",")
    if len(values) != count:
        raise Inconsistent("the database cut a column short: raise its max_allowed_packet")
    return values
