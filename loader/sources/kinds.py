"""Telling by its content what a file is."""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

from loader.rows.errors import ReportError

GZIP_MARK = b"\x1f\x8b"
ZIP_MARKS = b"PK\x03\x04", b"PK\x05\x06"
"""What an archive begins with; the other one is that of an empty archive."""
UTF16_LE, UTF16_BE = "utf-16-le", "utf-16-be"

_BEGINNING = 4096
"""Bytes that tell what a file is."""
_TAR_MARK_AT = 257

_SAVE_AS_CSV = "open it in a spreadsheet, and save the sheet with the readings as CSV in UTF-8"
_DOWNLOAD = "download the readings as CSV"
_UNPACK = "unpack it, and load what is in it"
_MARKS = {
    b"\xd0\xcf\x11\xe0": f"an Excel workbook of before 2007 (.xls): {_SAVE_AS_CSV}",
    b"%PDF": f"a PDF document: {_DOWNLOAD}",
    b"\x89PNG": f"an image (PNG): {_DOWNLOAD}",
    b"\xff\xd8\xff": f"an image (JPEG): {_DOWNLOAD}",
    b"GIF8": f"an image (GIF): {_DOWNLOAD}",
    b"PAR1": "a Parquet file: export the readings as CSV",
    b"SQLite format 3\0": "an SQLite database: export the readings as CSV",
    b"{\\rtf": f"a text document (RTF): {_DOWNLOAD}",
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive: {_UNPACK}",
    b"Rar!\x1a\x07": f"a RAR archive: {_UNPACK}",
    b"BZh": f"a compressed file (bzip2): {_UNPACK}",
    b"\xfd7zXZ\0": f"a compressed file (xz): {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"a compressed file (zstd): {_UNPACK}",
    b"\xff\xfe\0\0": "text in UTF-32: save it in UTF-8",
    b"\0\0\xfe\xff": "text in UTF-32: save it in UTF-8",
}
"""What files that are no reports begin with, what they are, and what to do."""
_PACKAGES = {
    "xl/workbook.bin": f"a binary Excel workbook (.xlsb): {_SAVE_AS_CSV}",
    "word/document.xml": f"a Word document: {_DOWNLOAD}",
    "ppt/presentation.xml": f"a PowerPoint document: {_DOWNLOAD}",
    "content.xml": f"an OpenDocument file: {_SAVE_AS_CSV}",
}
"""Files in archives that are documents."""
_XML = re.compile(rb"\s*<(?:[!?]|[A-Za-z_][\w.:-]*[\s/>])")
_HTML = re.compile(rb"\s*<(?:!doctype\s+html|html|head|body|table|script|meta)\b", re.IGNORECASE)
_NEM12 = re.compile(rb'\s*(?:"?100"?\s*,\s*"?NEM12\b|200,[A-Za-z0-9]{10,11},(?:[^,\n]*,){7})')
_NEM13 = re.compile(rb'\s*"?100"?\s*,\s*"?NEM13\b')
_BINARY = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True, slots=True)
class FileKind:
    """What the beginning of a file tells of it."""

    encoding: str | None
    """UTF-8 or UTF-16 if it is in that for sure; None if a format says what it is in."""
    mark: bytes
    """The byte order mark, if there is one."""
    is_xml: bool = False
    is_nem12: bool = False
    ends_with_cr: bool = False
    """Whether lines end with CR alone."""


def kind_of(path: str, block: bytes) -> FileKind:
    """Return what a file is by its first block; raise ReportError if it can't be a report."""
    _refuse_marks(path, block)
    encoding, mark = _encoding(block)
    beginning = block[len(mark) : _BEGINNING + len(mark)]
    text = beginning
    if encoding is not None and encoding != "utf-8":
        text = beginning.decode(encoding, "ignore").encode()
    if _HTML.match(text):
        raise _not_a_report(path, f"an HTML page: {_DOWNLOAD}")
    if _NEM13.match(text):
        raise _not_a_report(
            path, "a NEM13 file, which has accumulated energy alone: download interval data, NEM12"
        )
    if _XML.match(text):
        return FileKind(encoding, mark, is_xml=True)
    line = re.split(rb"[\r\n]", text.lstrip(), maxsplit=1)[0]
    if _BINARY.search(line):
        raise _not_a_report(path, f"a binary file: {_DOWNLOAD}")
    cr, lf = ("\r".encode(encoding or "ascii"), "\n".encode(encoding or "ascii"))
    return FileKind(
        encoding,
        mark,
        is_nem12=_NEM12.match(text) is not None,
        ends_with_cr=cr in block and lf not in block,
    )


def refuse_package(path: str, names: Sequence[str]) -> None:
    """Raise ReportError if an archive with files of these names is a document."""
    for name, what in _PACKAGES.items():
        if name in names:
            raise _not_a_report(path, what)


def _refuse_marks(path: str, block: bytes) -> None:
    for mark, what in _MARKS.items():
        if block.removeprefix(codecs.BOM_UTF8).startswith(mark):
            raise _not_a_report(path, what)
    if block[_TAR_MARK_AT : _TAR_MARK_AT + 5] == b"ustar":
        raise _not_a_report(path, f"a tar archive: {_UNPACK}")


def _not_a_report(path: str, what: str) -> ReportError:
    return ReportError(f"{path}: expected a report, this is {what}")


def _encoding(block: bytes) -> tuple[str | None, bytes]:
    """Return the encoding as far as the content tells it, and the byte order mark."""
    if block.startswith(codecs.BOM_UTF8):
        return "utf-8", codecs.BOM_UTF8
    if block.startswith(codecs.BOM_UTF16_LE):
        return UTF16_LE, codecs.BOM_UTF16_LE
    if block.startswith(codecs.BOM_UTF16_BE):
        return UTF16_BE, codecs.BOM_UTF16_BE
    beginning = block[:_BEGINNING]
    evens, odds = beginning[::2].count(0), beginning[1::2].count(0)
    # Text in other encodings has no NUL at all; in UTF-16 each digit and delimiter has one.
    if (
        len(beginning) >= 4
        and max(evens, odds) * 10 >= len(beginning) // 2
        and not (evens and odds)
    ):
        return (UTF16_LE if odds else UTF16_BE), b""
    return None, b""
