"""Exact decimals as integers scaled by 10^5, and integers in order."""

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from math import isqrt

from domain.quantities import DECIMALS

SCALE = 10**DECIMALS
"""The factor of a scaled quantity: integers add up exactly, floating-point numbers do not."""

_PART = 5_000
"""Numbers that are sorted at once: no other thread runs during that millisecond."""


def parse_scaled(value: int | bytes | None) -> int | None:
    """Return a quantity from either database, scaled."""
    if isinstance(value, bytes):
        return int(value.replace(b".", b""))
    return value


def divide_rounded(numerator: int, denominator: int) -> int:
    """Return a quotient, a half rounded away from zero."""
    quotient = (2 * abs(numerator) + denominator) // (2 * denominator)
    return quotient if numerator >= 0 else -quotient


def power_factor(active: int | None, reactive: int | None) -> int | None:
    """Return active over apparent energy, scaled; None if a sum is missing or both are zero."""
    if active is None or reactive is None or not (active or reactive):
        return None
    square = active * active
    # Twice the quotient, truncated, tells on which side of a half it lies.
    twice = isqrt(4 * SCALE * SCALE * square // (square + reactive * reactive))
    factor = (twice + 1) // 2
    return factor if active >= 0 else -factor


def ratio(numerator: int | None, denominator: int | None) -> int | None:
    """Return a quotient, scaled; None unless both are known and the denominator is positive."""
    if numerator is None or denominator is None or denominator <= 0:
        return None
    return divide_rounded(numerator * SCALE, denominator)


def format_scaled(value: int) -> str:
    """Return a scaled quantity as text, with all its decimals."""
    text = str(value)
    if len(text) > DECIMALS + 1:  # enough digits, even if the first is a sign
        return f"{text[:-DECIMALS]}.{text[-DECIMALS:]}"
    whole, fraction = divmod(abs(value), SCALE)
    return f"{'-' if value < 0 else ''}{whole}.{fraction:05}"


def sorted_in_parts(numbers: Sequence[int]) -> list[int]:
    """Return numbers in order, and let other threads run meanwhile."""
    parts = (sorted(numbers[at : at + _PART]) for at in range(0, len(numbers), _PART))
    # Parts that are in order are merged many times faster than they were sorted.
    return sorted(chain.from_iterable(parts))


def distinct_in_parts(numbers: Iterable[int]) -> list[int]:
    """Return numbers in order, each once, and let other threads run meanwhile."""
    distinct: set[int] = set()
    rest = iter(numbers)
    while part := list(islice(rest, _PART)):
        distinct.update(part)
    return sorted_in_parts(list(distinct))
