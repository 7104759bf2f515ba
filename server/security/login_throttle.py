"""Logins that failed lately, counted so that passwords can't be guessed by trying."""

import time
from collections import OrderedDict

from server.transport.rate_limit_key import rate_limit_key

_REMEMBERED = 10_000
_PER_ADDRESS = 10
"""One address may fail so many times as often as one user: several may stand behind it."""

_LONGEST_NAME = 65
"""Longer names are no user's, and all that begin alike count as one."""


class _Counts:
    """How often each key was taken in its window, which opens at the first time."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self._taken: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Seconds until a key may be taken again."""
        count, closes = self._taken.get(key, (0, 0.0))
        return max(0.0, closes - time.monotonic()) if count >= self._limit else 0.0

    def take(self, key: str) -> None:
        now = time.monotonic()
        count, closes = self._taken.pop(key, (0, 0.0))
        self._taken[key] = (count + 1, closes) if closes > now else (1, now + self._window)
        if len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)

    def give_back(self, key: str) -> None:
        if key in self._taken:
            count, closes = self._taken[key]
            self._taken[key] = (max(0, count - 1), closes)

    def forget(self, key: str) -> None:
        self._taken.pop(key, None)


class LoginThrottle:
    """LoginThrottle to log in, by user and by address, in this process."""

    def __init__(self, limit: int, window: float) -> None:
        self._users = _Counts(limit, window)
        self._addresses = _Counts(limit * _PER_ADDRESS, window)

    def wait(self, user: str, address: str | None) -> float:
        """Seconds until a user may try from an address; 0 where that is now."""
        return max(
            self._users.wait(user[:_LONGEST_NAME]),
            self._addresses.wait(rate_limit_key(address or "")),
        )

    def begin(self, user: str, address: str | None) -> None:
        """Counts an attempt before its outcome is known: those under way count as well."""
        self._users.take(user[:_LONGEST_NAME])
        self._addresses.take(rate_limit_key(address or ""))

    def succeeded(self, user: str, address: str | None) -> None:
        """The attempt was right: the user's earlier failures are forgotten."""
        self._users.forget(user[:_LONGEST_NAME])
        self._addresses.give_back(rate_limit_key(address or ""))

    def undone(self, user: str, address: str | None) -> None:
        """The attempt was not looked at."""
        self._users.give_back(user[:_LONGEST_NAME])
        self._addresses.give_back(rate_limit_key(address or ""))
