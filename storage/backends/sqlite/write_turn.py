"""Turns of several processes that write one file."""

import fcntl


class WriteTurn:
    """A lock that processes of one command share, besides SQLite's own.

    Who waits for it gets it at once; who waits for SQLite's has to try again and again, and can't
    tell these processes from other programs.
    """

    def __init__(self, descriptor: int | None) -> None:
        """Lock an open file that the processes share; without one, there is nobody to wait for."""
        self._descriptor = descriptor
        self._is_held = False

    def take(self) -> bool:
        """Wait for the turn; return False if it is this process's already."""
        if self._descriptor is None or self._is_held:
            return False
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        self._is_held = True
        return True

    def end(self) -> None:
        """Let the next process write."""
        if self._descriptor is not None and self._is_held:
            self._is_held = False
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
