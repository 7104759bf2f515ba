"""What names the meter of a report: a column, the text of a heading, or a line above it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal, TypeAlias

from pydantic import PlainValidator

from settings.report_formats.column_name import COLUMN_EXPECTED, ColumnName, wildcards

_METER = "{meter}"
_MAX_LENGTH = 64
"""Characters of an identifier."""

IDENTIFIER_EXPECTED = (
    f"the column that names the meter: {COLUMN_EXPECTED}; or {{heading: PATTERN}} or"
    f" {{line: PATTERN}} with {_METER} in it, and optional: true if reports may lack it"
)


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
