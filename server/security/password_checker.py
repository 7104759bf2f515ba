"""Password hashes in threads: few are computed at once, and a bounded number waits."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from storage.common.password_policy import password_fault
from storage.common.passwords import hash_password, verify_password

T = TypeVar("T")

MAX_CONCURRENT_CHECKS = 2
"""Checks that run at once: each takes a core and 64 MiB."""

MAX_WAITING = 16
"""Checks that may wait: further ones would wait too long."""


MAX_OF_A_USER = 4
"""Checks of a user that may run and wait, so that others' find places."""

MAX_OF_A_NETWORK = 8
"""The same of a network, from which several users may come."""


class BusyError(Exception):
    """Too many password checks are waiting."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose password is checked, and for which network."""

    user: str
    network: str


class PasswordChecker:
    """Hashes passwords and compares them with stored hashes, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_CHECKS, thread_name_prefix="hashing")
        self._users: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()

    async def matches(self, asker: Asker, password: str, stored: str) -> bool:
        """Return whether a password has the stored hash. Raise BusyError."""
        return await self._in_thread(asker, lambda: verify_password(password, stored))

    async def hash(self, asker: Asker, password: str) -> str:
        """Return the hash of a password. Raise BusyError."""
        return await self._in_thread(asker, lambda: hash_password(password))

    async def fault(self, asker: Asker, password: str) -> str | None:
        """Return what is wrong with a new password of a user, if anything. Raise BusyError."""
        return await self._in_thread(asker, lambda: password_fault(password, asker.user))

    async def _in_thread(self, asker: Asker, work: Callable[[], T]) -> T:
        if (
            self._users.total() >= MAX_CONCURRENT_CHECKS + MAX_WAITING
            or self._users[asker.user] >= MAX_OF_A_USER
            or self._networks[asker.network] >= MAX_OF_A_NETWORK
        ):
            raise BusyError
        self._users[asker.user] += 1
        self._networks[asker.network] += 1
        check = self._threads.submit(work)
        # A thread runs on when its client has left, and counts until it ends.
        loop = asyncio.get_running_loop()
        check.add_done_callback(lambda _: loop.call_soon_threadsafe(self._finish, asker))
        return await asyncio.wrap_future(check)

    def _finish(self, asker: Asker) -> None:
        for counts, key in ((self._users, asker.user), (self._networks, asker.network)):
            counts[key] -= 1
            if not counts[key]:
                del counts[key]

    async def close(self) -> None:
        """End the threads."""
        await asyncio.to_thread(self._threads.shutdown)


PASSWORD_CHECKER = web.AppKey("password_checker", PasswordChecker)
