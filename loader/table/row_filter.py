"""Passing over lines of a report that are no rows of its meters, or not those that are read."""

import re
from typing import NamedTuple

from loader.rows.header import Header
from loader.rows.sorted_rows import NumberedRows, join_rows, split_rows
from settings import FormatSettings, any_of


class PassedOver(NamedTuple):
    """What of a file is not read."""

    ignored: int = 0
    """Lines that the format says are no readings."""
    others: int = 0
    """Rows that are none of those that are read."""
    columns: tuple[str, ...] = ()
    """Columns that the format does not name."""


class RowFilter:
    """Passes over lines as a format says, and counts them."""

    def __init__(self, settings: FormatSettings, header: Header) -> None:
        self.ignored = 0
        """Lines that the format says are no readings."""
        self.others = 0
        """Rows that are none of those that are read."""
        self._header = header
        self._ignored = any_of(settings.ignored_rows) if settings.ignored_rows else None
        self._conditions = [
            (column.position(header.names), any_of(patterns))
            for column, patterns in settings.rows.items()
        ]

    @classmethod
    def of(cls, settings: FormatSettings, header: Header) -> "RowFilter | None":
        """Return the filter of a format; None if all lines are rows."""
        is_needed = settings.ignored_rows or settings.rows or header.own
        return cls(settings, header) if is_needed else None

    def kept(self, rows: NumberedRows) -> NumberedRows | None:
        """Return those rows that are read; None if there is none."""
        raws = split_rows(rows.content)
        kept = [(raw, line) for raw, line in zip(raws, rows.lines, strict=True) if self._keeps(raw)]
        if len(kept) == len(raws):
            return rows
        if not kept:
            return None
        left, lines = zip(*kept, strict=True)
        return NumberedRows(join_rows(left), lines)

    def _keeps(self, raw: bytes) -> bool:
        if self._ignored is not None and self._is_ignored(self._ignored, raw):
            self.ignored += 1
            return False
        if not self._conditions and not self._header.own:
            return True
        fields = self._header.split(0, raw)
        if not isinstance(fields, list):
            return True  # its error is told with those of other rows
        is_empty = self._header.own and not any(fields[at] for at in self._header.own)
        if is_empty or not all(pattern.fullmatch(fields[at]) for at, pattern in self._conditions):
            self.others += 1
            return False
        return True

    def _is_ignored(self, pattern: re.Pattern[str], raw: bytes) -> bool:
        text = raw.decode(self._header.encoding, "replace").strip()
        short = text.rstrip(self._header.delimiter)
        return pattern.fullmatch(text) is not None or pattern.fullmatch(short) is not None
