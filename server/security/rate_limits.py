"""Rate limits: requests by user and address in a window, and concurrent long responses."""

import asyncio
import math
import time
from collections import Counter, OrderedDict

from aiohttp import web

from server.errors import RateLimited
from server.transport.client_address import rate_limit_key
from settings import LimitSettings

_MAX_KEYS = 100_000
"""Users, or addresses, that are counted separately within a window."""

_STREAM_WAIT = 5
"""Seconds after which a client should try a long response again."""


class FixedWindow:
    """How often each key was used in its window, which opens at the first use.

    Remembers the `max_keys` latest keys.
    """

    def __init__(self, limit: int, window: float, max_keys: int) -> None:
        self._limit = limit
        self._window = window
        self._max_keys = max_keys
        self._used: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Return the seconds until a key may be used again, 0 if it may be used now."""
        count, closes = self._used.get(key, (0, 0.0))
        return max(0.0, closes - time.monotonic()) if count >= self._limit else 0.0

    def use(self, key: str) -> None:
        """Count a use of a key."""
        now = time.monotonic()
        count, closes = self._used.pop(key, (0, 0.0))
        self._used[key] = (count + 1, closes) if closes > now else (1, now + self._window)
        if len(self._used) > self._max_keys:
            self._used.popitem(last=False)

    def release(self, key: str) -> None:
        """Take one use back."""
        if key in self._used:
            count, closes = self._used[key]
            self._used[key] = (max(0, count - 1), closes)

    def reset(self, key: str) -> None:
        """Remove the uses of a key."""
        self._used.pop(key, None)


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
        if now >= self._closes or len(counts) > _MAX_KEYS:
            self._users.clear()
            self._addresses.clear()
            self._closes = now + window
        count = counts[key] = counts.get(key, 0) + 1
        if count > limit:
            message = f"Too many requests {whose}, at most {limit} in {window:g} s"
            raise RateLimited(429, message, math.ceil(self._closes - now))


class StreamLimiter:
    """Counts long responses being sent: of each user, and in total."""

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._users: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[object]] = set()

    def enter(self, user: str) -> None:
        """Reserve a stream until the current task ends, once. Raise RateLimited."""
        task = asyncio.current_task()
        assert task is not None
        if task in self._tasks:
            return
        limit = self._limits.streams_per_user
        if self._users[user] >= limit:
            message = f"Too many long answers at a time, at most {limit} a user"
            raise RateLimited(429, message, _STREAM_WAIT)
        if self._users.total() >= self._limits.streams:
            raise RateLimited(503, "Too many long answers at a time", _STREAM_WAIT)
        self._users[user] += 1
        self._tasks.add(task)
        # A request has a task of its own, which also sends the response.
        task.add_done_callback(lambda task: self._leave(user, task))

    def _leave(self, user: str, task: "asyncio.Task[object]") -> None:
        self._tasks.discard(task)
        self._users[user] -= 1
        if not self._users[user]:
            del self._users[user]


REQUEST_LIMITER = web.AppKey("request_limiter", RequestLimiter)
STREAM_LIMITER = web.AppKey("stream_limiter", StreamLimiter)
