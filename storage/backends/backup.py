"""A whole database into a file, and back into an empty one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol


class BackupDriver(Protocol):
    """A database that can be copied. Every call raises a StorageError where it fails."""

    async def backup(self, file: Path) -> None:
        """Writes all that is committed into a new file, readable by its owner alone."""

    async def restore(self, file: Path) -> None:
        """Reads a backup into a database that must be empty, or not there yet."""


def next_counter(changes: int) -> int:
    """What `access` goes on counting from after a restore: more than it can have come to."""
    return max(changes, int(time.time())) + 1


@contextmanager
def temporary_file(file: Path) -> Iterator[Path]:
    """A file to write to, which takes its name once it is whole; nothing remains of a part."""
    unfinished = file.with_name(f".{file.name}.part")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    try:
        yield unfinished
        # Unlike a rename, a link does not replace what is there.
        file.hardlink_to(unfinished)
    finally:
        unfinished.unlink(missing_ok=True)
