"""The login throttle: limits failed logins by user and by address against password guessing."""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from server.transport.client_address import rate_limit_key

_MAX_KEYS = 10_000
"""Users, or addresses, that are counted separately within a window."""

_SHARED_COUNTS = 1024
"""Counts that all further ones share."""

_MAX_KNOWN_USERS = 10_000
"""Users, from the latest login back, whose networks are known."""

_MAX_KNOWN_NETWORKS = 8
"""Networks of a user, from the latest login back, that have counts of their own."""

_ADDRESS_FACTOR = 10
"""How many times the limit of a user an address has: several users may share it."""

_MAX_NAME_LENGTH = 65
"""Longer than any user's; names with an equal beginning of this length count as one."""


@dataclass(slots=True)
class _Count:
    value: int = 0


class AttemptCounter:
    """Attempts by key, in windows for all keys; each opens with the first attempt after the last.

    No attempt is forgotten before its window closes: once `_MAX_KEYS` keys have counts of their
    own, further keys share a fixed number of counts. So no key gets more than `limit` attempts in
    a window, however many keys there are.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self._counts: dict[str | int, _Count] = {}
        self._closes = 0.0
        self._secret = secrets.token_bytes(16)

    def wait(self, key: str) -> float:
        """Return the seconds until a key may be used again, 0 if it may be used now."""
        now = time.monotonic()
        if now >= self._closes:
            return 0.0
        count = self._counts.get(self._place(key))
        return self._closes - now if count and count.value >= self._limit else 0.0

    def begin(self, key: str) -> Callable[[], None]:
        """Count an attempt; return what takes it back."""
        now = time.monotonic()
        if now >= self._closes:
            self._counts = {}
            self._closes = now + self._window
        place = self._place(key)
        count = self._counts.setdefault(place, _Count())
        count.value += 1

        def release() -> None:
            count.value -= 1
            if not count.value and self._counts.get(place) is count:
                del self._counts[place]

        return release

    def reset(self, key: str) -> None:
        """Forget the attempts of a key that has a count of its own."""
        self._counts.pop(key, None)

    def _place(self, key: str) -> str | int:
        """Return where a key is counted: at one place throughout a window."""
        if key in self._counts:
            return key
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), key=self._secret).digest()
        shared = int.from_bytes(digest[:4], "big") % _SHARED_COUNTS
        is_full = len(self._counts) >= _MAX_KEYS
        return shared if is_full or shared in self._counts else key


class Attempt:
    """A login whose outcome is not known yet; it counts as a failure until it is."""

    def __init__(
        self, releases: tuple[Callable[[], None], ...], on_success: Callable[[], None]
    ) -> None:
        self._releases = releases
        self._on_success = on_success

    def succeed(self) -> None:
        """Note that the user has logged in."""
        self.cancel()
        self._on_success()

    def cancel(self) -> None:
        """Take back an attempt whose password was not checked."""
        for release in self._releases:
            release()


class LoginThrottle:
    """Attempts to log in, by user and by address, in this process.

    Networks from which a user has logged in have counts of their own: strangers, who share one,
    cannot lock the user out there.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._strangers = AttemptCounter(limit, window)
        self._known = AttemptCounter(limit, window)
        self._addresses = AttemptCounter(limit * _ADDRESS_FACTOR, window)
        self._networks: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()

    def wait(self, user: str, address: str | None) -> float:
        """Return the seconds until a user may try from an address, 0 if that is now."""
        network = rate_limit_key(address or "")
        counter, key = self._counter(_name(user), network)
        return max(counter.wait(key), self._addresses.wait(network))

    def begin(self, user: str, address: str | None) -> Attempt:
        """Count an attempt before its outcome is known: concurrent ones count as well."""
        name, network = _name(user), rate_limit_key(address or "")
        counter, key = self._counter(name, network)
        return Attempt(
            (counter.begin(key), self._addresses.begin(network)),
            lambda: self._remember(name, network),
        )

    def wait_of_address(self, address: str | None) -> float:
        """Return the seconds until an API key may be tried from an address, 0 if that is now."""
        return self._addresses.wait(rate_limit_key(address or ""))

    def begin_of_address(self, address: str | None) -> Attempt:
        """Count an attempt with an API key, which names no user before it is known."""
        release = self._addresses.begin(rate_limit_key(address or ""))
        return Attempt((release,), lambda: None)

    def _counter(self, name: str, network: str) -> tuple[AttemptCounter, str]:
        if network in self._networks.get(name, ()):
            return self._known, _pair(name, network)
        return self._strangers, name

    def _remember(self, name: str, network: str) -> None:
        """Give a network a count of its own, which has no failures."""
        self._known.reset(_pair(name, network))
        networks = self._networks.setdefault(name, OrderedDict())
        networks[network] = None
        networks.move_to_end(network)
        self._networks.move_to_end(name)
        if len(networks) > _MAX_KNOWN_NETWORKS:
            networks.popitem(last=False)
        if len(self._networks) > _MAX_KNOWN_USERS:
            self._networks.popitem(last=False)


LOGIN_THROTTLE = web.AppKey("login_throttle", LoginThrottle)


def _name(user: str) -> str:
    return user[:_MAX_NAME_LENGTH]


def _pair(name: str, network: str) -> str:
    return f"{network} {name}"
