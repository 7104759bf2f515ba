"""Errors in the input of a command: their number and the first messages."""

from dataclasses import dataclass, field

MAX_ERRORS_SHOWN = 20
"""Messages that are kept; further errors are only counted."""


@dataclass(slots=True)
class ErrorReport:
    """Errors in reports, the first of them as `file:line: column: value: expected`."""

    shown: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, text: str) -> None:
        """Count an error, and keep its message if it is among the first."""
        self.count += 1
        if len(self.shown) < MAX_ERRORS_SHOWN:
            self.shown.append(text)

    def add_all(self, others: "ErrorReport") -> None:
        """Add the errors of another report."""
        self.count += others.count
        self.shown += others.shown[: MAX_ERRORS_SHOWN - len(self.shown)]


class FaultyReportsError(Exception):
    """Nothing was written, because reports have errors."""

    def __init__(self, errors: ErrorReport) -> None:
        super().__init__(f"{errors.count} error{'s' * (errors.count != 1)}")
        self.errors = errors


def error_summary(errors: ErrorReport) -> dict[str, object]:
    """Return the number of errors and the first messages, for JSON output."""
    return {"count": errors.count, "shown": errors.shown}
