"""Readings as lines of text, made by numpy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain.columns import Column, Columns, Integers
from domain.flags import ESTIMATED
from domain.quantities import DECIMALS
from domain.time.time_zone import DAY_SECONDS

Letters = NDArray[np.uint8]

_ROWS_AT_ONCE = 2048
"""Rows whose letters stay in the processor's cache."""


def rows_text(columns: Columns, ahead: Integers, names: Sequence[str], *, is_full: bool) -> bytes:
    """Return readings as lines with the fields of a batch, see `domain.report_source`."""
    return b"".join(
        _lines(columns[at], ahead[at], names, is_full=is_full)
        for begin in range(0, len(columns), _ROWS_AT_ONCE)
        for at in [slice(begin, begin + _ROWS_AT_ONCE)]
    )


def _lines(columns: Columns, ahead: Integers, names: Sequence[str], *, is_full: bool) -> bytes:
    local = columns.utc + ahead
    fields = [
        *_number(columns.ids),
        _sign(","),
        *_date(local),
        _sign(","),
        *_number(ahead),
    ]
    for name in names:
        fields.append(_sign(","))
        fields += _quantity(columns.quantities[name])
    if is_full:
        fields += [_sign(","), np.where(columns.flags & ESTIMATED.bit, ord("1"), 0)]
    fields.append(_sign("\n"))
    letters = np.empty((len(fields), len(local)), np.uint8)
    for place, field in enumerate(fields):
        letters[place] = field
    # Letters that a row does not have are 0.
    return letters.T.tobytes().translate(None, b"\0")


def _sign(sign: str) -> np.uint8:
    return np.uint8(ord(sign))


def _digits(numbers: Integers, count: int) -> list[Letters]:
    """Return so many last digits of numbers that are not negative."""
    found: list[Letters] = []
    for _ in range(count):
        tens = numbers // 10
        found.append((numbers - tens * 10 + ord("0")).astype(np.uint8))
        numbers = tens
    return found[::-1]


def _whole(numbers: Integers) -> list[Letters]:
    """Return the digits of numbers that are not negative, without zeros before them."""
    digits = _digits(numbers, len(str(int(numbers.max(initial=0)))))
    for place, digit in enumerate(digits[:-1]):
        digit *= numbers >= 10 ** (len(digits) - 1 - place)
    return digits


def _number(numbers: Integers) -> list[Letters]:
    return [((numbers < 0) * ord("-")).astype(np.uint8), *_whole(np.abs(numbers))]


def _date(local: Integers) -> list[Letters | np.uint8]:
    days = local // DAY_SECONDS
    seconds = local - days * DAY_SECONDS
    day = days.astype("datetime64[D]")
    month = day.astype("datetime64[M]")
    year = month.astype("datetime64[Y]")
    return [
        *_digits(year.astype(np.int64) + 1970, 4),
        _sign("-"),
        *_digits((month - year.astype("datetime64[M]")).astype(np.int64) + 1, 2),
        _sign("-"),
        *_digits((day - month.astype("datetime64[D]")).astype(np.int64) + 1, 2),
        _sign(" "),
        *_digits(seconds // 3600, 2),
        _sign(":"),
        *_digits(seconds // 60 % 60, 2),
        _sign(":"),
        *_digits(seconds % 60, 2),
    ]


def _quantity(column: Column) -> list[Letters | np.uint8]:
    numbers = np.abs(column.values)
    whole = numbers // 10**DECIMALS
    found: list[Letters | np.uint8] = [
        ((column.values < 0) * ord("-")).astype(np.uint8),
        *_whole(whole),
        _sign("."),
        *_digits(numbers - whole * 10**DECIMALS, DECIMALS),
    ]
    if column.known is None:
        return found
    return [letters * column.known for letters in found]
