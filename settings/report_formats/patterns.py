"""Patterns of texts in settings, with `*` for any text and `?` for any character."""

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import BeforeValidator, Field

from settings.report_formats.column_name import ColumnName, wildcards

PATTERNS_EXPECTED = "a pattern with * and ? for any characters, or a list of such patterns"


def _listed(value: object) -> object:
    """Return one alone as a list."""
    return value if isinstance(value, list | tuple) else (value,)


Patterns = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed), Field(min_length=1)
]
"""Patterns of whole texts with `*` for any text and `?` for a character, or one of them."""

FieldPatterns = dict[ColumnName, Patterns]
"""The patterns of the fields of columns."""


def any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return the expression that matches a whole text if one of the patterns does."""
    return re.compile("|".join(f"(?:{wildcards(pattern)})" for pattern in patterns), re.DOTALL)
