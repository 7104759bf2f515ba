"""The protocol of a connection, which limits requests and disconnects slow clients."""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong

from server.errors import ApiError, to_response
from server.transport.security_headers import SECURITY_HEADERS
from settings import LimitSettings

log = logging.getLogger("server")

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with which closing a socket resets its connection."""

_CHECKS = 8
"""How often a slow client is checked before it is disconnected."""

_BYTES_ACKED = struct.Struct("120xQ")
"""The position of `tcpi_bytes_acked` in the kernel's `tcp_info`."""

_TCP_INFO = getattr(socket, "TCP_INFO", None)


FinishedCallback = Callable[[web.BaseRequest, web.StreamResponse], None]
"""A function that is called when the last byte of a response was sent."""


def connection_factory(
    server: web.Server,
    limits: LimitSettings,
    *,
    on_finished: FinishedCallback,
    on_dropped: Callable[[], None],
) -> Callable[[], "SlowClientGuard"]:
    """Return the protocol factory for `loop.create_server`.

    `on_dropped` is called when a slow client is disconnected.
    """
    loop = asyncio.get_running_loop()
    options = {
        "max_line_size": int(limits.request_line),
        "max_field_size": int(limits.header),
        "max_headers": limits.headers,
        "auto_decompress": False,
        "keepalive_timeout": limits.request_time,
    }
    return lambda: SlowClientGuard(
        server,
        loop=loop,
        on_finished=on_finished,
        on_dropped=on_dropped,
        slowest_client=int(limits.slowest_client),
        slow_after=limits.slow_after,
        **options,
    )


def reset_connection(transport: asyncio.Transport) -> None:
    """Reset a connection. A regular close would look like a complete response to HTTP/1.0."""
    client = transport.get_extra_info("socket")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


class SlowClientGuard(web.RequestHandler):
    """A connection that is reset when its client reads too slowly for too long.

    Time is counted while a response waits for the client, and each `slowest_client` bytes that
    the client reads buy it another second, up to `slow_after` seconds.
    """

    __slots__ = (
        *("_acked", "_check", "_checked_at", "_left", "_on_dropped", "_on_finished"),
        *("_slow_after", "_slowest_client"),
    )

    def __init__(
        self,
        server: web.Server,
        *,
        on_finished: FinishedCallback,
        on_dropped: Callable[[], None],
        slowest_client: int,
        slow_after: float,
        **options: Any,
    ) -> None:
        super().__init__(server, **options)
        self._on_finished = on_finished
        self._on_dropped = on_dropped
        self._slowest_client = slowest_client
        self._slow_after = slow_after
        self._check: asyncio.TimerHandle | None = None
        self._left = self._checked_at = 0.0
        self._acked = 0

    def log_access(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        time: float | None,  # noqa: ARG002 - aiohttp's clock is a coarse one
    ) -> None:
        """Notify the application that a response was sent."""
        self._on_finished(request, response)

    def pause_writing(self) -> None:
        """Start timing the client: the send buffer is full."""
        super().pause_writing()
        if self._check is None and self.transport is not None:
            self._left = self._slow_after
            self._checked_at = self._loop.time()
            self._acked = _acked_bytes(self.transport)
            self._schedule_check()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop timing the client."""
        if self._check is not None:
            self._check.cancel()
        super().connection_lost(exc)

    def force_close(self) -> None:
        """Close the connection at shutdown; in the middle of a response, reset it."""
        transport = self.transport
        if transport is not None and self._request_in_progress and not transport.is_closing():
            reset_connection(transport)
        super().force_close()

    def _schedule_check(self) -> None:
        wait = min(self._left, self._slow_after / _CHECKS)
        self._check = self._loop.call_later(wait, self._check_client)

    def _check_client(self) -> None:
        self._check = None
        transport = self.transport
        if transport is None or not self.writing_paused:
            return
        now, acked = self._loop.time(), _acked_bytes(transport)
        credit = abs(acked - self._acked) / self._slowest_client
        self._left = min(self._left + self._checked_at - now + credit, self._slow_after)
        self._checked_at, self._acked = now, acked
        if self._left > 0:
            self._schedule_check()
            return
        log.warning(
            "%s reads too slowly and is disconnected (limits.slowest_client, limits.slow_after)",
            (self.peername or "-")[0],
        )
        self._on_dropped()
        reset_connection(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the error for a request that never reached the application, shaped like others."""
        super().handle_error(request, status, exc, message)
        response = to_response(self._to_api_error(status, exc))
        response.headers.update(SECURITY_HEADERS)
        response.force_close()
        return response

    def _to_api_error(self, status: int, exc: BaseException | None) -> ApiError:
        if isinstance(exc, LineTooLong):
            limit = exc.args[1]
            if limit == self.max_line_size != self.max_field_size:
                return ApiError(414, f"request line: expected at most {limit} bytes")
            return ApiError(431, f"headers: expected at most {limit} bytes in each")
        if isinstance(exc, HttpProcessingError) and exc.message.startswith("Too many headers"):
            return ApiError(431, f"headers: expected at most {self.max_headers}")
        return ApiError(status, "malformed request" if status == 400 else "")


def _acked_bytes(transport: asyncio.Transport) -> int:
    """Return how many bytes the other side has received.

    Without TCP_INFO, return a number that changes with the size of the send buffer.
    """
    if _TCP_INFO is not None:
        info = transport.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, _TCP_INFO, 2 * _BYTES_ACKED.size
        )
        if len(info) >= _BYTES_ACKED.size:
            acked: int = _BYTES_ACKED.unpack_from(info)[0]
            return acked
    return -transport.get_write_buffer_size()
