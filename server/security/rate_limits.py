"""Rate limits: requests by user and address in a window, and concurrent long responses."""

import asyncio
import math
import time
from collections import Counter

from aiohttp import web

from server.errors import RateLimited
from server.transport.client_address import rate_limit_key
from settings import LimitSettings

_MAX_KEYS = 100_000
"""Users, or addresses, that are counted separately within a window."""

_OTHERS = "\n"
"""Counts all further ones together, so that no count is forgotten; it is no name or address."""

_STREAM_WAIT = 5
"""Seconds after which a client should try a long response again."""


class RequestLimiter:
    """Counts the requests of each user and address, in one window for all."""

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._users: dict[str, int] = {}
        self._addresses: dict[str, int] = {}
        self._closes = 0.0

    def count_address(self, address: str) -> None:
        """Count a request from an address. Raise RateLimited if it is one too many."""
        limit = self._limits.requests_per_address
        self._count(self._addresses, rate_limit_key(address), limit, "from this address")

    def count_user(self, user: str) -> None:
        """Count a request of a user. Raise RateLimited if it is one too many."""
        self._count(self._users, user, self._limits.requests_per_user, "of this user")

    def _count(self, counts: dict[str, int], key: str, limit: int, whose: str) -> None:
        now = time.monotonic()
        window = self._limits.requests_window
        if now >= self._closes:
            self._users.clear()
            self._addresses.clear()
            self._closes = now + window
        if len(counts) >= _MAX_KEYS and key not in counts:
            key = _OTHERS
        count = counts[key] = counts.get(key, 0) + 1
        if count > limit:
            message = f"Too many requests {whose}, at most {limit} in {window:g} s"
            raise RateLimited(429, message, math.ceil(self._closes - now))


class StreamLimiter:
    """Counts long responses being sent: of each user, and in total."""

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._users: Counter[str] = Counter()

    def enter(self, user: str) -> None:
        """Reserve a stream until the current task ends. Raise RateLimited."""
        limit = self._limits.streams_per_user
        if self._users[user] >= limit:
            message = f"Too many long answers at a time, at most {limit} a user"
            raise RateLimited(429, message, _STREAM_WAIT)
        if self._users.total() >= self._limits.streams:
            raise RateLimited(503, "Too many long answers at a time", _STREAM_WAIT)
        task = asyncio.current_task()
        assert task is not None
        self._users[user] += 1
        # A request has a task of its own, which also sends the response.
        task.add_done_callback(lambda _: self._leave(user))

    def _leave(self, user: str) -> None:
        self._users[user] -= 1
        if not self._users[user]:
            del self._users[user]


REQUEST_LIMITER = web.AppKey("request_limiter", RequestLimiter)
STREAM_LIMITER = web.AppKey("stream_limiter", StreamLimiter)
