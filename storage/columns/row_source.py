"""Columns of readings from their rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.columns import Column, Columns, Integers
from storage.backends.base import ReadEngine
from storage.backends.dialect import Condition, readings_of
from storage.common.errors import Inconsistent

SEGMENT_READINGS = 4000
"""Ids of a segment, the first one a multiple of that plus one."""

_MISSING = np.iinfo(np.int64).min
"""Stands for NULL in the text of a column: no quantity has so many digits."""


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

    async def segments(self) -> list[IdSegment]:
        """Return the segments that have readings of the time."""
        where = self._table.where(self._within)
        number = self._dialect.int_div("id - 1", SEGMENT_READINGS)
        seconds = self._dialect.unix_seconds
        rows = await self._engine.fetch(
            self._dialect.group_sums(
                number,
                [seconds("MIN(utc)"), seconds("MAX(utc)")],
                f"{self._table.name} WHERE {where.text}",
            ),
            where.args,
        )
        return [IdSegment(*values) for values in self._dialect.parse_groups(rows)]

    async def read(self, first_id: int, last_id: int, names: Sequence[str]) -> Columns:
        """Return the columns of the readings with some ids."""
        where = self._table.where(self._dialect.between(first_id, last_id), self._within)
        selected = ["id", self._dialect.unix_seconds("utc")]
        selected += [f"COALESCE({name}, '{_MISSING}')" for name in names]
        texts = ", ".join(f"GROUP_CONCAT({each})" for each in selected)
        rows = await self._engine.fetch(
            f"SELECT COUNT(*), {texts} FROM {self._dialect.in_order_of_id(self._table)}"
            f" WHERE {where.text}",
            where.args,
        )
        count, *found = rows[0]
        ids, utc, *columns = (_integers(text, count) for text in found)
        return Columns(
            ids,
            utc,
            {name: _column(values) for name, values in zip(names, columns, strict=True)},
            await self._flags(ids),
        )

    async def _flags(self, ids: Integers) -> "np.typing.NDArray[np.uint8]":
        flags = np.zeros(len(ids), np.uint8)
        if not len(ids):
            return flags
        place = self._dialect.placeholder
        rows = await self._engine.fetch(
            "SELECT COUNT(*), GROUP_CONCAT(reading_id), GROUP_CONCAT(flags) FROM flags"
            f" WHERE meter_id = {self._meter_id} AND reading_id BETWEEN {place} AND {place}",
            (int(ids.min()), int(ids.max())),
        )
        count, *texts = rows[0]
        flagged, bits = (_integers(text, count) for text in texts)
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
