"""The page store: compressed pages of formatted records, beside the readings.

A page holds the records of PAGE_READINGS readings with consecutive ids, the first one a multiple of
that plus one. It is written in the transaction that writes its readings; a trigger removes it when
one of them changes in any way, so that a stored page is always right. A reader that finds none lets
the database format the readings.
"""

from collections.abc import Sequence

import numpy as np

from domain.columns import Columns, Integers
from domain.letters import (
    RowField,
    integer_fields,
    local_time_fields,
    quantity_fields,
    text_of_rows,
    where_known,
)
from domain.quantities import RECORD_KEYS
from storage.common.deflate import DeflateBlock, deflate_block

PAGE_READINGS = 4000
"""Readings in a page: enough to keep the database busy, few enough to keep other requests fast. The
triggers of the schema know this number."""


def first_id_of_page(number: int) -> int:
    """Return the first id of the page that a reading belongs to."""
    return (number - 1) // PAGE_READINGS * PAGE_READINGS + 1


def slice_page(records: bytes, first_id: int, last_id: int) -> bytes:
    """Return the records of a page from one id to another, both of which must be in it."""
    start = records.rindex(b"{", 0, records.index(b'"id":"%d"' % first_id))
    end = records.index(b"}", records.index(b'"id":"%d"' % last_id, start)) + 1
    return records[start:end]


def built_page(first_id: int, columns: Columns, ahead: Integers) -> DeflateBlock:
    """Return the page of readings, whose ids follow the first one.

    Records are exactly as the databases write them, see the dialects. They could do it, but are
    busy while readings are added.
    """
    ids = np.arange(first_id, first_id + len(columns))
    texts = {"id": integer_fields(ids), "date": local_time_fields(columns.utc + ahead)}
    fields: list[RowField] = []
    for key in RECORD_KEYS:
        fields.append(b"},{" if key == RECORD_KEYS[0] else b",")
        fields += _member(key, texts.get(key), columns)
    text = text_of_rows([*fields[1:], b"},{"], len(columns))
    return deflate_block(b"{" + text[:-2])


def _member(key: str, text: Sequence[RowField] | None, columns: Columns) -> Sequence[RowField]:
    """Return a key and its values: quantities if no text is given."""
    name = b'"%s":' % key.encode()
    if text is not None:
        return [name, b'"', *text, b'"']
    column = columns.quantities[key]
    if column.known is None:
        return [name, b'"', *quantity_fields(column), b'"']
    quote = where_known(column.known, b'"')
    return [name, quote, *quantity_fields(column), quote, where_known(~column.known, b"null")]
