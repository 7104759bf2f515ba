"""ZIP archives: each report in one is a report of its own."""

import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple
from zipfile import ZipFile, ZipInfo

from files.regular import is_of_caller, open_regular
from loader.rows.errors import ReportError
from loader.rows.file_reader import ArchiveMember
from loader.sources.kinds import ZIP_MARKS

ARCHIVE_ENDING = ".zip"
MAX_MEMBERS = 1000
"""Files that an archive may have."""

REPORT_ENDINGS = ".csv", ".txt", ".xlsx", ".xml"
"""What the names of reports in an archive end with."""

_MAX_DIRECTORY_BYTES = 2**20
"""The size of an archive's list of its files, which is read whole."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Others can take any amount of memory to decompress."""
_ENCRYPTED = 1
_NESTED = ".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz", ".zst"
_UNREAD = (
    OSError,
    EOFError,
    zlib.error,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
"""What reading a damaged archive raises."""


class ArchiveContent(NamedTuple):
    """What is in an archive."""

    reports: Sequence[ArchiveMember]
    others: Sequence[str]
    """The names of files that are no reports."""


def as_member(path: str) -> ArchiveMember | None:
    """Return the path of a report in an archive if a text is one, and no file is called so."""
    archive, separator, member = path.partition(f"{ARCHIVE_ENDING}: ")
    if not separator or not member or os.path.lexists(path):
        return None
    return ArchiveMember(archive + ARCHIVE_ENDING, member)


def is_archive(path: str) -> bool:
    """Return whether a path is that of an archive, by the end of its name and its content."""
    if not path.lower().endswith(ARCHIVE_ENDING) or is_of_caller(path):
        return False
    try:
        with open_regular(path) as file:
            return file.read(4) in ZIP_MARKS
    except OSError:
        return False  # which is told when it is read


def archive_content(path: str) -> ArchiveContent:
    """Return what is in an archive; raise ReportError if it can't be read or has no report."""
    with unread_told(path), open_regular(path) as file:
        archive = open_archive(path, file)
        return content_of(path, archive)


def content_of(path: str, archive: ZipFile) -> ArchiveContent:
    """Return what is in an open archive; raise ReportError if it has no report."""
    reports, others = [], []
    for name in archive.namelist():
        if name.endswith("/") or _is_hidden(name):
            continue
        if name.lower().endswith(REPORT_ENDINGS):
            _require_plain_name(path, name)
            reports.append(ArchiveMember(path, name))
        else:
            others.append(name)
    if reports:
        return ArchiveContent(reports, others)
    nested = [name for name in others if name.lower().endswith(_NESTED)]
    if nested:
        raise ReportError(
            f"{path}: {nested[0]!r:.80} is packed itself: unpack {path}, and load what is in it"
        )
    found = f", there is {', '.join(f'{name!r:.80}' for name in others[:3])}" if others else ""
    raise ReportError(
        f"{path}: expected a report in the archive, a file whose name ends with"
        f" {', '.join(REPORT_ENDINGS[:-1])} or {REPORT_ENDINGS[-1]}{found}"
    )


def open_archive(path: str, file: IO[bytes]) -> ZipFile:
    """Open an archive within bounds; raise ReportError if it is beyond them."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    archive = ZipFile(_Bounded(path, file))
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise _too_many(path)
    if sum(info.compress_size for info in infos) > size:
        raise ReportError(f"{path}: cannot be read: files in the archive overlap")
    if len({info.filename for info in infos}) < len(infos):
        raise ReportError(f"{path}: cannot be read: files in the archive have the same name")
    return archive


@contextmanager
def unread_told(path: str) -> Iterator[None]:
    """Raise a ReportError instead of what reading a damaged archive raises."""
    try:
        yield
    except _UNREAD as error:
        reason = getattr(error, "strerror", None) or str(error) or "damaged archive"
        raise ReportError(f"{path}: cannot be read: {' '.join(reason.split())}") from error


def member_info(path: str, archive: ZipFile, name: str) -> ZipInfo:
    """Return the entry of a file in an archive; raise ReportError if it can't be read."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ReportError(f"{path}: cannot be read: no such file in the archive") from None
    if info.flag_bits & _ENCRYPTED:
        raise ReportError(f"{path}: needs a password: unpack the archive, and load what is in it")
    if info.compress_type not in _METHODS:
        raise ReportError(
            f"{path}: is compressed in a way that is not supported: unpack the archive, and load"
            " what is in it"
        )
    return info


def _is_hidden(name: str) -> bool:
    """Return whether a file is what systems and programs add."""
    *folders, last = name.split("/")
    return last.startswith((".", "[")) or not {"__MACOSX", "_rels"}.isdisjoint(folders)


def _require_plain_name(path: str, name: str) -> None:
    """Raise ReportError for a name that a path or a message can't have."""
    parts = name.replace("\\", "/").split("/")
    if not name.isprintable() or "" in parts or ".." in parts or len(name) > 200:
        raise ReportError(
            f"{path}: {name!r:.80}: expected the name of a file: unpack the archive, and load what"
            " is in it"
        )


def _too_many(path: str) -> ReportError:
    return ReportError(
        f"{path}: has over {MAX_MEMBERS} files: unpack the archive, and load the folder"
    )


class _Bounded:
    """A file of an archive whose list of files is not read if it is large."""

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable
        self.close = file.close

    def read(self, size: int = -1) -> bytes:
        """Read at most so many bytes as the list of an archive may have."""
        if size > _MAX_DIRECTORY_BYTES:
            raise _too_many(self._path)
        return self._file.read(_MAX_DIRECTORY_BYTES if size < 0 else size)
