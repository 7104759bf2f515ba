"""The columns of a table in a file: what each is called, and what its fields are."""

import re
from collections.abc import Sequence
from functools import cached_property

from loader.inspect.sheet import Sheet, split_line
from loader.inspect.texts.notations import WrittenTime, fitting_notations
from loader.inspect.texts.numerals import is_missing, is_number, number_unit
from loader.inspect.texts.words import UnitMeaning, says, unit_in
from settings import ColumnName

_MAX_WORDS = 3
"""Words for missing values in a column of numbers."""

MAX_CATEGORIES = 12
"""Different values of a column that says what its row is of."""

_MAX_IDENTIFIER = 60
_IDENTIFIER = re.compile(r"['A-Z0-9][A-Za-z0-9.\-_ ]{5,59}")
_MIN_DIGITS, _MIN_DIGITS_ALONE = 5, 8
"""Digits of an identifier that has capital letters as well, and of one that has none."""
_CHANGING = re.compile(
    r"(?<![0-9.:\-])[0-9]+[.,][0-9]{2,}(?![0-9.])"
    r"|[0-9]{4}[./-][0-9]{1,2}[./-][0-9]{1,2}|[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}"
    r"|[A-Z]{0,4}[0-9]{8,}"
)
"""What a heading has that differs from file to file: amounts, dates and numbers of meters."""

Reference = str | int | dict[str, str]
"""A column as the settings of a format name it."""


class SheetColumn:
    """A column of a table."""

    def __init__(
        self, place: int, names: Sequence[str], texts: Sequence[str], unit_text: str = ""
    ) -> None:
        """Take the place of the column, from 0, the fields of all rows, and what tells the unit."""
        self.place = place
        self.name = names[place] if place < len(names) else ""
        self.texts = texts
        self._unit_text = unit_text or self.name
        self._names = names
        self.order: bool | None = None
        """Whether months stand before days, if another column tells it."""

    @property
    def reference(self) -> Reference:
        """The name of the column in settings: its heading unless that changes, or its place."""
        if not self.name or self._names.count(self.name) > 1:
            return self.place + 1
        changing = _CHANGING.sub("*", self.name)
        if changing == self.name:
            return self.name
        if re.search(r"[^\W\d_]{3}", changing) is None:
            return self.place + 1
        is_alone = len(ColumnName(matches=changing).positions(self._names)) == 1
        return {"matches": changing} if is_alone else self.name

    @property
    def label(self) -> str:
        """The heading, or the place, for people."""
        return self.name or f"column {self.place + 1}"

    @cached_property
    def filled(self) -> Sequence[str]:
        """The fields that hold something."""
        return [text for text in self.texts if not is_missing(text)]

    @cached_property
    def values(self) -> Sequence[str]:
        """The different fields that hold something."""
        return list(dict.fromkeys(self.filled))

    @cached_property
    def notations(self) -> Sequence[WrittenTime]:
        """The notations of times in which all fields are written."""
        return fitting_notations(self.filled)

    @cached_property
    def is_number(self) -> bool:
        """Whether fields are numbers or stand for none; a unit tells so where all are missing."""
        if not self.values:
            return unit_in(self._unit_text) is not None
        if len(self.words) > _MAX_WORDS or self.notations:
            return not self.words
        return sum(map(is_number, self.filled)) * 2 > len(self.filled)

    @cached_property
    def words(self) -> Sequence[str]:
        """The fields that are no numbers."""
        return [text for text in self.values if not is_number(text)]

    @cached_property
    def unit(self) -> UnitMeaning | None:
        """The unit in the heading, or behind the numbers."""
        return unit_in(self._unit_text) or unit_in(number_unit(self.values))

    @property
    def has_categories(self) -> bool:
        """Whether there are a few words, or few codes, over and over."""
        count = len(self.values)
        return 1 <= count <= MAX_CATEGORIES and (count * 2 <= len(self.texts) or count == 1)

    @property
    def is_identifier(self) -> bool:
        """Whether the fields may name a meter: a heading says so, or they look like it."""
        is_short = all(len(each) <= _MAX_IDENTIFIER for each in self.values)
        if not self.has_categories or not is_short or self.unit is not None:
            return False
        if says(self.name, "meter") and not says(self.name, "quality"):
            return any(letter.isdigit() for letter in self.values[0])
        return not self.notations and all(map(looks_like_identifier, self.values))

    def says(self, meaning: str) -> bool:
        """Return whether the heading has a word of a meaning."""
        return says(self.name, meaning)


def looks_like_identifier(text: str) -> bool:
    """Return whether a text may name a meter: it has many digits, and letters if they are few."""
    if len(text) > _MAX_IDENTIFIER or _IDENTIFIER.fullmatch(text) is None:
        return False
    has_letters = any(letter.isupper() for letter in text)
    return sum(map(str.isdigit, text)) >= (_MIN_DIGITS if has_letters else _MIN_DIGITS_ALONE)


def columns_of(sheet: Sheet) -> list[SheetColumn]:
    """Return the columns of a table, without those that are empty."""
    names = sheet.names or ()
    fields = zip(*sheet.rows, strict=True)
    units = _unit_texts(sheet)
    columns = [SheetColumn(place, names, texts, units[place]) for place, texts in enumerate(fields)]
    named = [column for column in columns if column.filled or column.name]
    return max(_tables_side_by_side(named), key=lambda table: len(table[0].filled))


def _unit_texts(sheet: Sheet) -> Sequence[str]:
    """Return the units of columns, if the line below the heading has them."""
    heading = sheet.heading
    below = [line for line in sheet.strays if heading and line.number == heading.number + 1]
    texts = split_line(below[0].text, sheet.delimiter) if below else []
    units = [text if unit_in(text) else "" for text in texts[: sheet.width]]
    return [*units, *[""] * (sheet.width - len(units))]


def _tables_side_by_side(columns: list[SheetColumn]) -> list[list[SheetColumn]]:
    """Return the columns of each table, if the same headings stand there again and again."""
    names = [column.name for column in columns]
    for count in (3, 2):
        width = len(names) // count
        if width > 1 and names == names[:width] * count and any(names):
            return [columns[begin : begin + width] for begin in range(0, len(names), width)]
    return [columns]
