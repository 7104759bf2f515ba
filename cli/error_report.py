"""What is wrong with the input of a command: a count, and the first messages."""

from dataclasses import dataclass, field

MAX_ERRORS_SHOWN = 20
"""Faults that are kept word by word; the others are counted."""


@dataclass(slots=True)
class ErrorReport:
    """What is wrong in the reports, the first faults as `file:line: column: value: expected`."""

    shown: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, text: str) -> None:
        """Counts a fault, and keeps its text if it is among the first."""
        self.count += 1
        if len(self.shown) < MAX_ERRORS_SHOWN:
            self.shown.append(text)


class FaultyReportsError(Exception):
    """Nothing was written, since reports have faults."""

    def __init__(self, errors: ErrorReport) -> None:
        super().__init__(f"{errors.count} fault{'s' * (errors.count != 1)}")
        self.errors = errors


def error_summary(errors: ErrorReport) -> dict[str, object]:
    """How many faults there are, and the first of them."""
    return {"count": errors.count, "shown": errors.shown}
