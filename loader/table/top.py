"""The first lines of a report, among which its heading is."""

import re
from collections.abc import Sequence
from functools import cached_property

from loader.rows.header import REASON_COLUMN, Header, read_header

_SEPARATOR = re.compile(rb'"?sep=[^\r\n]{1,3}', re.IGNORECASE)
_MAX_COLUMNS = 1000
"""Columns of a heading; lines with more are none."""


class TopOfFile:
    """The first lines of a report, without their ends, each split once in each way."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.lines = lines
        self._headers: dict[tuple[int, str, str], Header] = {}
        self._names: dict[tuple[int, str, str], frozenset[str]] = {}

    @cached_property
    def first(self) -> int:
        """The place, from 0, of the first line, not counting one that names the delimiter."""
        return int(
            bool(self.lines) and _SEPARATOR.fullmatch(self.lines[0].rstrip(b"\r")) is not None
        )

    @cached_property
    def with_reasons(self) -> Sequence[int]:
        """The places of lines that may be the heading of rejected rows."""
        reason = REASON_COLUMN.encode()
        return [at for at, line in enumerate(self.lines) if reason in line]

    def header(self, at: int, delimiter: str, encoding: str) -> Header:
        """Return the line at a place as a heading."""
        key = at, delimiter, encoding
        if key not in self._headers:
            header = read_header(self.lines[at], delimiter, encoding)
            if len(header.names) > _MAX_COLUMNS:
                header = Header((), delimiter, encoding)
            self._headers[key] = header
        return self._headers[key]

    def names(self, at: int, delimiter: str, encoding: str) -> frozenset[str]:
        """Return the names in the line at a place, as a heading."""
        key = at, delimiter, encoding
        if key not in self._names:
            self._names[key] = frozenset(self.header(*key).names)
        return self._names[key]
