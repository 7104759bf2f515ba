"""Columns of readings from their blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domain.columns import Columns
from storage.backends.base import ReadEngine, Row
from storage.columns.block import DamagedBlockError, read_block
from storage.columns.row_source import SEGMENT_READINGS, IdSegment, integers_of
from storage.common.turns import in_thread

MeterBlock = tuple[int, int]
"""The id of a meter and the number of a segment."""


@dataclass(frozen=True, slots=True)
class StoredBlocks:
    """The segments of a meter that have a block, in the order of id, and its last id."""

    segments: Sequence[IdSegment]
    last_id: int


class BlockSource:
    """Reads columns of the readings of meters, block by block."""

    def __init__(self, engine: ReadEngine) -> None:
        self._engine = engine

    async def stored(self, meter_ids: Sequence[int]) -> Mapping[int, StoredBlocks]:
        """Return which blocks there are, by meter."""
        seconds = self._engine.dialect.unix_seconds
        values = ["b.first_id", seconds("b.first_utc"), seconds("b.last_utc")]
        texts = ", ".join(f"GROUP_CONCAT({each})" for each in values)
        # TRUNCATE fires no trigger: a block may be left without its page or its readings.
        is_whole = " AND ".join(
            f"EXISTS (SELECT 1 FROM {table} AS o WHERE o.meter_id = m.id AND o.{key} = b.first_id)"
            for table, key in (("pages", "first_id"), ("readings", "id"))
        )
        last_id = (
            f"SELECT l.id FROM readings AS l {self._engine.dialect.by_id}"
            " WHERE l.meter_id = m.id ORDER BY l.id DESC LIMIT 1"
        )
        rows = await self._engine.fetch(
            f"SELECT m.id, ({last_id}), COUNT(b.first_id), {texts}"
            f" FROM meters AS m LEFT JOIN blocks AS b ON b.meter_id = m.id AND {is_whole}"
            f" WHERE m.id IN ({', '.join(map(str, meter_ids))}) GROUP BY m.id"
        )
        return await in_thread(lambda: {row[0]: _stored(row) for row in rows})

    async def read(
        self, blocks: Sequence[MeterBlock], names: Sequence[str]
    ) -> dict[MeterBlock, Columns]:
        """Return the columns of blocks, without flags.

        Those that are gone, or damaged, are not among them.
        """
        if not blocks:
            return {}
        numbers: dict[int, list[int]] = {}
        for meter_id, number in blocks:
            numbers.setdefault(meter_id, []).append(number * SEGMENT_READINGS + 1)
        rows = await self._engine.fetch(
            " UNION ALL ".join(
                f"SELECT meter_id, first_id, columns FROM blocks WHERE meter_id = {meter_id}"
                f" AND first_id IN ({', '.join(map(str, first_ids))})"
                for meter_id, first_ids in numbers.items()
            )
        )
        return await in_thread(_decoded, rows, names)


def _stored(row: Row) -> StoredBlocks:
    _, last_id, count, *texts = row
    first_ids, *times = (integers_of(text, count) for text in texts)
    numbers = (first_ids - 1) // SEGMENT_READINGS
    order = np.argsort(numbers)
    columns = [column[order].tolist() for column in (numbers, *times)]
    return StoredBlocks([IdSegment(*each) for each in zip(*columns, strict=True)], last_id or 0)


def _decoded(rows: Sequence[Row], names: Sequence[str]) -> dict[MeterBlock, Columns]:
    found = {}
    for meter_id, first_id, block in rows:
        ids = range(first_id, first_id + SEGMENT_READINGS)
        try:
            columns = read_block(block, ids, names)
        except DamagedBlockError:
            continue  # the rows tell
        found[meter_id, (first_id - 1) // SEGMENT_READINGS] = columns
    return found
