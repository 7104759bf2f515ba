"""Columns of readings from their blocks."""

from collections.abc import Sequence

import numpy as np

from domain.columns import Columns
from storage.backends.base import ReadEngine
from storage.columns.block import DamagedBlockError, read_block
from storage.columns.row_source import SEGMENT_READINGS, IdSegment, integers_of
from storage.common.turns import in_thread


class BlockSource:
    """Reads columns of a meter's readings, block by block."""

    def __init__(self, engine: ReadEngine, meter_id: int) -> None:
        self._engine = engine
        self._meter_id = meter_id

    async def segments(
        self, start: int, until: int
    ) -> tuple[list[IdSegment], list[tuple[int, int]]]:
        """Return the segments of a time that have a block, and the ids that have none.

        These come as the first and the last one of each run.
        """
        of_meter = f"meter_id = {self._meter_id}"
        seconds = self._engine.dialect.unix_seconds
        values = ["first_id", seconds("first_utc"), seconds("last_utc")]
        # TRUNCATE fires no trigger: a block may be left without its page or its readings.
        ((last_id, count, *texts),) = await self._engine.fetch(
            f"SELECT (SELECT MAX(id) FROM readings WHERE {of_meter}), COUNT(*),"
            f" {', '.join(f'GROUP_CONCAT({each})' for each in values)} FROM blocks AS b"
            f" WHERE {of_meter}"
            f" AND EXISTS (SELECT 1 FROM pages AS p WHERE p.{of_meter} AND p.first_id = b.first_id)"
            f" AND EXISTS (SELECT 1 FROM readings AS r WHERE r.{of_meter} AND r.id = b.first_id)"
        )
        first_ids, first_utc, last_utc = (integers_of(text, count) for text in texts)
        numbers = (first_ids - 1) // SEGMENT_READINGS
        within = (start <= last_utc) & (first_utc < until)
        found = [column[within].tolist() for column in (numbers, first_utc, last_utc)]
        end = -(-(last_id or 0) // SEGMENT_READINGS)
        edges = np.concatenate(([-1], np.sort(numbers), [end]))
        gaps = np.flatnonzero(np.diff(edges) > 1)
        first_without = (edges[gaps] + 1) * SEGMENT_READINGS + 1
        last_without = edges[gaps + 1] * SEGMENT_READINGS
        return (
            [IdSegment(*each) for each in zip(*found, strict=True)],
            [*zip(first_without.tolist(), last_without.tolist(), strict=True)],
        )

    async def read(self, segments: Sequence[IdSegment], names: Sequence[str]) -> dict[int, Columns]:
        """Return the columns of segments, without flags, by their numbers.

        Those whose block is gone, or damaged, are not among them.
        """
        if not segments:
            return {}
        first_ids = ", ".join(str(segment.first_id) for segment in segments)
        rows = await self._engine.fetch(
            f"SELECT first_id, columns FROM blocks WHERE meter_id = {self._meter_id}"
            f" AND first_id IN ({first_ids})"
        )
        return await in_thread(_decoded, rows, names)


def _decoded(rows: Sequence[tuple[int, bytes]], names: Sequence[str]) -> dict[int, Columns]:
    found = {}
    for first_id, block in rows:
        ids = range(first_id, first_id + SEGMENT_READINGS)
        try:
            found[(first_id - 1) // SEGMENT_READINGS] = read_block(block, ids, names)
        except DamagedBlockError:
            continue  # the rows tell
    return found
