"""Reading a report's file in chunks, so that memory does not grow with it."""

import codecs
import gzip
import hashlib
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO

from files.regular import is_of_caller, open_regular
from loader.rows.errors import ReportError

STANDARD_INPUT = "-"

CHUNK_BYTES = 2**20
_MAX_ROW_BYTES = 2**16
_MAX_COMPRESSION_RATIO = 200
"""Of a compressed report; one of nothing but zeros has a ratio of about 30."""
_UNCHECKED_BYTES = 2**21
"""The compression ratio is not checked up to this uncompressed size."""

_SAVE_AS_CSV = "open it in a spreadsheet, and save the sheet with the readings as CSV in UTF-8"
_DOWNLOAD_CSV = "download the readings as CSV"
_FOREIGN_FILES = {
    b"PK\x03\x04": f"an Excel workbook or a ZIP archive: unpack it, or {_SAVE_AS_CSV}",
    b"\xd0\xcf\x11\xe0": f"an Excel workbook: {_SAVE_AS_CSV}",
    b"\x1f\x8b": "a compressed file (gzip): end its name with .csv.gz",
    b"%PDF": f"a PDF document: {_DOWNLOAD_CSV}",
    b"<?xml": f"an XML document, such as Green Button: {_DOWNLOAD_CSV}",
    b"<!": f"an HTML or XML document: {_DOWNLOAD_CSV}",
    b"\xff\xfe": "text in UTF-16: save it in UTF-8",
    b"\xfe\xff": "text in UTF-16: save it in UTF-8",
}
"""What files that are no reports begin with, what they are, and what to do."""


class ChunkedFile:
    """A report's file, read once; `sha256` is complete after that."""

    def __init__(self, path: str, on_progress: Callable[[int], None]) -> None:
        self.path = path
        self.name = report_name(path)
        self._on_progress = on_progress
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The digest of the uncompressed content, in hex."""
        return self._digest.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in chunks of whole lines, each line with its end.

        Raises ReportError if the file can't be read, or a line has no end.
        """
        rest = b""
        lines = size = 0
        try:
            with _open(self.path) as raw, _decompress(raw, self.path) as file:
                while chunk := file.read(CHUNK_BYTES):
                    if not size:
                        self._refuse_foreign(chunk)
                    self._digest.update(chunk)
                    whole, end, rest = (rest + chunk).rpartition(b"\n")
                    lines += whole.count(b"\n") + len(end)
                    if end:
                        yield whole + end
                    check_row_length(self.path, lines + 1, rest)
                    size += len(chunk)
                    is_compressed = file is not raw
                    max_size = _MAX_COMPRESSION_RATIO * raw.tell() if is_compressed else size
                    if size > max(_UNCHECKED_BYTES, max_size):
                        raise ReportError(
                            f"{self.path}: cannot be read: it decompresses to more than "
                            f"{_MAX_COMPRESSION_RATIO} times its size: expected a report"
                        )
                    self._on_progress(raw.tell() if raw.seekable() else size)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ReportError(f"{self.path}: cannot be read: {reason}") from error
        if rest:
            yield rest + b"\n"

    def _refuse_foreign(self, beginning: bytes) -> None:
        """Raise ReportError if a file is one of another kind."""
        for mark, what in _FOREIGN_FILES.items():
            if beginning.removeprefix(codecs.BOM_UTF8).startswith(mark):
                raise ReportError(f"{self.path}: expected a report as CSV, this is {what}")


def check_row_length(path: str, line: int, raw: bytes) -> None:
    """Raise ReportError if a line is longer than any row can be."""
    if len(raw) > _MAX_ROW_BYTES:
        raise ReportError(
            f"{path}:{line}: row: over {_MAX_ROW_BYTES} bytes: expected lines with an end"
        )


def report_name(path: str) -> str:
    """Return a report's name in characters that every database and terminal accepts."""
    if path == STANDARD_INPUT:
        return "standard input"
    return os.fsencode(Path(path).name).decode("utf-8", "replace")


def can_be_read_again(path: str) -> bool:
    """Return whether the report can be read more than once, by any process."""
    return path != STANDARD_INPUT and not is_of_caller(path)


def _open(path: str) -> AbstractContextManager[IO[bytes]]:
    if path == STANDARD_INPUT:
        return nullcontext(sys.stdin.buffer)
    return open_regular(path)


def _decompress(
    raw: IO[bytes], path: str
) -> AbstractContextManager[IO[bytes]] | AbstractContextManager[gzip.GzipFile]:
    return gzip.open(raw) if path.endswith(".gz") else nullcontext(raw)
