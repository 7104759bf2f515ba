"""Readings as lines of text, made by numpy four letters at a time."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from domain.columns import Column, Columns, Integers
from domain.fixed_point import SCALE
from domain.flags import ESTIMATED
from domain.time.time_zone import DAY_SECONDS

_Words = NDArray[np.uint32]
"""Four letters each; those that a row does not have are 0."""

_ROWS_AT_ONCE = 4096
"""Rows whose letters stay in the processor's cache."""
_DAY_1970 = date(1970, 1, 1).toordinal()

_GROUP = 10**4
"""Four digits."""


def _words(texts: Iterable[str]) -> _Words:
    """Return texts of at most four letters."""
    return np.frombuffer(b"".join(text.encode().ljust(4, b"\0") for text in texts), "<u4")


_SIGN_GROUP = 1000
"""Numbers that there is room for beside a sign."""
_SIGNED = _words([*map(str, range(_SIGN_GROUP)), *(f"-{number}" for number in range(_SIGN_GROUP))])
"""Numbers, and behind them the same ones with a sign."""
_SIGN = _words("-")[0]
_FOUR_DIGITS = _words(f"{number:04}" for number in range(_GROUP))
_UP_TO_FOUR = _words(map(str, range(_GROUP)))
_FIRST_DECIMALS = _words([*(f".{number:03}" for number in range(1000)), ""])
"""A point and three decimals, and nothing for what is missing."""
_LAST_DECIMALS = {
    end: _words([*(f"{number:02}{end}" for number in range(100)), end]) for end in ",\n"
}
"""Two decimals and what follows, and that alone for what is missing."""
_HOURS, _MINUTES = (_words(f"{number:02}:" for number in range(count)) for count in (24, 60))
_SECONDS = {end: _words(f"{number:02}{end}" for number in range(60)) for end in ",\n"}


def rows_text(columns: Columns, ahead: Integers, names: Sequence[str], *, is_full: bool) -> bytes:
    """Return readings as lines with the fields of a batch, see `domain.report_source`."""
    return b"".join(
        _lines(columns[at], ahead[at], names, is_full=is_full) for at in _parts(len(columns))
    )


def local_texts(local: Integers) -> list[str]:
    """Return local times, in seconds since 1970, as `YYYY-MM-DD HH:MM:SS`."""
    text = b"".join(_letters(_local_words(local[at], "\n")) for at in _parts(len(local)))
    return text.decode("ascii").split("\n")[:-1]


def _parts(count: int) -> Iterable[slice]:
    return [slice(at, at + _ROWS_AT_ONCE) for at in range(0, count, _ROWS_AT_ONCE)]


def _lines(columns: Columns, ahead: Integers, names: Sequence[str], *, is_full: bool) -> bytes:
    words = [
        *_whole_words(columns.ids),
        _words(",")[0],
        *_local_words(columns.utc + ahead, ","),
        *_known_words(ahead, 8, "{},".format),
    ]
    for place, name in enumerate(names, 1):
        is_last = place == len(names) and not is_full
        words += _quantity_words(columns.quantities[name], "\n" if is_last else ",")
    if is_full:
        words.append(_words(["\n", "1\n"]).take((columns.flags & ESTIMATED.bit) != 0))
    return _letters(words)


def _letters(words: Sequence[_Words | np.uint32]) -> bytes:
    """Return rows of words as text."""
    count = max(np.size(word) for word in words)
    table = np.empty((count, len(words)), "<u4")
    for place, word in enumerate(words):
        table[:, place] = word
    return table.tobytes().translate(None, b"\0")


def _whole_words(numbers: Integers, are_negative: Integers | int = 0) -> list[_Words]:
    """Return the digits of numbers that are not negative, behind the signs of negative ones."""
    if numbers.max() < _SIGN_GROUP:
        return [_SIGNED.take(numbers + are_negative * _SIGN_GROUP)]
    rest = numbers // _GROUP
    last = numbers - rest * _GROUP
    are_long = rest > 0
    before = [np.where(are_long, word, 0) for word in _whole_words(rest, are_negative)]
    before[-1] = np.where(are_negative & ~are_long, _SIGN, before[-1])
    return [*before, np.where(are_long, _FOUR_DIGITS.take(last), _UP_TO_FOUR.take(last))]


def _quantity_words(column: Column, end: str) -> list[_Words]:
    """Return a quantity with all its decimals and what follows it."""
    are_negative = (column.values < 0).astype(np.int64)
    numbers = np.abs(column.values)
    whole = numbers // SCALE
    decimals = numbers - whole * SCALE
    first = decimals // 100
    last = decimals - first * 100
    before = _whole_words(whole, are_negative)
    if column.known is not None:
        before = [word * column.known for word in before]
        first = np.where(column.known, first, 1000)
        last = np.where(column.known, last, 100)
    return [*before, _FIRST_DECIMALS.take(first), _LAST_DECIMALS[end].take(last)]


def _local_words(local: Integers, end: str) -> list[_Words]:
    """Return local times, and what follows them."""
    days = local // DAY_SECONDS
    seconds = local - days * DAY_SECONDS
    minutes = seconds // 60
    hours = minutes // 60
    return [
        *_known_words(days, 12, lambda day: f"{date.fromordinal(day + _DAY_1970)} "),
        _HOURS.take(hours),
        _MINUTES.take(minutes - hours * 60),
        _SECONDS[end].take(seconds - minutes * 60),
    ]


def _known_words(numbers: Integers, size: int, text: Callable[[int], str]) -> list[_Words]:
    """Return texts of so many letters at most, of which each is made once for all neighbours."""
    heads = np.concatenate(([0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1))
    texts = b"".join(text(each).encode().ljust(size, b"\0") for each in numbers[heads].tolist())
    table = np.frombuffer(texts, "<u4").reshape(-1, size // 4)
    lengths = np.diff(heads, append=len(numbers))
    return [np.repeat(table[:, place], lengths) for place in range(size // 4)]
