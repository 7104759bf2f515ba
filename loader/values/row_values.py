"""The quantities of a row."""

from collections.abc import Sequence
from typing import NamedTuple

from domain.quantities import ALL_QUANTITY_NAMES, EXPORTED_QUANTITIES, QUANTITY_NAMES
from loader.rows.errors import RowError
from loader.values.columns import QuantityColumn
from settings import FieldPatterns, FormatSettings, any_of

_MAX_KNOWN = 4096
"""Fields that are remembered, each with whether it matches."""


class RowQuantities(NamedTuple):
    """The quantities of a row as a RowBatch has them, and how many are missing or rounded."""

    text: str
    missing: int
    rounded: int


class FieldMatch:
    """Whether the fields of a row match patterns, all of them."""

    def __init__(self, patterns: FieldPatterns, names: Sequence[str]) -> None:
        """Take the names of a report's columns."""
        self.fields = [header.position(names) for header in patterns]
        """The positions of the columns in a row."""
        self._patterns = [any_of(each) for each in patterns.values()]
        self._known: dict[tuple[str, ...], bool] = {}

    def __call__(self, fields: Sequence[str]) -> bool:
        """Return whether those of a row match."""
        return self.matches(tuple(fields[place] for place in self.fields))

    def matches(self, texts: tuple[str, ...]) -> bool:
        """Return whether these fields match, which are those of the columns of the patterns."""
        found = self._known.get(texts)
        if found is None:
            pairs = zip(self._patterns, texts, strict=True)
            found = all(pattern.fullmatch(text) for pattern, text in pairs)
            if len(self._known) < _MAX_KNOWN:
                self._known[texts] = found
        return found


class RowValues:
    """Reads the quantities of rows, whose length in seconds matters if power is made of energy."""

    def __init__(self, settings: FormatSettings, names: Sequence[str], seconds: int) -> None:
        """Take the names of a report's columns."""
        columns = settings.columns.named()
        quality = settings.quality
        self.is_full = quality is not None or any(
            quantity.name in columns for quantity in EXPORTED_QUANTITIES
        )
        self.names = ALL_QUANTITY_NAMES if self.is_full else QUANTITY_NAMES
        self.width = len(self.names) + self.is_full
        self.estimated: FieldMatch | None = None
        """Whether a row is estimated, if the format says so."""
        if quality is not None and quality.column is not None:
            self.estimated = FieldMatch({quality.column: quality.estimated}, names)
        self.quality_field = None if self.estimated is None else self.estimated.fields[0]
        """The position of the column that says it."""
        self.columns = {
            ALL_QUANTITY_NAMES.index(name): QuantityColumn(name, column, names, settings, seconds)
            for name, column in columns.items()
        }
        """The columns, by the place of their quantity in a row of a batch."""
        # A sum is never known, since its numbers are not those of its first column.
        self._direct = [
            (place, column.known.get, column.fields[0], column)
            for place, column in self.columns.items()
        ]

    def read(self, number: int, fields: Sequence[str], errors: list[RowError]) -> RowQuantities:
        """Return the quantities of a row; add the errors that it has."""
        quantities = [""] * self.width
        missing = rounded = 0
        for place, known, field, column in self._direct:
            text = known(fields[field])
            if text is None:
                value, wrong = column.read(fields)
                text = value.text
                rounded += value.is_rounded
                if value.expected:
                    errors.append(column.error(number, fields, wrong, value.expected))
                    continue
            if not text:
                missing += 1
            quantities[place] = text
        if self.estimated is not None and self.estimated(fields):
            quantities[-1] = "1"
        return RowQuantities(",".join(quantities), missing, rounded)
