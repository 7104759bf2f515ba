"""Readings as lines of text."""

from collections.abc import Sequence

from domain.columns import Columns, Integers
from domain.flags import ESTIMATED
from domain.letters import (
    RowField,
    integer_fields,
    local_time_fields,
    quantity_fields,
    text_of_rows,
    where_known,
)

_ROWS_AT_ONCE = 4096
"""Rows whose letters stay in the processor's cache."""


def rows_text(columns: Columns, ahead: Integers, names: Sequence[str], *, is_full: bool) -> bytes:
    """Return readings as lines with the fields of a batch, see `domain.report_source`."""
    return b"".join(
        _lines(columns[at], ahead[at], names, is_full=is_full) for at in _parts(len(columns))
    )


def local_texts(local: Integers) -> list[str]:
    """Return local times, in seconds since 1970, as `YYYY-MM-DD HH:MM:SS`."""
    text = b"".join(
        text_of_rows([*local_time_fields(local[at]), b"\n"], len(local[at]))
        for at in _parts(len(local))
    )
    return text.decode("ascii").split("\n")[:-1]


def _parts(count: int) -> Sequence[slice]:
    return [slice(at, at + _ROWS_AT_ONCE) for at in range(0, count, _ROWS_AT_ONCE)]


def _lines(columns: Columns, ahead: Integers, names: Sequence[str], *, is_full: bool) -> bytes:
    fields: list[RowField] = [*integer_fields(columns.ids), b","]
    fields += [*local_time_fields(columns.utc + ahead), b",", *integer_fields(ahead)]
    for name in names:
        fields += [b",", *quantity_fields(columns.quantities[name])]
    if is_full:
        fields += [b",", where_known((columns.flags & ESTIMATED.bit) != 0, b"1")]
    return text_of_rows([*fields, b"\n"], len(columns))
