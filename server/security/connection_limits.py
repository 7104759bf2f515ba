"""How many connections there may be: in total, and from one address."""

import logging
import time
from collections import Counter
from collections.abc import Sequence

from aiohttp import web

from server.transport.client_address import is_among, rate_limit_key
from settings import LimitSettings, Network

log = logging.getLogger("server")

_WARNING_SECONDS = 60
"""Seconds in which one warning is logged for any number of refused connections."""


class ConnectionLimiter:
    """Counts open connections, and refuses those above the limits.

    The connections of a configured proxy carry the requests of many clients, so that only the total
    bounds them; the proxy itself has to bound those of each client.
    """

    def __init__(self, limits: LimitSettings, proxies: Sequence[Network]) -> None:
        self._limits = limits
        self._proxies = proxies
        self._open = 0
        self._of_addresses: Counter[str] = Counter()
        self.refused = 0
        """Connections above a limit, which were closed at once."""
        self._warned = -float(_WARNING_SECONDS)
        self._unreported = 0

    @property
    def open(self) -> int:
        """Open connections."""
        return self._open

    def enter(self, address: str) -> bool:
        """Count a connection from an address, or return that it is one too many."""
        key = self._key(address)
        limit = self._limits.connections
        if self._open >= limit:
            self._refuse(address, f"limits.connections: {limit} are open")
            return False
        limit = self._limits.connections_per_address
        if key and self._of_addresses[key] >= limit:
            self._refuse(address, f"limits.connections_per_address: it has {limit} open")
            return False
        self._open += 1
        self._of_addresses[key] += 1
        return True

    def leave(self, address: str) -> None:
        """Count a connection no longer."""
        key = self._key(address)
        self._open -= 1
        self._of_addresses[key] -= 1
        if not self._of_addresses[key]:
            del self._of_addresses[key]

    def _key(self, address: str) -> str:
        return "" if is_among(address, self._proxies) else rate_limit_key(address)

    def _refuse(self, address: str, reason: str) -> None:
        self.refused += 1
        self._unreported += 1
        now = time.monotonic()
        if now - self._warned >= _WARNING_SECONDS:
            log.warning(
                "%s is refused a connection (%s); %d refused since the last warning",
                *(address or "-", reason, self._unreported),
            )
            self._warned, self._unreported = now, 0


CONNECTION_LIMITER = web.AppKey("connection_limiter", ConnectionLimiter)
