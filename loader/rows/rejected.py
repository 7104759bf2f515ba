"""Writing the rejected rows of a report to a file that can be corrected and loaded again."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

from loader.rows.errors import ReportError, RowError
from loader.rows.file_reader import STANDARD_INPUT
from loader.rows.header import REASON_COLUMN, Header

_EARLIER_REASON = rb'"?line [0-9]+: .*'


class RejectedRows:
    """Rejected rows, each with its reason in a last column; discarded unless `save` is called."""

    def __init__(self, report: str) -> None:
        name = "stdin" if report == STANDARD_INPUT else report.removesuffix(".gz")
        self.path = Path(name.removesuffix(".csv") + ".rejected.csv")
        self._draft: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._draft is not None:
            with suppress(OSError):
                self._draft.close()
            with suppress(OSError):
                Path(self._draft.name).unlink()

    @property
    def has_rows(self) -> bool:
        """Whether any row was added."""
        return self._draft is not None

    def add(self, errors: list[RowError], raw: bytes, header: Header) -> None:
        """Add a row as the report has it, without the reason of an earlier rejection."""
        reason = "; ".join(
            f"line {error.line}: {error.column}: expected {error.expected}" for error in errors
        )
        delimiter = header.delimiter.encode()
        row = re.sub(
            re.escape(delimiter) + _EARLIER_REASON, b"", raw.rstrip(b"\r"), flags=re.DOTALL
        )
        with self._translate_errors():
            if self._draft is None:
                self._draft = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed on exit
                    dir=self.path.parent, prefix=f".{self.path.name}.", delete=False
                )
                self._draft.write(header.format_line([*header.names, REASON_COLUMN]))
            self._draft.write(row + delimiter + header.format_line([reason]))

    def save(self) -> None:
        """Move the file to `path`; raise ReportError if another file is there."""
        if self._draft is None:
            return
        draft = Path(self._draft.name)
        with self._translate_errors():
            self._draft.flush()
            if self.path.exists() and self.path.read_bytes() != draft.read_bytes():
                raise ReportError(
                    f"{self.path}: contains other rejected rows: load or move the file first"
                )
            draft.chmod(0o666 & ~_umask())
            draft.replace(self.path)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ReportError(f"{self.path}: cannot be written: {error.strerror}") from error


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
