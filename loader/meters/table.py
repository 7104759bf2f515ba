"""A table of text whose rows are printed while they come."""

from collections.abc import Callable, Sequence

from cli.printing import printable

_MEASURED_ROWS = 200
"""Rows that are waited for, since they tell how wide the columns are."""


class TextTable:
    """Prints rows below a heading; later rows may be wider than the columns."""

    def __init__(self, heading: Sequence[str], print_line: Callable[[str], None]) -> None:
        self._print = print_line
        self._waiting: list[Sequence[str]] = [heading]
        self._widths: list[int] = []

    def add(self, cells: Sequence[str]) -> None:
        """Add a row."""
        # Escapes that make cells printable make them wider.
        row = [printable(cell) or "-" for cell in cells]
        if self._widths:
            self._print_row(row)
            return
        self._waiting.append(row)
        if len(self._waiting) > _MEASURED_ROWS:
            self.flush()

    def flush(self) -> None:
        """Print the rows that still wait."""
        if not self._widths:
            columns = zip(*self._waiting, strict=True)
            self._widths = [max(map(len, column)) for column in columns]
            for row in self._waiting:
                self._print_row(row)

    def _print_row(self, row: Sequence[str]) -> None:
        cells = (cell.ljust(width) for cell, width in zip(row, self._widths, strict=True))
        self._print("  ".join(cells).rstrip())
