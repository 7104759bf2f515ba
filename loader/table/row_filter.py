"""Passing over lines of a report that are no rows of its meters, or not those that are read."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from loader.rows.header import Header, read_header
from loader.rows.sorted_rows import NumberedRows, join_rows, split_rows
from loader.table.unfolded_rows import UnfoldedRows
from settings import FormatSettings, any_of


class PassedOver(NamedTuple):
    """What of a file is not read."""

    ignored: int = 0
    """Lines that the format says are no readings."""
    others: int = 0
    """Rows that are none of those that are read."""
    columns: tuple[str, ...] = ()
    """Columns that the format does not name, and channels that the source does not read."""


class RowFilter:
    """Passes over lines as a format says, and counts them; unfolds rows that hold several."""

    def __init__(
        self, settings: FormatSettings, header: Header, unfolding: UnfoldedRows | None = None
    ) -> None:
        """Take the header of the file, and what unfolds its rows."""
        self.ignored = 0
        """Lines that the format says are no readings."""
        self.others = 0
        """Rows that are none of those that are read."""
        self._header = header
        self._unfolding = unfolding
        self._filters = bool(settings.ignored_rows or settings.rows or header.own)
        self._ignored = any_of(settings.ignored_rows) if settings.ignored_rows else None
        self._conditions = [
            (column.position(header.names), any_of(patterns))
            for column, patterns in settings.rows.items()
        ]

    @property
    def is_needed(self) -> bool:
        """Whether any line of the file is something else than a row."""
        return self._filters or self._unfolding is not None

    def read(self, rows: NumberedRows) -> Iterator[NumberedRows]:
        """Yield the rows that are read."""
        kept = self._kept(rows) if self._filters else rows
        if kept is None:
            return
        if self._unfolding is None:
            yield kept
        else:
            yield from self._unfolding.unfolded(kept)

    def _kept(self, rows: NumberedRows) -> NumberedRows | None:
        """Return those rows that are not passed over; None if there is none."""
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
        delimiter = self._header.delimiter
        # Without the quotes, and the delimiters that fill up the line to the width of the table.
        fields = (
            read_header(raw, delimiter, self._header.encoding).names if '"' in text else (text,)
        )
        plain = delimiter.join(fields)
        texts = {text, text.rstrip(delimiter), plain, plain.rstrip(delimiter)}
        return any(map(pattern.fullmatch, texts))
