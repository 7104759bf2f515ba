"""Backups of a whole database into a file, restored into an empty place."""

import secrets
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


def new_state() -> tuple[str, int]:
    """Return a random text and the corrections after a restore, which differ from all before it.

    Since the backup, the database may have had other readings under the numbers that follow.
    """
    return secrets.token_hex(16), secrets.randbelow(10**12)
