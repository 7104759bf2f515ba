"""The header of a report, which names its columns."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from loader.rows.errors import RowError

REASON_COLUMN = "Rejected because"
"""The additional column of a file of rejected rows."""


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

    def format_line(self, fields: Sequence[str]) -> bytes:
        """Return a line of the report with these fields."""
        line = io.StringIO()
        csv.writer(line, delimiter=self.delimiter, lineterminator="\n").writerow(fields)
        return line.getvalue().encode(self.encoding, "replace")

    def split(self, number: int, raw: bytes) -> list[str] | RowError | None:
        """Return the fields of the row in a line, or its error; None for an empty line."""
        text = raw.decode(self.encoding, "replace").rstrip("\r")
        if not text.strip():
            return None
        if b"\0" in raw or "\ufffd" in text:
            return RowError(number, "row", text, f"{self.encoding} without NUL bytes")
        if '"' in text or "\r" in text:
            try:
                (fields,) = csv.reader([text], delimiter=self.delimiter, strict=True)
            except csv.Error:
                return RowError(number, "row", text, "fields whose quotes are closed")
        else:
            fields = text.split(self.delimiter)
        count = len(self.names)
        if not count <= len(fields) <= count + self.has_reasons:
            expected = f"{count} fields, separated by {self.delimiter!a}"
            return RowError(number, "row", f"{len(fields)} fields", expected)
        return [field.strip() for field in fields]


def read_header(raw: bytes, delimiter: str, encoding: str) -> Header:
    """Parse a report's first line; a line that can't be parsed has no names."""
    decoding = "utf-8-sig" if encoding == "utf-8" else encoding
    text = raw.decode(decoding, "replace").rstrip("\r")
    try:
        names = tuple(name.strip() for name in next(csv.reader([text], delimiter=delimiter), []))
    except csv.Error:
        names = ()
    has_reasons = names[-1:] == (REASON_COLUMN,)
    return Header(names[:-1] if has_reasons else names, delimiter, encoding, has_reasons)
