"""Parsing decimals in the notation and unit of another meter, exactly."""

import re
from fractions import Fraction
from typing import NamedTuple

from domain.fixed_point import SCALE, divide_rounded
from domain.quantities import DECIMALS, INTEGER_DIGITS
from settings import MISSING_WORDS, THOUSANDS_MARKS, FormatSettings

_MAX_DIGITS = 40
"""Digits before or after the decimal mark, superfluous zeros included, and the exponent's value."""
_BLANKS = f"\t{THOUSANDS_MARKS[' ']}"
_HAS_THOUSANDS = re.compile(
    rf"[-+]?[0-9]{{1,3}}([.,{''.join(THOUSANDS_MARKS.values())}][0-9]{{3}})+\D?.*"
)
_HAS_UNIT = re.compile(r"[-+0-9.,]*[0-9]\s*[^\W\d]\w*")


class Number(NamedTuple):
    """A number as it was written: an integer times a power of ten."""

    digits: int
    exponent: int


class NumberNotation:
    """How the numbers of a format are written."""

    def __init__(self, settings: FormatSettings) -> None:
        self.mark = settings.decimal
        self._missing = MISSING_WORDS | {word.casefold() for word in settings.missing}
        marks = THOUSANDS_MARKS.get(settings.thousands or "", settings.thousands or "")
        self._thousands = re.compile(f"[{re.escape(marks)}]") if marks else None
        whole = f"[0-9]{{1,{_MAX_DIGITS}}}"
        if marks:
            whole = f"[0-9]{{1,3}}(?:[{re.escape(marks)}][0-9]{{3}}){{1,12}}|{whole}"
        self._number = re.compile(
            rf"(?=[-+]?{re.escape(self.mark)}?[0-9])([-+]?)({whole}|)"
            rf"(?:{re.escape(self.mark)}([0-9]{{0,{_MAX_DIGITS}}}))?(?:[eE]([-+]?[0-9]{{1,3}}))?"
        )
        self.plain = re.compile(
            rf"(-?)(0|[1-9][0-9]{{0,{INTEGER_DIGITS - 1}}})"
            rf"{re.escape(self.mark)}([0-9]{{1,{DECIMALS}}})"
        )
        """Nearly all numbers of nearly all reports."""

    @property
    def missing_numbers(self) -> list[Number]:
        """The numbers that stand for missing values."""
        return [number for word in self._missing if (number := self.parse(word)) is not None]

    def is_missing(self, text: str) -> bool:
        """Return whether a text stands for a missing value."""
        return text.casefold() in self._missing

    def parse(self, text: str, unit: str | None = None) -> Number | None:
        """Return the number in a text, behind which a unit may stand; None if it is none."""
        if unit is not None and text.casefold().endswith(unit.casefold()):
            text = text[: -len(unit)]
        found = self._number.fullmatch(text.strip(_BLANKS).replace("\u2212", "-"))
        if found is None:
            return None
        sign, whole, decimals, exponent = found.groups(default="")
        if self._thousands is not None:
            whole = self._thousands.sub("", whole)
        power = int(exponent or 0)
        if abs(power) > _MAX_DIGITS:
            return None
        return Number(int(f"{sign}{whole}{decimals}"), power - len(decimals))


class ParsedValue(NamedTuple):
    """A quantity as a RowBatch has it, and whether it was rounded; or what was expected instead."""

    text: str
    is_rounded: bool = False
    expected: str = ""


NO_VALUE = ParsedValue("")


class Scale:
    """Converts numbers to the stored unit, exactly or rounded."""

    def __init__(self, factor: Fraction, *, rounds: bool) -> None:
        self._numerator = factor.numerator * SCALE
        self._denominator = factor.denominator
        self._rounds = rounds
        self.is_one = factor == 1

    def apply(self, number: Number) -> tuple[int, bool] | None:
        """Return a number in hundred-thousandths of the stored unit, and whether it was rounded.

        None if it has more decimals and is not to be rounded.
        """
        digits, exponent = number
        numerator = self._numerator * digits * 10 ** max(exponent, 0)
        denominator = self._denominator * 10 ** max(-exponent, 0)
        scaled, rest = divmod(numerator, denominator)
        if not rest:
            return scaled, False
        return (divide_rounded(numerator, denominator), True) if self._rounds else None


def total(numbers: list[Number]) -> Number:
    """Return the sum of numbers."""
    exponent = min(number.exponent for number in numbers)
    return Number(sum(n.digits * 10 ** (n.exponent - exponent) for n in numbers), exponent)


def format_quantity(scaled: int) -> str | None:
    """Return a quantity as a RowBatch has it; None if it has too many digits."""
    if abs(scaled) >= SCALE * 10**INTEGER_DIGITS:
        return None
    units, fraction = divmod(abs(scaled), SCALE)
    return f"{'-' * (scaled < 0)}{units}.{fraction:0{DECIMALS}}"


def hint(text: str, unit: str | None, thousands: str | None) -> str:
    """Return the key of the settings that would make a number of a text, if one may."""
    if unit is None and _HAS_UNIT.fullmatch(text):
        return "; a unit behind the number is read if the column has the key unit"
    if thousands is None and _HAS_THOUSANDS.fullmatch(text):
        return "; marks between thousands are read if the format has the key thousands"
    return ""
