"""Requests that say the same as an earlier one, byte for byte.

Clients that ask again and again send the same head each time. What it asks for is found out once;
after that, what may have changed is looked at: the data, users and revocations, and the cache.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from multidict import CIMultiDict

from server.transport.content_coding import Coding
from server.transport.security_headers import SECURITY_HEADERS

if TYPE_CHECKING:
    from aiohttp.typedefs import RawHeaders

_REMEMBERED = 1024
_LONGEST = 4096
"""Bytes of a head that is remembered."""


@dataclass(frozen=True, slots=True)
class Replay:
    """How a request was answered from the cache, and with what version of the data."""

    version: str
    key: str
    coding: Coding
    headers: CIMultiDict[str]


class ReplayCache:
    """Heads that were answered with a brief answer from the cache, the latest new ones."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, RawHeaders], Replay] = {}

    def get(self, request: web.Request) -> Replay | None:
        """How the same request was answered."""
        if request.method != hdrs.METH_GET or request.body_exists:
            return None
        return self._known.get((request.raw_path, request.raw_headers))

    def add(
        self, request: web.Request, version: str, key: str, coding: Coding, response: web.Response
    ) -> None:
        """Notes how a request was answered: with the answer of this key and these headers."""
        size = sum(len(name) + len(value) for name, value in request.raw_headers)
        if request.method != hdrs.METH_GET or request.body_exists:
            return
        # One with an id of its own does not come again.
        if size + len(request.raw_path) > _LONGEST or "X-Request-ID" in request.headers:
            return
        headers = CIMultiDict(response.headers)
        headers.update(SECURITY_HEADERS)
        head = (request.raw_path, request.raw_headers)
        self._known[head] = Replay(version, key, coding, headers)
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]

    def clear(self) -> None:
        """Forgets them."""
        self._known.clear()
