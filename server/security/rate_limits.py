"""How much one client may ask for: requests in a while, and answers streamed at a time."""

import asyncio
import math
import time
from collections import Counter

from server.transport.rate_limit_key import rate_limit_key
from settings import LimitSettings

_KEYS = 100_000
"""Users, or addresses, that are told apart within a window."""

_WAIT = 5
"""Seconds after which there may be room for another long answer."""


class LimitError(Exception):
    """A client asks for more than it may, and had better wait some seconds."""

    def __init__(self, code: int, message: str, wait: int) -> None:
        super().__init__(f"{message}, try again in {wait} s")
        self.code = code
        self.wait = wait


class RequestLimiter:
    """RequestLimiter of each user and from each address in the window of time that is open."""

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._users: dict[str, int] = {}
        self._addresses: dict[str, int] = {}
        self._closes = 0.0

    def count_address(self, address: str) -> None:
        """Notes a request from an address; raises LimitError where it is one too many."""
        most = self._limits.requests_per_address
        self._count(self._addresses, rate_limit_key(address), most, "from this address")

    def count_user(self, user: str) -> None:
        """Notes a request of a user; raises LimitError where it is one too many."""
        self._count(self._users, user, self._limits.requests_per_user, "of this user")

    def _count(self, counts: dict[str, int], key: str, most: int, whose: str) -> None:
        now = time.monotonic()
        window = self._limits.requests_window
        if now >= self._closes or len(counts) > _KEYS:
            self._users.clear()
            self._addresses.clear()
            self._closes = now + window
        count = counts[key] = counts.get(key, 0) + 1
        if count > most:
            message = f"Too many requests {whose}, at most {most} in {window:g} s"
            raise LimitError(429, message, math.ceil(self._closes - now))


class StreamLimiter:
    """Answers that are being streamed, of each user and in all."""

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._users: Counter[str] = Counter()

    def enter(self, user: str) -> None:
        """Makes room for a long answer until its request is done; raises LimitError."""
        most = self._limits.streams_per_user
        if self._users[user] >= most:
            raise LimitError(429, f"Too many long answers at a time, at most {most} a user", _WAIT)
        if self._users.total() >= self._limits.streams:
            raise LimitError(503, "Too many long answers at a time", _WAIT)
        task = asyncio.current_task()
        assert task is not None
        self._users[user] += 1
        # A request has a task of its own, which sends the answer as well.
        task.add_done_callback(lambda _: self._leave(user))

    def _leave(self, user: str) -> None:
        self._users[user] -= 1
        if not self._users[user]:
            del self._users[user]
