"""The columns of a report that the quantities of a row are made of."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from domain.quantities import DECIMALS, INTEGER_DIGITS
from loader.rows.errors import RowError
from loader.values.decimals import (
    NO_VALUE,
    Number,
    NumberNotation,
    ParsedValue,
    Scale,
    format_quantity,
    hint,
    total,
)
from settings import ENERGIES, HOURLY_INTERVAL, MEAN_POWERS, ColumnSettings, FormatSettings

_MAX_KNOWN = 2**14
"""Numbers of a column that are remembered: most reports have few different ones."""


class QuantityColumn:
    """One column, or several that are added up, whose numbers are parsed exactly or rejected."""

    def __init__(
        self,
        name: str,
        column: ColumnSettings,
        names: Sequence[str],
        settings: FormatSettings,
        seconds: int,
    ) -> None:
        """Take the names of a report's columns, and the length of the rows in seconds.

        The length matters if a column of energy holds mean power, or the other way round.
        """
        self.name = name
        self.headers = [str(header) for header in column.header]
        self.fields = [header.position(names) for header in column.header]
        """The positions of the columns in a row."""
        self.known: dict[str, str] = {}
        """Quantities as a RowBatch has them, by the text of a single column; none of a sum."""
        self._unit = column.unit
        self._thousands = settings.thousands
        self._notation = NumberNotation(settings)
        hours = Fraction(seconds, HOURLY_INTERVAL)
        divides = name in MEAN_POWERS and column.kind == "energy"
        if not divides and not (name in ENERGIES and column.kind == "power"):
            hours = Fraction(1)
        self.factor = Fraction(column.factor) * (1 / hours if divides else hours)
        """What numbers are multiplied by."""
        self._scale = Scale(self.factor, rounds=settings.round)
        multiplied = _multiplied(column.factor, hours, divides=divides)
        self._expected = (
            f"a decimal like -8{settings.decimal}382, with at most {INTEGER_DIGITS} digits before"
            f" the mark and {DECIMALS} after it{multiplied}, or nothing"
        )
        self._too_precise = (
            f"at most {DECIMALS} decimals{multiplied}, or round: true in the format, which rounds"
            " to as many"
        )

    @property
    def missing_numbers(self) -> list[Number]:
        """The numbers that stand for missing values."""
        return self._notation.missing_numbers

    def read(self, fields: Sequence[str]) -> tuple[ParsedValue, int]:
        """Return the quantity of a row, and which of its columns is wrong if one is."""
        if len(self.fields) > 1:
            return self._sum(fields)
        return self.read_text(fields[self.fields[0]]), 0

    def read_text(self, text: str) -> ParsedValue:
        """Return the quantity in a text of a single column."""
        known = self.known.get(text)
        if known is not None:
            return ParsedValue(known)
        quantity = self._parse(text)
        if not quantity.is_rounded and not quantity.expected:
            if len(self.known) >= _MAX_KNOWN:
                self.known.clear()
            self.known[text] = quantity.text
        return quantity

    def error(self, line: int, fields: Sequence[str], which: int, expected: str) -> RowError:
        """Return the error of a row in one of the columns."""
        return RowError(line, self.headers[which], fields[self.fields[which]], expected)

    def _parse(self, text: str) -> ParsedValue:
        """Return the quantity in the text of a column."""
        notation = self._notation
        if self._scale.is_one and (plain := notation.plain.fullmatch(text)):
            sign, whole, decimals = plain.groups()
            is_zero = sign and whole == "0" and not decimals.strip("0")
            return ParsedValue(f"{'' if is_zero else sign}{whole}.{decimals:0<{DECIMALS}}")
        if notation.is_missing(text):
            return NO_VALUE
        number = notation.parse(text, self._unit)
        return self._wrong(text) if number is None else self._quantity(number)

    def _sum(self, fields: Sequence[str]) -> tuple[ParsedValue, int]:
        """Return the sum of the columns, which are missing together."""
        texts = [fields[place] for place in self.fields]
        missing = [self._notation.is_missing(text) for text in texts]
        if all(missing):
            return NO_VALUE, 0
        numbers: list[Number] = []
        for place, text in enumerate(texts):
            if missing[place]:
                expected = f"a number as in the other columns of {self.name}, which are added up"
                return ParsedValue("", expected=expected), place
            number = self._notation.parse(text, self._unit)
            if number is None:
                return self._wrong(text), place
            numbers.append(number)
        return self._quantity(total(numbers)), 0

    def _quantity(self, number: Number) -> ParsedValue:
        """Return a number as a quantity."""
        scaled = self._scale.apply(number)
        if scaled is None:
            return ParsedValue("", expected=self._too_precise)
        text = format_quantity(scaled[0])
        return (
            ParsedValue("", expected=self._expected)
            if text is None
            else ParsedValue(text, scaled[1])
        )

    def _wrong(self, text: str) -> ParsedValue:
        return ParsedValue("", expected=self._expected + hint(text, self._unit, self._thousands))


def _multiplied(factor: Decimal, hours: Fraction, *, divides: bool) -> str:
    """Return what numbers are multiplied and divided by, for messages."""
    length = f"the {hours} hours of its interval"
    times = [f"{factor:f}"] * (factor != 1) + [length] * (not divides and hours != 1)
    parts = [f"multiplied by {' and '.join(times)}"] if times else []
    parts += [f"divided by {length}"] * (divides and hours != 1)
    return f" once {' and '.join(parts)}" if parts else ""
