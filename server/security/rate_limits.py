"""Rate limits: requests by user and address in a window, and what is under way at a time."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from server.errors import RateLimited
from server.transport.client_address import rate_limit_key
from settings import LimitSettings

_MAX_KEYS = 100_000
"""Users, or addresses, that are counted separately within a window."""

_OTHERS = "\n"
"""Counts all further ones together, so that no count is forgotten; it is no name or address."""

_WAIT = 5
"""Seconds after which a client should try again what was one too many."""

_MAX_WAIT = 10.0
"""Seconds that a figure waits for others that scan as many readings as may be scanned."""


def when_task_ends(call: Callable[[], object]) -> None:
    """Call this when the current task ends: that of a request also sends the response."""
    task = asyncio.current_task()
    assert task is not None
    task.add_done_callback(lambda _: call())


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


class ConcurrencyLimiter:
    """Counts what is under way: for each user, and in total."""

    def __init__(self, what: str, per_user: int, in_all: int) -> None:
        self.refused = 0
        self._what = what
        self._per_user = per_user
        self._in_all = in_all
        self._users: Counter[str] = Counter()

    @property
    def active(self) -> int:
        """How many are under way."""
        return self._users.total()

    def enter(self, user: str, *, is_admitted: bool = False) -> None:
        """Count one until `leave`. Raise RateLimited if it is one too many, unless admitted."""
        if not is_admitted and self._users[user] >= self._per_user:
            raise self._refusal(429, f", at most {self._per_user} a user")
        if not is_admitted and self.active >= self._in_all:
            raise self._refusal(503)
        self._users[user] += 1

    def leave(self, user: str) -> None:
        """End an `enter`."""
        self._users[user] -= 1
        if not self._users[user]:
            del self._users[user]

    def _refusal(self, code: int, limit: str = "") -> RateLimited:
        self.refused += 1
        return RateLimited(code, f"Too many {self._what} at a time{limit}", _WAIT)


class StreamLimiter(ConcurrencyLimiter):
    """Counts long responses being sent."""

    def __init__(self, limits: LimitSettings) -> None:
        super().__init__("long answers", limits.streams_per_user, limits.streams)
        self._tasks: set[asyncio.Task[object]] = set()

    def stream(self, user: str) -> None:
        """Count a stream once, until the current task ends. Raise RateLimited."""
        task = asyncio.current_task()
        assert task is not None
        if task in self._tasks:
            return
        self.enter(user)
        self._tasks.add(task)
        when_task_ends(lambda: self._end(user, task))

    def _end(self, user: str, task: "asyncio.Task[object]") -> None:
        self._tasks.discard(task)
        self.leave(user)


class FigureLimiter(ConcurrencyLimiter):
    """Counts figures being worked out, and the readings that they scan together."""

    def __init__(self, limits: LimitSettings) -> None:
        super().__init__("figures", limits.figures_per_user, limits.figures)
        self._most_readings = limits.figure_readings
        self._most_of_a_user = limits.figure_readings // 2
        self._readings: Counter[str] = Counter()
        self._left = asyncio.Event()

    @contextmanager
    def figure(
        self, user: str, *, is_admitted: bool = False
    ) -> Iterator[Callable[[int], Awaitable[None]]]:
        """Count a figure; yield what it calls before it scans so many readings.

        That waits for other figures to end and, like this, raises RateLimited.
        """
        self.enter(user, is_admitted=is_admitted)
        scanned = 0

        async def scan(readings: int) -> None:
            nonlocal scanned
            await self._wait_for_room(user, readings)
            self._readings[user] += readings
            scanned += readings

        try:
            yield scan
        finally:
            self.leave(user)
            self._readings[user] -= scanned
            if not self._readings[user]:
                del self._readings[user]
            left, self._left = self._left, asyncio.Event()
            left.set()

    async def _wait_for_room(self, user: str, readings: int) -> None:
        try:
            async with asyncio.timeout(_MAX_WAIT):
                while not self._has_room(user, readings):
                    await self._left.wait()
        except TimeoutError:
            code = 429 if self._is_own_excess(user, readings) else 503
            raise self._refusal(code, " over so many readings") from None

    def _has_room(self, user: str, readings: int) -> bool:
        is_excess = self._is_beyond(self._readings.total(), readings, self._most_readings)
        return not (is_excess or self._is_own_excess(user, readings))

    def _is_own_excess(self, user: str, readings: int) -> bool:
        """Return whether it is the user's own figures that leave no room: half is for others."""
        return self._is_beyond(self._readings[user], readings, self._most_of_a_user)

    @staticmethod
    def _is_beyond(scanned: int, readings: int, most: int) -> bool:
        """Return whether there are too many readings; one figure alone may scan any number."""
        return bool(scanned and readings) and scanned + readings > most


REQUEST_LIMITER = web.AppKey("request_limiter", RequestLimiter)
STREAM_LIMITER = web.AppKey("stream_limiter", StreamLimiter)
FIGURE_LIMITER = web.AppKey("figure_limiter", FigureLimiter)
