"""The login throttle: limits failed logins by user and by address against password guessing."""

from aiohttp import web

from server.security.rate_limits import FixedWindow
from server.transport.client_address import rate_limit_key

_MAX_KEYS = 10_000
_ADDRESS_FACTOR = 10
"""How many times the limit of a user an address has: several users may share it."""

_MAX_NAME_LENGTH = 65
"""Longer than any user's; names with an equal beginning of this length count as one."""


class LoginThrottle:
    """Attempts to log in, by user and by address, in this process."""

    def __init__(self, limit: int, window: float) -> None:
        self._users = FixedWindow(limit, window, _MAX_KEYS)
        self._addresses = FixedWindow(limit * _ADDRESS_FACTOR, window, _MAX_KEYS)

    def wait(self, user: str, address: str | None) -> float:
        """Return the seconds until a user may try from an address, 0 if that is now."""
        return max(self._users.wait(_name(user)), self._addresses.wait(_network(address)))

    def begin(self, user: str, address: str | None) -> None:
        """Count an attempt before its outcome is known: concurrent ones count as well."""
        self._users.use(_name(user))
        self._addresses.use(_network(address))

    def succeed(self, user: str, address: str | None) -> None:
        """Note that the login succeeded, which resets the user's failures."""
        self._users.reset(_name(user))
        self._addresses.release(_network(address))

    def cancel(self, user: str, address: str | None) -> None:
        """Take back an attempt whose password was not checked."""
        self._users.release(_name(user))
        self._addresses.release(_network(address))


LOGIN_THROTTLE = web.AppKey("login_throttle", LoginThrottle)


def _name(user: str) -> str:
    return user[:_MAX_NAME_LENGTH]


def _network(address: str | None) -> str:
    return rate_limit_key(address or "")
