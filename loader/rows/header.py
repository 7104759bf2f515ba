"""The header of a report, which names its columns."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

REASON_COLUMN = "Rejected because"
"""The additional column of a file of rejected rows."""


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
