"""Backups of a whole database into a file, restored into an empty place."""

import time
from pathlib import Path
from typing import Protocol


class BackupDriver(Protocol):
    """Backs up and restores a database. Every call raises a StorageError if it fails."""

    async def backup(self, file: Path) -> None:
        """Write all that is committed into a new file that only its owner can read."""

    async def restore(self, file: Path) -> None:
        """Restore a backup into a database that must be empty or missing."""


def next_counter(changes: int) -> int:
    """Return the auth version after a restore: greater than any it can have had."""
    return max(changes, int(time.time())) + 1
