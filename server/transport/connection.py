"""A connection that has its limits: what it may send, and how slowly its client may read."""

import asyncio
import logging
import socket
import struct
from typing import Any

import aiohttp.web_server
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong

from server.errors import ApiError, to_response
from server.observability.counters import RequestCounters
from server.transport.security_headers import SECURITY_HEADERS
from settings import LimitSettings

log = logging.getLogger("server")

_RESET = struct.pack("ii", 1, 0)
"""Closes a socket by breaking its connection."""

_LOOKS = 8
"""How often a client that reads slowly is looked at before it is let go."""

_BYTES_ACKED = struct.Struct("120xQ")
"""Where the kernel's `tcp_info` says how many bytes the other side has got."""

_TCP_INFO = getattr(socket, "TCP_INFO", None)


def handler_options(limits: LimitSettings, tally: RequestCounters) -> dict[str, Any]:
    """What aiohttp is to make each connection with."""
    return {
        "max_line_size": int(limits.request_line),
        "max_field_size": int(limits.header),
        "max_headers": limits.headers,
        "auto_decompress": False,
        "keepalive_timeout": limits.request_time,
        "slowest_client": int(limits.slowest_client),
        "slow_after": limits.slow_after,
        "tally": tally,
    }


def reset_connection(transport: asyncio.Transport) -> None:
    """Breaks a connection; to HTTP/1.0 clients one that merely ends would end a whole answer."""
    client = transport.get_extra_info("socket")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


class SlowClientGuard(web.RequestHandler):
    """A connection that is broken off when its client takes too little for too long.

    Time is counted while an answer waits for the client, and what the client takes buys more of
    it: a second for each `slowest_client` bytes, up to `slow_after` seconds.
    """

    __slots__ = ("_left", "_look", "_looked", "_slow_after", "_slowest_client", "_taken", "_tally")

    def __init__(
        self,
        *args: Any,
        slowest_client: int = 1,
        slow_after: float = 60,
        tally: RequestCounters | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._tally = tally or RequestCounters()
        self._slowest_client = slowest_client
        self._slow_after = slow_after
        self._look: asyncio.TimerHandle | None = None
        self._left = self._looked = 0.0
        self._taken = 0

    def pause_writing(self) -> None:
        """An answer has to wait for the client."""
        super().pause_writing()
        if self._look is None and self.transport is not None:
            self._left = self._slow_after
            self._looked = self._loop.time()
            self._taken = _taken(self.transport)
            self._look_later()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection has ended."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        wait = min(self._left, self._slow_after / _LOOKS)
        self._look = self._loop.call_later(wait, self._look_at_client)

    def _look_at_client(self) -> None:
        self._look = None
        transport = self.transport
        if transport is None or not self.writing_paused:
            return
        now, taken = self._loop.time(), _taken(transport)
        bought = abs(taken - self._taken) / self._slowest_client
        self._left = min(self._left + self._looked - now + bought, self._slow_after)
        self._looked, self._taken = now, taken
        if self._left > 0:
            self._look_later()
            return
        log.warning(
            "%s reads too slowly and is let go (limits.slowest_client, limits.slow_after)",
            (self.peername or "-")[0],
        )
        self._tally.clients_let_go += 1
        reset_connection(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What never came to the application is refused in the same shape as the rest."""
        super().handle_error(request, status, exc, message)
        response = to_response(self._refused(status, exc))
        response.headers.update(SECURITY_HEADERS)
        response.force_close()
        return response

    def _refused(self, status: int, exc: BaseException | None) -> ApiError:
        if isinstance(exc, LineTooLong):
            limit = exc.args[1]
            if limit == self.max_line_size != self.max_field_size:
                return ApiError(414, f"request line: expected at most {limit} bytes")
            return ApiError(431, f"headers: expected at most {limit} bytes in each")
        if isinstance(exc, HttpProcessingError) and exc.message.startswith("Too many headers"):
            return ApiError(431, f"headers: expected at most {self.max_headers}")
        return ApiError(status, "malformed request" if status == 400 else "")


def _taken(transport: asyncio.Transport) -> int:
    """How many bytes the other side has got.

    Where the kernel doesn't tell, a number that changes with what we still have in our hands.
    """
    if _TCP_INFO is not None:
        info = transport.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, _TCP_INFO, 2 * _BYTES_ACKED.size
        )
        if len(info) >= _BYTES_ACKED.size:
            acked: int = _BYTES_ACKED.unpack_from(info)[0]
            return acked
    return -transport.get_write_buffer_size()


# aiohttp has no other place to name the kind of connection that a server makes.
aiohttp.web_server.RequestHandler = SlowClientGuard  # type: ignore[attr-defined]  # imported there, not shown
