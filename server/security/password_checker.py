"""Password hashes in threads: few are computed at once, and a bounded number waits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aiohttp import web

from storage.common.password_policy import password_fault
from storage.common.passwords import hash_password, verify_password

T = TypeVar("T")

MAX_CONCURRENT_CHECKS = 2
"""Checks that run at once: each takes a core and 64 MiB."""

MAX_WAITING = 16
"""Checks that may wait: further ones would wait too long."""


class BusyError(Exception):
    """Too many password checks are waiting."""


class PasswordChecker:
    """Hashes passwords and compares them with stored hashes, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_CHECKS, thread_name_prefix="hashing")
        self._waiting = 0

    async def matches(self, password: str, stored: str) -> bool:
        """Return whether a password has the stored hash. Raise BusyError."""
        return await self._in_thread(lambda: verify_password(password, stored))

    async def hash(self, password: str) -> str:
        """Return the hash of a password. Raise BusyError."""
        return await self._in_thread(lambda: hash_password(password))

    async def fault(self, password: str, user: str) -> str | None:
        """Return what is wrong with a new password of a user, if anything. Raise BusyError."""
        return await self._in_thread(lambda: password_fault(password, user))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_CONCURRENT_CHECKS + MAX_WAITING:
            raise BusyError
        self._waiting += 1
        check = self._threads.submit(work)
        # A thread runs on when its client has left, and counts until it ends.
        loop = asyncio.get_running_loop()
        check.add_done_callback(lambda _: loop.call_soon_threadsafe(self._finish))
        return await asyncio.wrap_future(check)

    def _finish(self) -> None:
        self._waiting -= 1

    async def close(self) -> None:
        """End the threads."""
        await asyncio.to_thread(self._threads.shutdown)


PASSWORD_CHECKER = web.AppKey("password_checker", PasswordChecker)
