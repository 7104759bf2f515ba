"""Notations of numbers: the decimal mark, the thousands mark, units and words for missing."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from settings import MISSING_WORDS, THOUSANDS_MARKS

_BLANKS, _APOSTROPHES = THOUSANDS_MARKS[" "], THOUSANDS_MARKS["'"]
_MARKS = f"[.,{_APOSTROPHES}{_BLANKS}]"
_NUMBER = re.compile(
    r"[+\-\u2212]?"
    rf"(?P<body>[0-9]{{1,3}}(?:{_MARKS}[0-9]{{3}})+(?:[.,][0-9]*)?|[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)"
    r"(?P<exponent>[eE][+-]?[0-9]+)?"
    r"\s*(?P<unit>[kKmMgG]?(?:[wW][hH]?|[vV][aA][rR][hH]?|[vVaA]))?"
)
_GROUP = 3
"""Digits between two marks of thousands."""


@dataclass(slots=True)
class Numerals:
    """How the numbers of some columns are written."""

    points: int = 0
    """Numbers whose decimal mark is a point for certain."""
    commas: int = 0
    are_thousandths: bool = False
    """Whether they are of a small unit such as Wh, which seldom has decimals."""
    plain: int = 0
    """Numbers without a mark."""
    doubtful: set[str] = field(default_factory=set)
    """Marks that may be of decimals or of thousands."""
    thousands: set[str] = field(default_factory=set)

    def add(self, texts: Iterable[str]) -> None:
        """Look at the numbers of a column."""
        for text in texts:
            found = _NUMBER.fullmatch(text)
            if found is not None:
                self._look(found["body"])

    @property
    def decimal(self) -> str:
        """The decimal mark."""
        if self.commas or self.points:
            return "," if self.commas > self.points else "."
        is_comma = "," in self.doubtful
        return "," if is_comma is not self._has_groups else "."

    @property
    def thousands_mark(self) -> str:
        """The mark of thousands, empty if there is none."""
        marks = self.thousands | (self.doubtful if self._has_groups else set())
        return min(marks - {self.decimal}, default="")

    @property
    def _has_groups(self) -> bool:
        """Whether marks that may be of decimals are of thousands: smaller numbers have none."""
        is_likely = self.plain or self.are_thousandths
        return bool(self.doubtful and is_likely) and not self.commas and not self.points

    @property
    def is_doubtful(self) -> bool:
        """Whether the decimal mark may as well be one of thousands."""
        return bool(self.doubtful) and not self.commas and not self.points and not self.thousands

    def _look(self, body: str) -> None:
        blanks = {mark for mark in _APOSTROPHES + _BLANKS if mark in body}
        self.thousands.update(" " if mark in _BLANKS else "'" for mark in blanks)
        body = "".join(letter for letter in body if letter not in _APOSTROPHES + _BLANKS)
        marks = [letter for letter in body if letter in ".,"]
        if not marks:
            self.plain += 1
            return
        last = marks[-1]
        if len({*marks}) > 1:
            self._count(last)
            self.thousands.add(marks[0])
        elif len(marks) > 1:
            self._count("," if last == "." else ".")
            self.thousands.add(last)
        else:
            before, _, after = body.partition(last)
            is_group = len(after) == _GROUP and before.strip("0") and len(before) <= _GROUP
            if is_group and not before.startswith("0"):
                self.doubtful.add(last)
            else:
                self._count(last)

    def _count(self, mark: str) -> None:
        if mark == ".":
            self.points += 1
        else:
            self.commas += 1


def is_missing(text: str) -> bool:
    """Return whether a field stands for no value."""
    return text.casefold() in MISSING_WORDS


def is_number(text: str) -> bool:
    """Return whether a field is a number, in any notation."""
    return _NUMBER.fullmatch(text) is not None


def number_unit(texts: Sequence[str]) -> str:
    """Return the unit behind the first number that has one, empty if there is none."""
    for text in texts:
        found = _NUMBER.fullmatch(text)
        if found is not None and found["unit"]:
            return found["unit"]
    return ""


def number_value(text: str, decimal: str) -> float | None:
    """Return a number, whose decimal mark is known; None if there is none."""
    found = _NUMBER.fullmatch(text)
    if found is None or is_missing(text):
        return None
    digits = "".join(letter for letter in found["body"] if letter.isdigit() or letter == decimal)
    sign = -1 if text[0] in "-\u2212" else 1
    try:
        return sign * float(digits.replace(decimal, ".") + (found["exponent"] or ""))
    except ValueError:
        return None
