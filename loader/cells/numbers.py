"""Plain numbers of many fields, eight digits at a time."""

from typing import NamedTuple

import numpy as np

from domain.columns import Integers, Truths
from domain.quantities import DECIMALS, INTEGER_DIGITS
from loader.cells.field_table import FieldTable, Words

MOST_DECIMALS = 7
"""Decimals of a plain number; its mark is among its last eight characters then."""

_LONGEST = 16
_ALL = 0xFFFFFFFFFFFFFFFF
_LOWEST_BITS = np.uint64(0x0101010101010101)
_HIGHEST_BITS = np.uint64(0x8080808080808080)
_ZEROS = 0x3030303030303030
_ABOVE_NINE = np.uint64(0x7676767676767676)
"""What sets the highest bit of a byte that is more than 9."""

# By the place of the mark in a word, 8 if there is none.
_BEHIND_MARK = np.array([*(_ALL << (8 * place + 8) & _ALL for place in range(8)), _ALL], np.uint64)
_BEFORE_MARK = np.array([*((1 << 8 * place) - 1 for place in range(8)), 0], np.uint64)
_LEADING_ZEROS = np.array([_ZEROS >> 8 * digits for digits in range(9)], np.uint64)
"""The zeros before so many digits."""
_POWERS = np.array([10**power for power in range(9)], np.int64)


class PlainNumbers(NamedTuple):
    """The numbers of fields, times a power of ten."""

    values: Integers
    power: int
    """The power: as many decimals as are stored, or MOST_DECIMALS if some have more."""
    are_plain: Truths
    """Where there is a plain number: others may be numbers all the same."""
    are_empty: Truths


def plain_numbers(
    table: FieldTable, fields: list[int], mark: str, most_decimals: int = MOST_DECIMALS
) -> PlainNumbers:
    """Return the numbers in some columns: decimals of at most ten digits before the mark.

    All arrays have a row for each column.
    """
    starts, ends = table.starts[fields], table.ends[fields]
    are_negative = table.letters.take(starts) == ord("-")
    starts += are_negative
    lengths = ends - starts
    tail = table.tails(starts, ends)
    others = tail ^ (_LOWEST_BITS * np.uint64(ord(mark)))
    found = (others - _LOWEST_BITS) & ~others & _HIGHEST_BITS
    places = np.bitwise_count((found & (~found + np.uint64(1))) - np.uint64(1)) >> 3
    have_mark = places < 8
    digits = lengths - have_mark
    word = (tail & _BEHIND_MARK.take(places)) | ((tail & _BEFORE_MARK.take(places)) << np.uint64(8))
    in_word = 8 - have_mark.astype(np.int64)
    values, are_plain = _of_digits(word | _LEADING_ZEROS.take(np.minimum(digits, in_word)))
    if lengths.max(initial=0) > 8:
        word = table.tails(starts, ends, skipped=1)
        more, are_digits = _of_digits(
            word | _LEADING_ZEROS.take(np.minimum(np.maximum(lengths - 8, 0), 8))
        )
        values += more * _POWERS.take(in_word)
        are_plain &= are_digits
        are_plain &= lengths <= _LONGEST
    decimals = np.where(have_mark, MOST_DECIMALS - places.astype(np.int64), 0)
    whole = digits - decimals
    are_plain &= (whole >= 1) & (whole <= INTEGER_DIGITS) & (decimals <= most_decimals)
    are_plain &= have_mark <= (decimals > 0)
    power = DECIMALS if decimals.max(initial=0) <= DECIMALS else MOST_DECIMALS
    values *= _POWERS.take(power - decimals)
    np.negative(values, out=values, where=are_negative)
    return PlainNumbers(values, power, are_plain, (lengths == 0) & ~are_negative)


def _of_digits(word: Words) -> tuple[Integers, Truths]:
    """Return the numbers of eight digits each, and where all are digits."""
    digits = word ^ np.uint64(_ZEROS)
    are_digits = ((digits + _ABOVE_NINE) | digits) & _HIGHEST_BITS == 0
    pairs = (digits * np.uint64(2561) >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * np.uint64(6553601) >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    numbers = fours * np.uint64(42949672960001) >> np.uint64(32)
    return numbers.view(np.int64), are_digits
