"""What the texts of many fields stand for, of which each is looked up once."""

from collections.abc import Callable

import numpy as np

from domain.columns import Integers, Truths
from loader.cells.field_table import FieldTable, Words

_MOST_WORDS = 8
"""Words of eight characters of a text that is looked up."""
_FACTORS = np.array(
    [0x9E3779B97F4A7C15 * (2 * number + 1) % 2**64 for number in range(_MOST_WORDS)], np.uint64
)


def look_up(
    table: FieldTable, starts: Integers, ends: Integers, find: Callable[[str], int | None]
) -> tuple[Integers, Truths]:
    """Return what texts between places stand for, and where they stand for anything."""
    count = len(starts)
    if not count:
        return np.zeros(0, np.int64), np.zeros(0, bool)
    longest = int((ends - starts).max())
    words = [
        table.tails(starts, ends, skipped)
        for skipped in range(min((longest + 7) // 8, _MOST_WORDS) or 1)
    ]
    changes = np.zeros(count, bool)
    changes[0] = True
    for word in words:
        changes[1:] |= word[1:] != word[:-1]
    heads = np.flatnonzero(changes)
    firsts, inverse, are_same = _distinct([word[heads] for word in words])
    found, are_known = [], []
    for head in heads[firsts].tolist():
        value = find(table.text(int(starts[head]), int(ends[head])))
        found.append(value or 0)
        are_known.append(value is not None)
    values = np.array(found, np.int64)[inverse]
    known = np.array(are_known)[inverse] & are_same
    lengths = np.diff(heads, append=count)
    is_known = np.repeat(known, lengths)
    if longest > 8 * _MOST_WORDS:
        is_known &= ends - starts <= 8 * _MOST_WORDS
    return np.repeat(values, lengths), is_known


def _distinct(words: list[Words]) -> tuple[Integers, Integers, Truths]:
    """Return one place of each distinct text, and which of these each text is.

    Texts that can't be told from others are False in the last array.
    """
    keys = words[0] * _FACTORS[0]
    for word, factor in zip(words[1:], _FACTORS[1:], strict=False):
        keys = keys * factor + word
    _, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    are_same = np.ones(len(keys), bool)
    if len(words) > 1:
        for word in words:
            are_same &= word == word[firsts][inverse]
    return firsts, inverse, are_same
