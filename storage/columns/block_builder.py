"""Blocks of new readings, from the rows that are written."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from domain.columns import Columns
from domain.quantities import ALL_QUANTITY_NAMES, QUANTITY_NAMES
from domain.report_source import BATCH_FIELDS, FULL_BATCH_FIELDS, RowBatch
from storage.columns.block import block_of
from storage.columns.row_source import NO_NUMBER, SEGMENT_READINGS, column_of

_PLAIN = bytes.maketrans(b"\n", b",")
_DATE = np.arange(1, 20)
"""The places of a date after the comma before it."""
_DATE_SIGNS = np.array([5, 8, 11, 14, 17])
"""The places of what is not a digit in a date."""


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
        self._waiting: list[RowBatch] = []
        self._rest: list[Columns] = []

    def add(self, batch: RowBatch) -> Iterator[ReadingsBlock]:
        """Add rows and yield the blocks that they complete."""
        # Rows of a small report, which completes no block, need not be parsed.
        self._waiting.append(batch)
        count = sum(map(len, self._rest)) + sum(each.count for each in self._waiting)
        if count < self._skipped + SEGMENT_READINGS:
            return
        columns = Columns.joined([*self._rest, *map(batch_columns, self._waiting)])
        columns = columns[self._skipped :]
        self._first_id += self._skipped
        self._skipped = 0
        while len(columns) >= SEGMENT_READINGS:
            yield built_block(self._first_id, columns[:SEGMENT_READINGS])
            columns = columns[SEGMENT_READINGS:]
            self._first_id += SEGMENT_READINGS
        self._waiting, self._rest = [], [columns]


def batch_columns(batch: RowBatch) -> Columns:
    """Return rows as arrays, whose ids are their numbers."""
    names = FULL_BATCH_FIELDS if batch.is_full else BATCH_FIELDS
    # All decimals are there: the digits alone are the number of hundred-thousandths.
    text = batch.rows.translate(_PLAIN, b".")
    while b",," in text:
        text = text.replace(b",,", b",%d," % NO_NUMBER)
    letters = np.frombuffer(text, np.uint8)
    before = np.flatnonzero(letters == ord(","))[:: len(names), np.newaxis]
    local = letters[before + _DATE].view("S19").ravel().astype("datetime64[s]")
    is_number = np.ones(len(letters), bool)
    is_number[before + _DATE_SIGNS] = False
    numbers = np.fromstring(letters[is_number].tobytes(), np.int64, sep=",")
    fields = dict(zip(names, numbers.reshape(-1, len(names)).T, strict=True))
    quantities = ALL_QUANTITY_NAMES if batch.is_full else QUANTITY_NAMES
    return Columns(
        fields["number"],
        local.astype(np.int64) - fields["seconds_ahead"],
        {name: column_of(fields[name]) for name in quantities},
        np.zeros(len(local), np.uint8),
    )
