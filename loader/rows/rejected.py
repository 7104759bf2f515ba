"""Writing the rejected rows of a report to a file that can be corrected and loaded again."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Self

from files.creating import current_umask, draft_file
from files.regular import open_regular
from loader.rows.errors import ReportError, RowError
from loader.rows.file_reader import CHUNK_BYTES, STANDARD_INPUT, ArchiveMember
from loader.rows.header import REASON_COLUMN, Header
from loader.rows.sorted_rows import SortedRows
from loader.rows.spool import Spool

_REASON = rb'"?line ([0-9]+): '


class RejectedRows:
    """Rejected rows, each with its reason in a last column; discarded unless `save` is called.

    They may be added in any order, since meters that share a report are read one after the other.
    """

    def __init__(self, report: str) -> None:
        self.path = _path_beside(report)
        self._report = report
        self._draft: IO[bytes] | None = None
        self.size = 0
        """The bytes of the rows so far."""
        self._last_line = 0
        self._is_sorted = True
        self._is_prepared = False
        self._heading_size = 0
        self._reason = re.compile(_REASON)
        """The beginning of the last column."""
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    @property
    def has_rows(self) -> bool:
        """Whether there is any row."""
        return self.size > 0

    def add(self, errors: list[RowError], raw: bytes, header: Header) -> None:
        """Add a row as the report has it, without the reason of an earlier rejection."""
        reason = "; ".join(
            f"line {error.line}: {error.column}: expected {error.expected}" for error in errors
        )
        delimiter = header.delimiter.encode()
        self._reason = re.compile(re.escape(delimiter) + _REASON)
        row = raw.rstrip(b"\r")
        if earlier := self._reason.search(row):
            row = row[: earlier.start()]
        with self._translate_errors():
            if self._draft is None:
                self._draft = self._files.enter_context(draft_file(self.path))
                heading = header.format_line([*header.names, REASON_COLUMN])
                self._draft.write(header.above + heading)
                self._heading_size = self._draft.tell()
            self.size += self._draft.write(row + delimiter + header.format_line([reason]))
        self._is_sorted = self._is_sorted and self._last_line < errors[0].line
        self._last_line = errors[0].line
        self._is_prepared = False

    def shorten(self, size: int) -> None:
        """Remove the rows that were added after there were `size` bytes of them."""
        if self._draft is not None:
            with self._translate_errors():
                self._draft.seek(self._heading_size + size)
                self._draft.truncate()
            self.size = size

    def prepare(self) -> None:
        """Write all to the disk in the order of the lines, so that only a rename is left to do.

        Raises ReportError if another file is at `path`.
        """
        if self._draft is None or not self.has_rows:
            return
        with self._translate_errors():
            if not self._is_sorted:
                self._draft = self._sorted(self._draft)
            self._draft.flush()
            os.fchmod(self._draft.fileno(), 0o666 & ~current_umask())
            os.fsync(self._draft.fileno())
            if os.path.lexists(self.path) and not self._is_same():
                raise ReportError(
                    f"{self.path}: contains other rejected rows: load or move the file first"
                )
        self._is_prepared = True

    def save(self) -> None:
        """Move the file to `path`, once the import is committed; raise ReportError if that fails.

        It is best prepared before.
        """
        if self._draft is None or not self.has_rows:
            return
        if not self._is_prepared:
            self.prepare()
        with self._translate_errors():
            Path(self._draft.name).replace(self.path)

    def _sorted(self, draft: IO[bytes]) -> IO[bytes]:
        """Return another draft with the same rows in the order of the lines."""
        draft.seek(0)
        with closing(Spool(self._report)) as spool:
            rows = SortedRows(spool)
            result = self._files.enter_context(draft_file(self.path))
            result.write(draft.read(self._heading_size))
            line = 0
            for row in draft:
                # Without a reason, it continues the row above.
                if reason := self._reason.search(row):
                    line = int(reason[1])
                rows.add([f"{line:020}"], [row.removesuffix(b"\n")], [line])
            for _, chunks in rows.take():
                result.writelines(content for content, _ in chunks)
        return result

    def _is_same(self) -> bool:
        """Return whether the file at `path` has the same content."""
        assert self._draft is not None
        with open_regular(self.path, follow=False) as other:
            self._draft.seek(0)
            while chunk := self._draft.read(CHUNK_BYTES):
                if other.read(len(chunk)) != chunk:
                    return False
            return not other.read(1)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ReportError(f"{self.path}: cannot be written: {error.strerror}") from error


def _path_beside(report: str) -> Path:
    """Return the path for the rejected rows of a report, beside it or the archive that it is in."""
    name = "stdin" if report == STANDARD_INPUT else report.removesuffix(".gz")
    if isinstance(report, ArchiveMember):
        name = f"{report.archive.removesuffix('.zip')}.{report.member.replace('/', '_')}"
    return Path(name.removesuffix(".csv") + ".rejected.csv")


def save_all(files: Iterable[RejectedRows]) -> None:
    """Put the files of imports that are committed in place, all of those that can be.

    Raises ReportError if some can't.
    """
    failures = []
    for rejected in files:
        try:
            rejected.save()
        except ReportError as error:
            failures.append(str(error))
    if failures:
        raise ReportError(
            f"{'; '.join(failures)}; the reports were imported: load them again, which does no"
            " harm, to get the rejected rows"
        )
