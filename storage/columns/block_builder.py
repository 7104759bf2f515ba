"""Blocks of readings."""

from typing import NamedTuple

from domain.columns import Columns
from storage.columns.block import block_of


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
