"""Columns of readings from their blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.columns import Columns
from storage.backends.base import ReadEngine, Row
from storage.columns.block import DamagedBlockError, read_block
from storage.columns.row_source import (
    SEGMENT_READINGS,
    IdSegment,
    MeterPeriod,
    ReadingIds,
    integers_of,
)
from storage.common.turns import in_thread

MeterBlock = tuple[int, int]
"""The id of a meter and the number of a segment."""


@dataclass(frozen=True, slots=True)
class StoredBlocks:
    """The segments of a meter that have a block and may have readings of a time.

    Each tells about how many readings of the time it has.
    """

    segments: Sequence[IdSegment]
    without: Sequence[ReadingIds]
    """All ids of whole segments that have no block."""


_NOTHING = (None, 0, None, None, None)
"""What a meter has that was removed meanwhile."""


class BlockSource:
    """Reads columns of the readings of meters, block by block."""

    def __init__(self, engine: ReadEngine) -> None:
        self._engine = engine

    async def stored(self, periods: Sequence[MeterPeriod]) -> Sequence[StoredBlocks]:
        """Return which blocks there are of the readings of each period."""
        seconds = self._engine.dialect.unix_seconds
        values = ["b.first_id", seconds("b.first_utc"), seconds("b.last_utc")]
        texts = ", ".join(f"GROUP_CONCAT({each})" for each in values)
        # TRUNCATE fires no trigger: a block may be left without its page or its readings.
        is_whole = " AND ".join(
            f"EXISTS (SELECT 1 FROM {table} AS o WHERE o.meter_id = m.id AND o.{key} = b.first_id)"
            for table, key in (("pages", "first_id"), ("readings", "id"))
        )
        meter_ids = ", ".join(str(period.meter_id) for period in periods)
        last_id = (
            f"SELECT l.id FROM readings AS l {self._engine.dialect.by_id}"
            " WHERE l.meter_id = m.id ORDER BY l.id DESC LIMIT 1"
        )
        rows = await self._engine.fetch(
            f"SELECT m.id, ({last_id}), COUNT(b.first_id), {texts}"
            f" FROM meters AS m LEFT JOIN blocks AS b ON b.meter_id = m.id AND {is_whole}"
            f" WHERE m.id IN ({meter_ids}) GROUP BY m.id"
        )
        by_meter = {row[0]: row[1:] for row in rows}
        return await in_thread(
            lambda: [
                _stored(period, *by_meter.get(period.meter_id, _NOTHING)) for period in periods
            ]
        )

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


def _stored(
    period: MeterPeriod, last_id: int | None, count: int, *texts: bytes | None
) -> StoredBlocks:
    first_ids, first_utc, last_utc = (integers_of(text, count) for text in texts)
    numbers = (first_ids - 1) // SEGMENT_READINGS
    within = (period.start <= last_utc) & (first_utc < period.until)
    starts, ends = first_utc[within], last_utc[within]
    seconds = np.minimum(ends + 1, period.until) - np.maximum(starts, period.start)
    readings = -(-seconds * SEGMENT_READINGS // (ends + 1 - starts))
    found = [each.tolist() for each in (numbers[within], starts, ends, readings)]
    end = -(-(last_id or 0) // SEGMENT_READINGS)
    edges = np.concatenate(([-1], np.sort(numbers), [end]))
    gaps = np.flatnonzero(np.diff(edges) > 1)
    first_without = (edges[gaps] + 1) * SEGMENT_READINGS + 1
    last_without = edges[gaps + 1] * SEGMENT_READINGS
    return StoredBlocks(
        [IdSegment(*each) for each in zip(*found, strict=True)],
        [
            ReadingIds(period.meter_id, *ids)
            for ids in zip(first_without.tolist(), last_without.tolist(), strict=True)
        ],
    )


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
