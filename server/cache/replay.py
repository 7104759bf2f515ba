"""Replay of cached responses to requests whose head equals an earlier one, byte for byte.

Clients that poll send the same head each time. It is parsed once; after that, only what may have
changed is checked: the data, users and revocations, and the cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from multidict import CIMultiDict

from domain.access import Window
from server.transport.content_coding import Coding
from server.transport.security_headers import SECURITY_HEADERS
from storage.database import DataState

if TYPE_CHECKING:
    from aiohttp.typedefs import RawHeaders

_MAX_ENTRIES = 1024
_MAX_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Replay:
    """A response from the cache: its key, coding and headers, and of which data it is."""

    version: str
    windows: Sequence[Window]
    """The days that its client may see."""
    key: str
    coding: Coding
    headers: CIMultiDict[str]


class ReplayCache:
    """The latest request heads whose response was small and in the cache."""

    def __init__(self) -> None:
        self._replays: dict[tuple[str, RawHeaders], Replay] = {}

    def get(self, request: web.Request) -> Replay | None:
        """Return the replay for an equal request, or None."""
        if request.method != hdrs.METH_GET or request.body_exists:
            return None
        return self._replays.get((request.raw_path, request.raw_headers))

    def add(
        self,
        request: web.Request,
        state: DataState,
        key: str,
        coding: Coding,
        response: web.Response,
    ) -> None:
        """Store the response to a request: the key of its entry, and its headers."""
        size = sum(len(name) + len(value) for name, value in request.raw_headers)
        if request.method != hdrs.METH_GET or request.body_exists:
            return
        # A request with an id of its own does not come again.
        if size + len(request.raw_path) > _MAX_HEAD_BYTES or "X-Request-ID" in request.headers:
            return
        headers = CIMultiDict(response.headers)
        headers.update(SECURITY_HEADERS)
        head = (request.raw_path, request.raw_headers)
        self._replays[head] = Replay(state.version, state.windows, key, coding, headers)
        if len(self._replays) > _MAX_ENTRIES:
            del self._replays[next(iter(self._replays))]

    def clear(self) -> None:
        """Remove all entries."""
        self._replays.clear()


REPLAY_CACHE = web.AppKey("replay_cache", ReplayCache)
