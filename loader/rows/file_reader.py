"""What all that reads a report's file shares: its name, and the bounds of its lines."""

import os
from pathlib import Path
from typing import Self

from files.regular import is_of_caller
from loader.rows.errors import ReportError

STANDARD_INPUT = "-"

CHUNK_BYTES = 2**20
_MAX_ROW_BYTES = 2**16
_MAX_NAME = 255
"""Characters of a report's name in the database."""


def check_row_length(path: str, line: int, raw: bytes) -> None:
    """Raise ReportError if a line is longer than any row can be."""
    if len(raw) > _MAX_ROW_BYTES:
        raise ReportError(
            f"{path}:{line}: row: over {_MAX_ROW_BYTES} bytes: expected lines with an end"
        )


class ArchiveMember(str):
    """The path of a report in an archive: the archive's, a colon, and the name in it."""

    __slots__ = ("archive", "member")

    archive: str
    member: str

    def __new__(cls, archive: str, member: str) -> Self:
        """Join the path of an archive and the name of a file in it."""
        path = super().__new__(cls, f"{archive}: {member}")
        path.archive = archive
        path.member = member
        return path

    def __reduce__(self) -> tuple[type["ArchiveMember"], tuple[str, str]]:
        """Return what makes the path anew in another process."""
        return ArchiveMember, (self.archive, self.member)


def report_name(path: str) -> str:
    """Return a report's name in characters that every database and terminal accepts."""
    if isinstance(path, ArchiveMember):
        return f"{report_name(path.archive)}: {path.member}"[-_MAX_NAME:]
    if path == STANDARD_INPUT:
        return "standard input"
    return os.fsencode(Path(path).name).decode("utf-8", "replace")


def file_name(path: str) -> str:
    """Return the name of a report's file, without that of the archive that it may be in."""
    return report_name(path.member if isinstance(path, ArchiveMember) else path)


def containing_file(path: str) -> str:
    """Return the path of the file that has a report: its own, or that of the archive."""
    return path.archive if isinstance(path, ArchiveMember) else path


def can_be_read_again(path: str) -> bool:
    """Return whether the report can be read more than once, by any process."""
    return path != STANDARD_INPUT and not is_of_caller(path)
