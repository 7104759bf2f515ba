"""Blocks of new readings."""

from collections.abc import Iterator
from typing import NamedTuple

from domain.columns import Columns
from storage.columns.block import block_of
from storage.columns.row_source import SEGMENT_READINGS


class ReadingsBlock(NamedTuple):
    """The columns of a run of readings, see `storage.columns.block`."""

    first_id: int
    first_utc: int
    """When the earliest of them starts, seconds since 1970."""
    last_utc: int
    """When the latest of them starts."""
    columns: bytes


def built_block(first_id: int, columns: Columns) -> ReadingsBlock:
    """Return the block of a run of readings."""
    return ReadingsBlock(
        first_id, int(columns.utc.min()), int(columns.utc.max()), block_of(columns)
    )


class BlockBuilder:
    """Builds the blocks of readings that are added after the one with a last id."""

    def __init__(self, last_id: int) -> None:
        self._first_id = last_id + 1
        self._skipped = -last_id % SEGMENT_READINGS
        """Readings of a run that older ones begin: its block is built from the database."""
        self._rest: list[Columns] = []

    def add(self, columns: Columns) -> Iterator[ReadingsBlock]:
        """Add readings and yield the blocks that they complete."""
        self._rest.append(columns)
        if sum(map(len, self._rest)) < self._skipped + SEGMENT_READINGS:
            return
        columns = Columns.joined(self._rest)[self._skipped :]
        self._first_id += self._skipped
        self._skipped = 0
        while len(columns) >= SEGMENT_READINGS:
            yield built_block(self._first_id, columns[:SEGMENT_READINGS])
            columns = columns[SEGMENT_READINGS:]
            self._first_id += SEGMENT_READINGS
        self._rest = [columns]
