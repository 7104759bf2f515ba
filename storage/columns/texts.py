"""Columns of any rows, which the database writes as one text each: quicker than rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from domain.columns import MISSING_VALUE, Column
from storage.backends.base import ReadEngine
from storage.columns.aggregates import integers
from storage.columns.row_source import integers_of

_GREATEST = np.iinfo(np.int64).max


async def fetch_columns(
    engine: ReadEngine, expressions: Sequence[str], source: str, args: Sequence[Any] = ()
) -> list[Column]:
    """Return the integers, or quantities, of some rows; `source` follows FROM.

    All columns have the same order, that in which the database reads the rows.
    """
    texts = ", ".join(f"GROUP_CONCAT(COALESCE({each}, '{MISSING_VALUE}'))" for each in expressions)
    ((count, *found),) = await engine.fetch(f"SELECT COUNT(*), {texts} FROM {source}", tuple(args))
    return [_column(text or b"", count) for text in found]


def _column(text: bytes, count: int) -> Column:
    values = integers_of(text, count)
    is_least = np.count_nonzero(values == MISSING_VALUE) > text.count(b"%d" % MISSING_VALUE)
    if not is_least and not (values == _GREATEST).any():
        return Column.of(values)
    # What exceeds 64 bits was taken for the number nearest to it.
    numbers = [int(number) for number in text.replace(b".", b"").split(b",")]
    known = [number != MISSING_VALUE for number in numbers]
    exact = [number if is_known else 0 for number, is_known in zip(numbers, known, strict=True)]
    return Column(integers(exact), np.array(known))
