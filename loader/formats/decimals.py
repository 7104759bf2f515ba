"""Parsing decimals in the notation and unit of another meter."""

import re
from fractions import Fraction

from domain.fixed_point import SCALE
from domain.quantities import DECIMALS, INTEGER_DIGITS
from settings import HOURLY_INTERVAL, ColumnSettings

_MAX_DIGITS = 40
"""Digits before or after the decimal mark, superfluous zeros included."""


class DecimalColumn:
    """A column of a report whose decimals are parsed exactly or rejected."""

    def __init__(
        self, column: ColumnSettings, position: int, field: int, mark: str, seconds: int
    ) -> None:
        """Take the interval of the rows in seconds; it matters if the column is mean power."""
        self.header = str(column.header)
        self.position = position
        """The quantity's position in a reading."""
        self.field = field
        """The column's position in a row."""
        sign, digits, exponent = column.factor.normalize().as_tuple()
        assert isinstance(exponent, int), "a factor is finite"
        hours = Fraction(seconds if column.kind == "power" else HOURLY_INTERVAL, HOURLY_INTERVAL)
        scale = int("".join(map(str, digits))) * (-1 if sign else 1) * hours.numerator
        powers = (DECIMALS + exponent - decimals for decimals in range(_MAX_DIGITS + 1))
        self._scales = [
            (scale * 10 ** max(power, 0), hours.denominator * 10 ** max(-power, 0))
            for power in powers
        ]
        """What a number with so many decimals is multiplied by, and divided by."""
        self._number = re.compile(
            rf"(-?)([0-9]{{1,{_MAX_DIGITS}}})(?:{re.escape(mark)}([0-9]{{1,{_MAX_DIGITS}}}))?"
        )
        times = [f"{column.factor:f}"] * (column.factor != 1)
        times += [f"the {hours} hours of its interval"] * (hours != 1)
        multiplied = f" once multiplied by {' and '.join(times)}" if times else ""
        self.expected = (
            f"a decimal like -8{mark}382, with at most {INTEGER_DIGITS} digits before the mark and "
            f"{DECIMALS} after it{multiplied}, or nothing"
        )

    def parse(self, text: str) -> str | None:
        """Return a quantity as a RowBatch has it; None if it can't be stored exactly."""
        if not text:
            return ""
        number = self._number.fullmatch(text)
        if number is None:
            return None
        sign, whole, decimals = number.groups(default="")
        factor, divisor = self._scales[len(decimals)]
        scaled, remainder = divmod(int(f"{sign}{whole}{decimals}") * factor, divisor)
        if remainder or abs(scaled) >= SCALE * 10**INTEGER_DIGITS:
            return None
        units, fraction = divmod(abs(scaled), SCALE)
        return f"{'-' * (scaled < 0)}{units}.{fraction:0{DECIMALS}}"
