"""The first lines of a file, unpacked and decoded by what its content shows."""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from loader.rows.header import RowDialect
from loader.rows.sorted_rows import NumberedRows
from loader.sources.content import ReportContent
from loader.sources.kinds import GZIP_MARK, ZIP_MARKS, kind_of
from loader.sources.source_file import SourceFile, SourceTable

MAX_BYTES = 2**20
MAX_LINES = 2000

UTF_8 = "utf-8"

_DIALECT = RowDialect(",", ".")
"""How the cells of a workbook are written here."""
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first lines of a file, or of a sheet of a workbook."""

    encoding: str
    """The encoding, as the key `encoding` has it: UTF-8 if the content shows another one."""
    lines: Sequence[str]
    is_whole: bool
    """Whether these are all lines."""
    sheet: str | None = None
    """The name of the sheet."""


def read_beginnings(path: str) -> Iterator[Beginning]:
    """Yield the first lines of a file, or of each sheet of a workbook; raise ReportError."""
    for table in SourceFile(path, lambda _: None).tables([_DIALECT]):
        ((_, rows),) = table.variants
        yield _beginning(table, rows)


def kind_of_file(path: str) -> str:
    """Return what a file is, for people; raise ReportError."""
    block = next(ReportContent(path, lambda _: None).blocks(), b"")
    if block.startswith(ZIP_MARKS):
        return "ZIP archive"
    if block.startswith(GZIP_MARK):
        return "gzip in gzip"
    kind = kind_of(path, block)
    if kind.is_xml:
        return "XML"
    if kind.is_nem12:
        return "NEM12"
    return (kind.encoding or _encoding_of(block)).upper()


def _beginning(table: SourceTable, rows: Iterable[NumberedRows]) -> Beginning:
    content = bytearray()
    line = 1
    is_whole = True
    for each in rows:
        if table.sheet is None:
            content += each.content
        else:
            for raw, number in zip(each.content.split(b"\n"), each.lines, strict=False):
                content += b"\n" * (number - line) + raw + b"\n"
                line = number + 1
        if len(content) > MAX_BYTES:
            is_whole = False
            break
    encoding = table.encoding or _encoding_of(content)
    lines = _LINE_END.split(content[:MAX_BYTES].decode(encoding, "replace"))
    lines.pop()  # what stands behind the last end of a line
    is_whole = is_whole and len(lines) <= MAX_LINES
    return Beginning(encoding, lines[:MAX_LINES], is_whole, table.sheet)


def _encoding_of(content: bytes | bytearray) -> str:
    """Return the encoding of text without a mark: the first one that it is valid in."""
    for encoding in (UTF_8, "cp1252"):
        try:
            codecs.getincrementaldecoder(encoding)().decode(content)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"
