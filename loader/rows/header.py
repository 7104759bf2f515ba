"""The header of a report, which names its columns."""

import csv
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from loader.rows.errors import RowError

REASON_COLUMN = "Rejected because"
"""The additional column of a file of rejected rows."""

_REASON = re.compile("line [0-9]+: ")


class RowDialect(NamedTuple):
    """How the rows of a format are written."""

    delimiter: str
    decimal: str


@dataclass(frozen=True, slots=True)
class Header:
    """The column names, without the reason's, and how the lines are written."""

    names: tuple[str, ...]
    delimiter: str
    encoding: str
    has_reasons: bool = False
    own: tuple[int, ...] = ()
    """The columns of the format, if another table may stand beside, longer or shorter."""
    width: int = 0
    """How many fields the rows of the file have, if these are others."""
    meter: str | None = None
    """The meter of all rows, if the heading or a line above it names it."""
    above: bytes = b""
    """The line above that names it, with its end."""

    def format_line(self, fields: Sequence[str]) -> bytes:
        """Return a line of the report with these fields."""
        line = io.StringIO()
        csv.writer(line, delimiter=self.delimiter, lineterminator="\n").writerow(fields)
        return line.getvalue().encode(self.encoding, "replace")

    def label(self, position: int) -> str:
        """Return how messages name the column at a position, from 0."""
        return self.names[position] or f"column {position + 1}"

    def split(self, number: int, raw: bytes) -> list[str] | RowError | None:
        """Return the fields of the row in a line, or its error; None for an empty line."""
        text = raw.decode(self.encoding, "replace").rstrip("\r")
        if not text.strip():
            return None
        if b"\0" in raw or "\ufffd" in text:
            return RowError(number, "row", text, f"{self.encoding} without NUL bytes")
        if '"' in text or "\r" in text:
            quoted = self._quoted(text)
            if quoted is None:
                return RowError(number, "row", text, "fields whose quotes are closed")
            fields = quoted
            if '="' in text:
                fields = [*map(_unwrapped, fields)]
        else:
            fields = text.split(self.delimiter)
        if self.has_reasons or len(fields) != len(self.names):
            if not any(map(str.strip, fields)):
                return None
            found = self._trimmed(fields)
            if found is None:
                expected = (
                    f"{self.width or len(self.names)} fields, separated by {self.delimiter!a}"
                )
                return RowError(number, "row", f"{len(fields)} fields", expected)
            fields = found
        fields = [field.strip() for field in fields]
        return fields if fields[0] or any(fields) else None

    def _quoted(self, text: str) -> list[str] | None:
        """Return the fields of a line with quotes; None if these are wrong."""
        for line in (text, _without_blanks(text, self.delimiter)):
            with suppress(csv.Error):
                (fields,) = csv.reader(
                    [line], delimiter=self.delimiter, skipinitialspace=True, strict=True
                )
                return fields
        return None

    def _trimmed(self, fields: list[str]) -> list[str] | None:
        """Return as many fields as there are columns; None if too many are filled or too few."""
        count = len(self.names)
        more = 0
        if self.has_reasons and len(fields) > 1:
            if _REASON.match(fields[-1]):
                fields = fields[:-1]
            else:
                more = 1  # a reason that somebody has changed
        if len(fields) < count:
            is_cut = any(fields[at] for at in self.own if at < len(fields))
            is_whole = self.own and (self.own[-1] < len(fields) or not is_cut)
            is_whole = is_whole or not any(self.names[len(fields) :])
            return fields + [""] * (count - len(fields)) if is_whole else None
        filled = [field for field in fields[count:] if field.strip()]
        return fields[:count] if len(filled) <= more else None


def read_header(raw: bytes, delimiter: str, encoding: str) -> Header:
    """Parse a line as a heading; a line that can't be parsed has no names."""
    decoding = "utf-8-sig" if encoding == "utf-8" else encoding
    text = raw.decode(decoding, "replace").rstrip("\r")
    try:
        fields = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        fields = []
    names = tuple(_unwrapped(name).strip() for name in fields)
    has_reasons = names[-1:] == (REASON_COLUMN,)
    return Header(names[:-1] if has_reasons else names, delimiter, encoding, has_reasons)


def _without_blanks(text: str, delimiter: str) -> str:
    """Return a line without the blanks that stand between a closing quote and the delimiter."""
    end = f"({re.escape(delimiter)}|$)"
    blanks = "[ \t]*".replace(delimiter, "")
    any_field = rf'{blanks}("(?:[^"]|"")*+"){blanks}{end}|[^{re.escape(delimiter)}]*{end}'
    return re.sub(any_field, lambda found: f"{found[1]}{found[2]}" if found[1] else found[0], text)


def _unwrapped(field: str) -> str:
    """Return the text of a field that spreadsheets are made to take for text, as in `="1"`."""
    text = field.strip()
    return text[2:-1] if text.startswith('="') and text[2:].endswith('"') else field
