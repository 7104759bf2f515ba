"""Columns of readings from their rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from domain.columns import MISSING_VALUE, Column, Columns, Integers
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition, Dialect, ReadingsTable, readings_of
from storage.common.errors import Inconsistent
from storage.common.turns import in_thread

SEGMENT_READINGS = 4000
"""Ids of a segment, the first one a multiple of that plus one."""

FEW_IDS = 10 * SEGMENT_READINGS
"""Ids that are looked through faster than the index on times."""


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


class RowSource:
    """Reads columns of a meter's readings, row by row."""

    def __init__(self, engine: ReadEngine, meter_id: int, start: int, until: int) -> None:
        """Read the readings from `start` up to, and without, `until`."""
        self._engine = engine
        self._dialect = engine.dialect
        self._table = readings_of(meter_id)
        self._meter_id = meter_id
        place = self._dialect.placeholder
        self._within = Condition(
            f"utc >= {place} AND utc < {place}",
            (self._dialect.utc(start), self._dialect.utc(until)),
        )

    async def segments(self, first_id: int, last_id: int) -> list[IdSegment]:
        """Return the segments of some ids that have readings of the time."""
        where = self._table.where(self._dialect.between(first_id, last_id), self._within)
        # Few ids are quickly looked through, whatever the time is.
        are_few = last_id - first_id < FEW_IDS
        table = self._dialect.in_order_of_id(self._table) if are_few else self._table.name
        number = self._dialect.int_div("id - 1", SEGMENT_READINGS)
        seconds = self._dialect.unix_seconds
        rows = await self._engine.fetch(
            self._dialect.group_sums(
                number,
                [seconds("MIN(utc)"), seconds("MAX(utc)")],
                f"{table} WHERE {where.text}",
            ),
            where.args,
        )
        return [IdSegment(*values) for values in self._dialect.parse_groups(rows)]

    async def read(self, first_id: int, last_id: int, names: Sequence[str]) -> Columns:
        """Return the columns of the readings with some ids, without their flags."""
        where = self._table.where(self._dialect.between(first_id, last_id), self._within)
        sql = columns_statement(self._dialect, self._table, where, names)
        (row,) = await self._engine.fetch(sql, where.args)
        return await in_thread(parsed_columns, row, names)

    async def flags(self, first_id: int, last_id: int) -> "FlaggedReadings":
        """Return the flags of the readings with some ids."""
        place = self._dialect.placeholder
        ((count, *texts),) = await self._engine.fetch(
            "SELECT COUNT(*), GROUP_CONCAT(reading_id), GROUP_CONCAT(flags) FROM flags"
            f" WHERE meter_id = {self._meter_id} AND reading_id BETWEEN {place} AND {place}",
            (first_id, last_id),
        )
        return FlaggedReadings(*(integers_of(text, count) for text in texts))


@dataclass(frozen=True, slots=True)
class FlaggedReadings:
    """Ids of readings and the bits of their flags."""

    ids: Integers
    bits: Integers

    def set_in(self, columns: Columns) -> None:
        """Write the flags into those of readings that follow each other."""
        if not len(columns):
            return
        order = np.argsort(columns.ids)
        places = np.searchsorted(columns.ids, self.ids, sorter=order)
        # Flags may outlive readings that another program has deleted.
        places = order[np.minimum(places, len(columns) - 1)]
        is_there = columns.ids[places] == self.ids
        columns.flags[places[is_there]] = self.bits[is_there]


def columns_statement(
    dialect: Dialect, table: ReadingsTable, where: Condition, names: Sequence[str]
) -> str:
    """Return the statement that selects columns of readings, a text each; see `parsed_columns`."""
    selected = ["id", dialect.unix_seconds("utc")]
    selected += [f"COALESCE({name}, '{MISSING_VALUE}')" for name in names]
    texts = ", ".join(f"GROUP_CONCAT({each})" for each in selected)
    return f"SELECT COUNT(*), {texts} FROM {dialect.in_order_of_id(table)} WHERE {where.text}"


def parsed_columns(row: Sequence[Any], names: Sequence[str]) -> Columns:
    """Return the columns of readings, without their flags, from the row of the statement."""
    count, *found = row
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
