"""What names the meter of a report: a column, the text of a heading, or a line above it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import PlainValidator

from settings.report_formats.column_name import COLUMN_EXPECTED, ColumnName, wildcards

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_METER = "{meter}"
_MAX_LENGTH = 64
"""Characters of an identifier."""

IDENTIFIER_EXPECTED = (
    f"the column that names the meter: {COLUMN_EXPECTED}; or {{heading: PATTERN}} or"
    f" {{line: PATTERN}} with {_METER} in it, and optional: true if reports may lack it"
)


METERS_EXPECTED = (
    f"a pattern of headings with {_METER} in it for the meter's name; or columns, each with the"
    " name of its meter"
)


@dataclass(frozen=True, slots=True)
class MeterColumns:
    """Which columns hold a quantity of several meters, and which meter each is of."""

    pattern: str = ""
    """Of their headings, with `{meter}` for the name of the meter."""
    names: tuple[tuple[ColumnName, str], ...] = ()
    """The columns, each with the name of its meter, if no pattern tells them."""

    def positions(self, headings: Sequence[str], others: Collection[int] = ()) -> dict[str, int]:
        """Return the position of the column of each meter, which is none of the others.

        Raises ValueError unless each meter has one.
        """
        found = {meter: column.position(headings) for column, meter in self.names}
        if self.pattern:
            pattern = MeterPattern("heading", self.pattern)
            for at, heading in enumerate(headings):
                meter = None if at in others else pattern.find(heading)
                if meter is not None and found.setdefault(meter, at) != at:
                    raise ValueError(f"expected one column of {meter:.{_MAX_LENGTH}}")
        if not found:
            raise ValueError(f"expected a heading like {self.pattern}")
        return found

    @classmethod
    def parse(cls, value: object) -> MeterColumns | None:
        """Return what a value of the settings says; raise ValueError."""
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, str) and value.count(_METER) == 1:
            return cls(value)
        if isinstance(value, dict) and value:
            names = tuple((ColumnName.parse(key), str(name)) for key, name in value.items())
            meters = {name for _, name in names}
            if len(meters) == len(names) and all(1 <= len(each) <= _MAX_LENGTH for each in meters):
                return cls(names=names)
        raise ValueError(f"expected {METERS_EXPECTED}")


@dataclass(frozen=True, slots=True)
class MeterPattern:
    """A pattern of the text that names the meter."""

    place: Literal["heading", "line"]
    """Whether that is one of the headings, or a line above these."""
    pattern: str
    """With `{meter}` for the name, `*` for any text and `?` for a character."""
    optional: bool = False
    """Whether reports may lack the text."""

    def __str__(self) -> str:
        """Return it as messages show it."""
        return self.pattern

    def find(self, text: str) -> str | None:
        """Return the meter that a text names."""
        match = _expression(self.pattern).fullmatch(text)
        return match and (match[1].strip() or None)


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    """Return the expression of a pattern: it is looked for in each of many headings."""
    before, after = map(wildcards, pattern.split(_METER))
    return re.compile(f"{before}(.{{1,{_MAX_LENGTH}}}?){after}", re.DOTALL)


def _parse(value: object) -> ColumnName | MeterPattern:
    """Return what a value of the settings says; raise ValueError."""
    if isinstance(value, MeterPattern):
        return value
    if isinstance(value, dict):
        optional = value.get("optional", "false")
        (place, pattern), *others = (
            item for item in (*value.items(), ("", "")) if item[0] != "optional"
        )
        if place in ("heading", "line") and len(others) == 1 and optional in ("true", "false"):
            if isinstance(pattern, str) and pattern.count(_METER) == 1:
                return MeterPattern(place, pattern, optional == "true")
            raise ValueError(f"expected a pattern with {_METER} in it")
    try:
        return ColumnName.parse(value)
    except ValueError:
        raise ValueError(f"expected {IDENTIFIER_EXPECTED}") from None


Identifier: TypeAlias = Annotated[ColumnName | MeterPattern, PlainValidator(_parse)]
