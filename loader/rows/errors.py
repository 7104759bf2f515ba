"""Errors in a report and in its rows."""

from collections.abc import Sequence
from dataclasses import dataclass


class ReportError(Exception):
    """A report can't be imported; the message is one line that names the report."""


class UnknownHeadingError(ReportError):
    """A report has no heading of a known format."""


class AmbiguousHeadingError(ReportError):
    """A heading fits several formats."""

    def __init__(self, message: str, formats: Sequence[str]) -> None:
        """Take the names of the formats."""
        super().__init__(message)
        self.formats = formats


class FaultyRowsError(ReportError):
    """Rows of a report are invalid; each was reported on its own."""


@dataclass(frozen=True, slots=True, order=True)
class RowError:
    """An error in a line of a report; lines are counted from 1."""

    line: int
    column: str
    value: str
    expected: str
    day: str = ""
    """The local day that is refused for it; all other days are loaded nevertheless."""

    def __str__(self) -> str:
        value = self.value if len(self.value) <= 60 else f"{self.value[:57]}..."
        shown = value.encode("unicode_escape").decode() or "nothing"
        return f"{self.line}: {self.column}: {shown}: expected {self.expected}"
