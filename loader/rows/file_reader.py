"""A report's file, read in slices: memory does not grow with it."""

import gzip
import hashlib
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO

from loader.rows.errors import ReportError

STANDARD_INPUT = "-"

_SLICE = 2**20
_LONGEST_ROW = 2**16
_SWOLLEN = 200
"""Times its packed size; a report of nothing but zeros is some 30 times."""
_BRIEF = 2**21


class ChunkedFile:
    """A file on its way in; its digest is right once it was read."""

    def __init__(self, path: str, on_progress: Callable[[int], None]) -> None:
        self.path = path
        self.name = "standard input" if path == STANDARD_INPUT else _shown(Path(path).name)
        self._on_progress = on_progress
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The digest of what was read, uncompressed, in hex."""
        return self._digest.hexdigest()

    def parts(self) -> Iterator[bytes]:
        """The file in parts of whole lines, each line with its end.

        Raises ReportError where it can't be read, or a line has no end.
        """
        rest = b""
        lines = size = 0
        try:
            with _opened(self.path) as raw, _unpacked(raw, self.path) as file:
                while part := file.read(_SLICE):
                    self._digest.update(part)
                    whole, end, rest = (rest + part).rpartition(b"\n")
                    lines += whole.count(b"\n") + len(end)
                    if end:
                        yield whole + end
                    check_row_length(self.path, lines + 1, rest)
                    size += len(part)
                    if size > max(_BRIEF, _SWOLLEN * raw.tell() if file is not raw else size):
                        raise ReportError(
                            f"{self.path}: cannot be read: it decompresses to more than {_SWOLLEN} "
                            "times its size: expected a report"
                        )
                    self._on_progress(raw.tell() if raw.seekable() else size)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ReportError(f"{self.path}: cannot be read: {reason}") from error
        if rest:
            yield rest + b"\n"


def check_row_length(path: str, line: int, raw: bytes) -> None:
    """Raises ReportError where a line is longer than any row."""
    if len(raw) > _LONGEST_ROW:
        raise ReportError(
            f"{path}:{line}: row: over {_LONGEST_ROW} bytes: expected lines with an end"
        )


def _shown(name: str) -> str:
    """The name of a file in characters that every database and terminal takes."""
    return os.fsencode(name).decode("utf-8", "replace")


def _opened(path: str) -> AbstractContextManager[IO[bytes]]:
    if path == STANDARD_INPUT:
        return nullcontext(sys.stdin.buffer)
    return Path(path).open("rb")


def _unpacked(
    raw: IO[bytes], path: str
) -> AbstractContextManager[IO[bytes]] | AbstractContextManager[gzip.GzipFile]:
    return gzip.open(raw) if path.endswith(".gz") else nullcontext(raw)
