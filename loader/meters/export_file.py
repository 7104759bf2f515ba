"""The file that readings are exported to."""

import errno
import gzip
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from files.creating import new_file
from loader.rows.file_reader import STANDARD_INPUT

STANDARD_OUTPUT = STANDARD_INPUT
"""Stands for the standard output."""

_COMPRESSED = ".csv.gz"


def can_be_exported_to(file: str) -> bool:
    """Return whether a name says how a report is written."""
    return file == STANDARD_OUTPUT or file.endswith((".csv", _COMPRESSED))


@contextmanager
def export_file(file: str) -> Iterator[IO[bytes]]:
    """Yield what a report is written to: a new file that only its owner can read, once complete.

    Raises OSError if it cannot be made, and FileExistsError if anything has that name.
    """
    if file == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(file)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), file)
    with new_file(target) as plain:
        if not file.endswith(_COMPRESSED):
            yield plain
            return
        with gzip.GzipFile(target.stem, "wb", fileobj=plain, mtime=0) as packed:
            yield cast("IO[bytes]", packed)
