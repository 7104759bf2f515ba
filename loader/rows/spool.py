"""A temporary file for rows that do not fit in memory."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from loader.rows.errors import ReportError


class Spool:
    """A private temporary file without a name, so that nothing remains however the process ends."""

    def __init__(self, report: str) -> None:
        self._report = report
        self._file: IO[bytes] | None = None
        self.size = 0
        """The bytes that were appended."""

    def append(self, data: bytes | bytearray) -> None:
        """Append data; raises ReportError if there is no room."""
        with self._translate_errors():
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see `close`
            written = 0
            while written < len(data):
                written += os.write(self._file.fileno(), memoryview(data)[written:])
        self.size += written

    def write(self, offset: int, data: bytes) -> None:
        """Replace the data at an offset, which was appended; raises ReportError if it fails."""
        assert self._file is not None, "something was appended"
        with self._translate_errors():
            written = 0
            while written < len(data):
                written += os.pwrite(self._file.fileno(), data[written:], offset + written)

    def read(self, offset: int, size: int) -> bytes:
        """Return the data at an offset; less than `size` bytes of it at the end."""
        assert self._file is not None, "something was appended"
        with self._translate_errors():
            return os.pread(self._file.fileno(), size, offset)

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ReportError(
                f"{self._report}: temporary file: {error.strerror or error}: set TMPDIR to a folder"
                " with room for the report"
            ) from error
