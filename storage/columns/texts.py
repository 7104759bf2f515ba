"""Columns of any rows, which the database writes as one text each: quicker than rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from domain.columns import Column
from storage.backends.base import ReadEngine
from storage.columns.aggregates import integers
from storage.common.errors import Inconsistent

_LIMITS = np.iinfo(np.int64)
_MISSING = _LIMITS.min + 1
"""Stands for NULL."""


async def fetch_columns(
    engine: ReadEngine, expressions: Sequence[str], source: str, args: Sequence[Any] = ()
) -> list[Column]:
    """Return the integers, or quantities, of some rows; `source` follows FROM.

    All columns have the same order, that in which the database reads the rows.
    """
    texts = ", ".join(f"GROUP_CONCAT(COALESCE({each}, '{_MISSING}'))" for each in expressions)
    rows = await engine.fetch(f"SELECT COUNT(*), {texts} FROM {source}", tuple(args))
    count, *found = rows[0]
    return [_column(text, count) for text in found]


def _column(text: bytes | None, count: int) -> Column:
    digits = (text or b"").replace(b".", b"")
    values = np.fromstring(digits, np.int64, sep=",")
    if len(values) != count:
        raise Inconsistent("the database cut a column short: raise its max_allowed_packet")
    missing = values == _MISSING
    if count and (values.min() == _LIMITS.min or values.max() == _LIMITS.max):
        # Numbers beyond 64 bits were taken for the nearest one.
        values = integers([int(number) for number in digits.split(b",")])
    if not missing.any():
        return Column(values)
    return Column(np.where(missing, 0, values), ~missing)
