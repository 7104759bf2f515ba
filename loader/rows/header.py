"""The first line of a report, which names its columns."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

REASON_COLUMN = "Rejected because"
"""The heading of the column that a file of rejected rows has more than a report."""


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the columns, but for the reason's, and how the lines are written."""

    names: tuple[str, ...]
    delimiter: str
    encoding: str
    has_reasons: bool = False

    def line(self, fields: Sequence[str]) -> bytes:
        """A line of the report with these fields."""
        line = io.StringIO()
        csv.writer(line, delimiter=self.delimiter, lineterminator="\n").writerow(fields)
        return line.getvalue().encode(self.encoding, "replace")


def read_header(raw: bytes, delimiter: str, encoding: str) -> Header:
    """What a first line says if it is written so; of no names if it can't be read."""
    decoding = "utf-8-sig" if encoding == "utf-8" else encoding
    text = raw.decode(decoding, "replace").rstrip("\r")
    try:
        names = tuple(name.strip() for name in next(csv.reader([text], delimiter=delimiter), []))
    except csv.Error:
        names = ()
    has_reasons = names[-1:] == (REASON_COLUMN,)
    return Header(names[:-1] if has_reasons else names, delimiter, encoding, has_reasons)
