"""The table in the first lines of a file: its delimiter, its heading and its rows."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loader.inspect.texts.notations import tells_day
from loader.inspect.texts.numerals import is_missing, is_number

_DELIMITERS = ";,\t|"
_UNIT = re.compile(r"\[.*\]|\(.*\)|[kMG]?(?:Wh?|[vV][aA][rR]h?|V|A)")
"""What stands below the name of a column, about it."""
_MAX_COLUMNS = 1000
_MIN_SHARE = 5
"""One in so many rows at least has its day in a column that is one of days."""


@dataclass(frozen=True, slots=True)
class NumberedLine:
    """A line of a file and its number, from 1."""

    number: int
    text: str


@dataclass(frozen=True)
class Sheet:
    """A table of rows that have a day and other fields."""

    delimiter: str
    names: tuple[str, ...] | None
    """The heading; None if there is none."""
    heading: NumberedLine | None
    """Its line."""
    above: Sequence[NumberedLine]
    """The lines above the heading, or above the first row."""
    rows: Sequence[Sequence[str]]
    """The fields of each row, all as many."""
    first_line: int
    """The line of the first row."""
    strays: Sequence[NumberedLine]
    """Lines among or below the rows that are none."""

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.rows[0])


def find_sheet(lines: Sequence[str]) -> Sheet | None:
    """Return the table in lines, with the delimiter that gives the most rows; None without rows."""
    found: Sheet | None = None
    best = (0, 0.0)
    for delimiter in _DELIMITERS:
        sheet = _sheet(lines, delimiter)
        if sheet is not None and (score := _score(sheet)) > best:
            found, best = sheet, score
    return found


def split_line(text: str, delimiter: str) -> list[str]:
    """Return the fields of a line; those that are written as formulas are texts."""
    try:
        rows = csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True)
        fields = next(rows, [])
    except csv.Error:
        fields = text.split(delimiter)
    return [_plain_field(field.strip()) for field in fields]


def _plain_field(field: str) -> str:
    is_formula = field.startswith('="') and field.endswith('"') and len(field) > len('=""')
    return field[2:-1] if is_formula else field


def _sheet(lines: Sequence[str], delimiter: str) -> Sheet | None:
    split = [split_line(line, delimiter) for line in lines]
    days = [[place for place, field in enumerate(fields) if tells_day(field)] for fields in split]
    widths = Counter(len(fields) for fields, places in zip(split, days, strict=True) if places)
    if not widths:
        return None
    (width, count), *_ = widths.most_common(1)
    if not 1 < width <= _MAX_COLUMNS:
        return None
    places = Counter(
        place
        for fields, places in zip(split, days, strict=True)
        if len(fields) == width
        for place in places
    )
    columns = {place for place, rows in places.items() if rows * _MIN_SHARE >= count}
    numbers = [
        number
        for number, (fields, found) in enumerate(zip(split, days, strict=True))
        if columns.intersection(found)
        and len(_trimmed(fields)) <= width <= len(fields) + width // 2
    ]
    if not numbers:
        return None
    first, rows = numbers[0], numbers
    heading = _heading_place(split, first, min(columns), width)
    names = None if heading is None else tuple(_trimmed(split[heading]))
    known = {*rows}
    begin = first if heading is None else heading + 1
    return Sheet(
        delimiter,
        names,
        None if heading is None else NumberedLine(heading + 1, lines[heading]),
        _numbered(lines, range(begin - (heading is not None))),
        [_padded(split[number], width) for number in rows],
        first + 1,
        _numbered(lines, (n for n in range(begin, len(lines)) if n not in known)),
    )


def _numbered(lines: Sequence[str], numbers: Iterable[int]) -> list[NumberedLine]:
    return [NumberedLine(n + 1, lines[n]) for n in numbers if lines[n].strip()]


def _heading_place(
    split: Sequence[Sequence[str]], first: int, column: int, width: int
) -> int | None:
    """Return the place of the nearest line above the rows that names the column of days."""
    for number in range(first - 1, max(first - 4, -1), -1):
        names = _trimmed(split[number])
        if column < len(names) <= width and len(names) > 1:
            name = names[column]
            if name and not (is_number(name) or tells_day(name) or _UNIT.fullmatch(name)):
                return number
    return None


def _trimmed(fields: Sequence[str]) -> Sequence[str]:
    """Return fields without the empty ones at the end."""
    count = len(fields)
    while count and not fields[count - 1]:
        count -= 1
    return fields[:count]


def _padded(fields: Sequence[str], width: int) -> Sequence[str]:
    return [*fields[:width], *[""] * (width - len(fields))]


def _score(sheet: Sheet) -> tuple[int, float]:
    """Return how well a delimiter divides rows: their number, and the share of known fields."""
    fields = [field for row in sheet.rows[:50] for field in row]
    known = sum(is_missing(field) or is_number(field) or tells_day(field) for field in fields)
    return len(sheet.rows), known / len(fields)
