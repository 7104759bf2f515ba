"""What tells readings from others of their times: a number made of their quantities."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from domain.columns import Bits, Column

_FACTOR = 0x9E3779B97F4A7C15
_ALL = 2**64 - 1
_MISSING = 2**63
"""Stands for a missing value."""
_HALF = 32


def mark_of(quantities: str) -> int:
    """Return the mark of a reading by its quantities as a RowBatch has them."""
    mark = 0
    for text in quantities.split(","):
        value = int(text.replace(".", "")) & _ALL if text else _MISSING
        mark = (mark ^ value) * _FACTOR & _ALL
        mark ^= mark >> _HALF
    return mark or 1


def marks_of(quantities: Iterable[Column], flags: Bits | None) -> NDArray[np.uint64]:
    """Return the marks of readings by their quantities, and their flags if they have any."""
    marks: NDArray[np.uint64] = np.zeros(1, np.uint64)
    for column in quantities:
        values = column.values.view(np.uint64)
        if column.known is not None:
            values = np.where(column.known, values, np.uint64(_MISSING))
        marks = _mixed(marks, values)
    if flags is not None:
        marks = _mixed(marks, np.where(flags, np.uint64(1), np.uint64(_MISSING)))
    return np.maximum(marks, np.uint64(1))


def _mixed(marks: NDArray[np.uint64], values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    marks = (marks ^ values) * np.uint64(_FACTOR)
    return marks ^ (marks >> np.uint64(_HALF))
