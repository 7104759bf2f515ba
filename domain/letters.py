"""Texts of many rows at once: columns of words of four letters, in which 0 stands for none."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from domain.columns import Column, Integers, Truths
from domain.time.time_zone import DAY_SECONDS

RowWords = NDArray[np.uint32]
"""A word of each row."""

RowField = RowWords | bytes
"""What rows have: one word each, or a text that is the same for all."""

_WORD = 4
_GROUP = 10_000
"""Numbers of four digits."""
_DOT_GROUP = 1000
"""Numbers of two digits before the point and one after it."""


def text_of_rows(fields: Sequence[RowField], count: int) -> bytes:
    """Return the text of rows."""
    constant = b""
    template: list[bytes] = []
    places: list[tuple[int, RowWords]] = []
    for field in fields:
        if isinstance(field, bytes):
            constant += field
            continue
        template += _cut(constant)
        constant = b""
        places.append((len(template), field))
        template.append(bytes(_WORD))
    template += _cut(constant)
    words = np.empty((count, len(template)), np.uint32)
    words[:] = np.frombuffer(b"".join(template), np.uint32)
    for place, field in places:
        words[:, place] = field
    return words.tobytes().translate(None, b"\0")


def integer_fields(numbers: Integers) -> list[RowField]:
    """Return integers as decimals."""
    fields: list[RowField] = [*_sign(numbers)]
    groups = _groups(np.abs(numbers))
    *upper, last = groups
    is_shown = np.zeros(len(numbers), bool)
    for group in upper:
        fields.append(_words()[group + _GROUP * ~is_shown])
        is_shown |= group > 0
    fields.append(_last_words()[last + _GROUP * ~is_shown])
    return fields


def quantity_fields(column: Column) -> list[RowField]:
    """Return scaled quantities with all their decimals; nothing where there is none."""
    fields: list[RowField] = [*_sign(column.values)]
    numbers = np.abs(column.values)
    rest = numbers // _GROUP
    decimals = numbers - rest * _GROUP
    upper = rest // _DOT_GROUP
    around_dot = rest - upper * _DOT_GROUP
    is_shown = np.zeros(len(numbers), bool)
    if upper.any():
        for group in _groups(upper):
            fields.append(_words()[group + _GROUP * ~is_shown])
            is_shown |= group > 0
    fields.append(_dot_words()[around_dot + _DOT_GROUP * ~is_shown])
    fields.append(_words()[decimals])
    if column.known is None:
        return fields
    return [where_known(column.known, each) for each in fields]


def where_known(known: Truths, field: RowField) -> RowWords:
    """Return a field, of no more than a word, of some rows only."""
    word = (
        np.frombuffer(field.ljust(_WORD, b"\0"), np.uint32) if isinstance(field, bytes) else field
    )
    return word * known


def local_time_fields(local: Integers) -> list[RowField]:
    """Return local times, in seconds since 1970, as YYYY-MM-DD HH:MM:SS."""
    days, seconds = np.divmod(local, DAY_SECONDS)
    different, places = np.unique(days, return_inverse=True)
    texts = different.astype("datetime64[D]").astype("S12").view(np.uint32).reshape(-1, 3)
    minutes, seconds = np.divmod(seconds, 60)
    hours, minutes = np.divmod(minutes, 60)
    return [
        *texts[places].T,
        b" ",
        _clock_words()[hours],
        _clock_words()[minutes],
        _last_clock_words()[seconds],
    ]


def _cut(text: bytes) -> list[bytes]:
    """Return a text in words."""
    return [text[at : at + _WORD].ljust(_WORD, b"\0") for at in range(0, len(text), _WORD)]


def _sign(numbers: Integers) -> list[RowField]:
    if numbers.min(initial=0) >= 0:
        return []
    return [where_known(numbers < 0, b"-")]


def _groups(numbers: Integers) -> list[Integers]:
    """Return groups of four digits of numbers that are not negative, the last ones last."""
    groups = [numbers]
    while groups[0].max(initial=0) >= _GROUP:
        upper = groups[0] // _GROUP
        groups[:1] = [upper, groups[0] - upper * _GROUP]
    return groups


@cache
def _words() -> RowWords:
    """Return the four digits of numbers; then those without zeros before them, none of 0."""
    digits = _digits(_GROUP, 4)
    return _table(digits, _without_zeros(digits))


@cache
def _last_words() -> RowWords:
    """Return the same as `_words`, but one digit of 0."""
    digits = _digits(_GROUP, 4)
    short = _without_zeros(digits)
    short[:, -1] = digits[:, -1]
    return _table(digits, short)


@cache
def _dot_words() -> RowWords:
    """Return two digits, the point and one digit; then the same without a zero at first."""
    digits = np.insert(_digits(_DOT_GROUP, 3), 2, ord("."), axis=1)
    short = digits.copy()
    short[:, 0] *= digits[:, 0] > ord("0")
    return _table(digits, short)


@cache
def _clock_words() -> RowWords:
    """Return the two digits of hours or minutes, and a colon."""
    return _table(np.insert(_digits(60, 2), 2, ord(":"), axis=1))


@cache
def _last_clock_words() -> RowWords:
    """Return the two digits of seconds."""
    return _table(_digits(60, 2))


def _digits(count: int, width: int) -> NDArray[np.uint8]:
    """Return the last digits of the numbers up to a count."""
    powers = 10 ** np.arange(width - 1, -1, -1)
    return (np.arange(count)[:, np.newaxis] // powers % 10 + ord("0")).astype(np.uint8)


def _without_zeros(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return digits without the zeros that come first."""
    return digits * (np.cumsum(digits != ord("0"), axis=1) > 0)


def _table(*parts: NDArray[np.uint8]) -> RowWords:
    letters = np.concatenate(parts)
    padded = np.zeros((len(letters), _WORD), np.uint8)
    padded[:, : letters.shape[1]] = letters
    return padded.view(np.uint32).ravel()
