"""What can be wrong with a report, and with its lines."""

from dataclasses import dataclass


class ReportError(Exception):
    """A report can't be used; the text is one line that names it."""


class FaultyRowsError(ReportError):
    """Rows of a report are wrong, as was told of each."""


@dataclass(frozen=True, slots=True, order=True)
class RowError:
    """What is wrong in a line, counted from 1."""

    line: int
    column: str
    value: str
    expected: str

    def __str__(self) -> str:
        value = self.value if len(self.value) <= 60 else f"{self.value[:57]}..."
        shown = value.encode("unicode_escape").decode() or "nothing"
        return f"{self.line}: {self.column}: {shown}: expected {self.expected}"
