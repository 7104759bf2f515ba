"""Backups of SQLite, while others read and write."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from files.creating import new_file, private_mode
from files.regular import require_regular
from storage.backends.backup import next_counter
from storage.common.errors import Conflict, NotPrepared, Unreachable

_TABLES = "SELECT COUNT(*) FROM sqlite_master WHERE name IN ('readings', 'consumpdata')"
_COUNTS = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'access'"
_STATES = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'states'"
_NEW_STATES = (
    "UPDATE states SET version = lower(hex(randomblob(16))),"
    " corrections = abs(random() % 1000000000000)"
)


class SqliteBackup:
    """A database file, copied by SQLite itself."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def backup(self, file: Path) -> None:
        """Write all that is committed into a new file that only its owner can read."""
        await asyncio.to_thread(self._backup, file)

    async def restore(self, file: Path) -> None:
        """Restore a backup into a database that must be empty or missing."""
        await asyncio.to_thread(self._restore, file)

    def _backup(self, file: Path) -> None:
        try:
            with new_file(file) as unfinished:
                _copy(_existing(self._path), Path(unfinished.name))
        except FileExistsError:
            raise Conflict(f"{file} already exists") from None
        except (sqlite3.Error, OSError) as error:
            raise Unreachable(f"{self._path} cannot be copied to {file}: {error}") from error

    def _restore(self, file: Path) -> None:
        try:
            source = _existing(file)
            _require_no_log(self._path)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with new_file(self._path) as unfinished:
                _copy(source, Path(unfinished.name))
                _invalidate_tokens(Path(unfinished.name))
                _rename_state(Path(unfinished.name))
                os.fchmod(unfinished.fileno(), private_mode())
        except FileExistsError:
            raise Conflict(f"{self._path} already exists; restore into an empty location") from None
        except (sqlite3.Error, OSError) as error:
            raise Unreachable(f"{file} cannot be restored to {self._path}: {error}") from error


def _require_no_log(path: Path) -> None:
    """Raise Conflict if SQLite would write the log of a former file into the restored one."""
    for suffix in ("-wal", "-journal"):
        log = path.with_name(path.name + suffix)
        if log.exists():
            raise Conflict(f"{log} is left of another database: move it away, too")


def _existing(path: Path) -> str:
    """Return the read-only address of a file that holds readings."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    require_regular(path.stat(), path)
    with closing(sqlite3.connect(address, uri=True)) as connection:
        if not connection.execute(_TABLES).fetchone()[0]:
            raise NotPrepared(f"{path} holds no readings")
    return address


def _copy(source: str, target: Path) -> None:
    with (
        closing(sqlite3.connect(source, uri=True)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        # All pages in one step: the copy is of one moment, whoever writes meanwhile.
        reading.backup(writing)
        (fault,) = writing.execute("PRAGMA quick_check(1)").fetchone()
        if fault != "ok":
            raise sqlite3.DatabaseError(fault)


def _invalidate_tokens(target: Path) -> None:
    """Invalidate all tokens: some may have been revoked after the backup was made."""
    with closing(sqlite3.connect(target)) as writing, writing:
        if not writing.execute(_COUNTS).fetchone()[0]:
            return
        for (changes,) in writing.execute("SELECT changes FROM access").fetchall():
            number = (next_counter(changes),)
            writing.execute("UPDATE access SET changes = ?", number)
            writing.execute("UPDATE users SET generation = ?", number)


def _rename_state(target: Path) -> None:
    """Give each meter another version, so that no client keeps answers of another state."""
    with closing(sqlite3.connect(target)) as writing, writing:
        if writing.execute(_STATES).fetchone()[0]:
            writing.execute(_NEW_STATES)
