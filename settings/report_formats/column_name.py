"""How settings name the columns of a report: by heading, by place, or by a pattern."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from settings.yaml_document import PlainNumber

_MATCHES = "matches"
_MAX_PLACE = 1000

COLUMN_EXPECTED = (
    f"a heading, a place counted from 1, or {{{_MATCHES}: PATTERN}} with * and ? for any characters"
)

PATTERNS_EXPECTED = "a pattern with * and ? for any characters, or a list of such patterns"


class ColumnError(ValueError):
    """A heading does not have exactly one column of a name; the message says why."""


def wildcards(pattern: str) -> str:
    """Return the regular expression of a pattern with `*` for any text and `?` for a character."""
    first, *parts = (
        "".join("." if letter == "?" else re.escape(letter) for letter in part)
        for part in pattern.split("*")
    )
    if not parts:
        return first
    # Each part is looked for once, so that no text takes long.
    return first + "".join(f"(?>.*?{part})" for part in parts[:-1] if part) + f".*{parts[-1]}"


def any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return the expression that matches a whole text if one of the patterns does."""
    return re.compile("|".join(f"(?:{wildcards(pattern)})" for pattern in patterns), re.DOTALL)


@dataclass(frozen=True, slots=True)
class ColumnName:
    """The name of a column in settings; one of the three is set."""

    heading: str = ""
    place: int = 0
    """Counted from 1."""
    matches: str = ""
    """A pattern of the heading, with `*` for any text and `?` for a character."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return the column that a value of the settings names; raise ValueError."""
        if isinstance(value, cls):
            return value
        if isinstance(value, dict) and set(value) == {_MATCHES}:
            pattern = value[_MATCHES]
            if isinstance(pattern, str) and pattern:
                return cls(matches=pattern)
        if isinstance(value, PlainNumber | int):
            place = int(value) if len(str(value)) <= len(str(_MAX_PLACE)) else 0
            if not isinstance(value, bool) and 1 <= place <= _MAX_PLACE:
                return cls(place=place)
        elif isinstance(value, str) and value.strip():
            return cls(heading=value.strip())
        raise ValueError(f"expected {COLUMN_EXPECTED}")

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, __: GetCoreSchemaHandler) -> CoreSchema:
        """Return how pydantic reads one."""
        return core_schema.no_info_plain_validator_function(cls.parse)

    def __str__(self) -> str:
        """Return the name as messages show it."""
        return self.heading or self.matches or f"column {self.place}"

    def positions(self, names: Sequence[str]) -> list[int]:
        """Return the positions, from 0, of the columns that it may mean in a heading."""
        if self.place:
            return [self.place - 1] if self.place <= len(names) else []
        if self.heading:
            return [at for at, name in enumerate(names) if name == self.heading]
        pattern = re.compile(wildcards(self.matches), re.DOTALL)
        return [at for at, name in enumerate(names) if pattern.fullmatch(name)]

    def position(self, names: Sequence[str]) -> int:
        """Return the position, from 0, of its column in a heading; raise ColumnError."""
        found = self.positions(names)
        if len(found) != 1:
            raise ColumnError(self.error(names))
        return found[0]

    def error(self, names: Sequence[str]) -> str:
        """Return why it has no position in a heading."""
        found = self.positions(names)
        if self.place:
            return f"{self} is missing: there are {len(names)} columns"
        if not found:
            return f"{str(self)!a:.80} is missing"
        places = ", ".join(str(at + 1) for at in found[:10])
        what = "fits" if self.matches else "stands above"
        return (
            f"{str(self)!a:.80} {what} several columns: name the one by its place, one of {places}"
        )
