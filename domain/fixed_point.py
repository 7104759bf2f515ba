"""Exact decimals as integers scaled by 10^5."""

from math import isqrt

from domain.quantities import DECIMALS

SCALE = 10**DECIMALS
"""The factor of a scaled quantity: integers add up exactly, floating-point numbers do not."""


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


def format_scaled(value: int) -> str:
    """Return a scaled quantity as text, with all its decimals."""
    text = str(value)
    if len(text) > DECIMALS + 1:  # enough digits, even if the first is a sign
        return f"{text[:-DECIMALS]}.{text[-DECIMALS:]}"
    whole, fraction = divmod(abs(value), SCALE)
    return f"{'-' if value < 0 else ''}{whole}.{fraction:05}"
