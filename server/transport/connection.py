"""The protocol of a connection: limits what a client may send, and disconnects slow clients."""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol, cast

from aiohttp import StreamReader, hdrs, web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

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

_SLICE_BYTES = 2**14
"""Bytes that are parsed before the size of the head is looked at."""

_MAX_PATH = 1024
"""Characters of a path; looking for its route takes time that grows with their square."""

_SMALL_CHUNKS = 2**16
"""Bytes that a body may take beyond twice its size: each chunk costs time, however small it is."""

_MAX_QUEUED = 4
"""Requests of a connection that are parsed while an earlier one is answered."""

_RETRY_SECONDS = 5

_LINGER_SECONDS = 2.0
"""Seconds for which the rest of a body is discarded after the response."""


def _no_room() -> bytes:
    """Return the response to a connection that is one too many."""
    message = f"Too many connections, try again in {_RETRY_SECONDS} s"
    response = to_response(ApiError(503, message, headers={hdrs.RETRY_AFTER: str(_RETRY_SECONDS)}))
    body = response.body
    assert isinstance(body, bytes)
    fields = {**response.headers, **SECURITY_HEADERS, hdrs.CACHE_CONTROL: "no-store"}
    fields |= {hdrs.CONNECTION: "close", hdrs.CONTENT_LENGTH: str(len(body))}
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


_NO_ROOM = _no_room()

FinishedCallback = Callable[[web.BaseRequest, web.StreamResponse], None]
"""A function that is called when the last byte of a response was sent."""


class Admission(Protocol):
    """Decides which connections there may be, by the address of the client."""

    def enter(self, address: str) -> bool:
        """Count a connection, or return that it is one too many."""

    def leave(self, address: str) -> None:
        """Count a connection no longer."""


class _HeadTooLargeError(HttpProcessingError):
    """The request line and the headers, or the trailers, are larger than they may be together."""


class _PathTooLongError(HttpProcessingError):
    """No route has so long a path."""


def connection_factory(
    server: web.Server,
    limits: LimitSettings,
    admission: Admission,
    *,
    on_finished: FinishedCallback,
    on_dropped: Callable[[], None],
) -> Callable[[], "ConnectionGuard"]:
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
        "lingering_time": _LINGER_SECONDS,
    }
    return lambda: ConnectionGuard(
        server,
        loop=loop,
        admission=admission,
        max_head=int(limits.head),
        max_discarded=int(limits.body),
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


class ConnectionGuard(web.RequestHandler):
    """A connection whose client can neither send too much nor read too slowly.

    It is closed at once if there are too many connections. The head of a request is bounded as a
    whole, and so is what is left of a body when the response was sent.

    A client that reads too slowly for too long is disconnected. Time is counted while a response
    waits for the client, and each `slowest_client` bytes that the client reads buy it another
    second, up to `slow_after` seconds.
    """

    __slots__ = (
        *("_acked", "_check", "_checked_at", "_left", "_on_dropped", "_on_finished"),
        *("_slow_after", "_slowest_client"),
        *("_address", "_admission", "_body", "_content", "_discarded", "_ends", "_head"),
        *("_max_discarded", "_max_head", "_received", "_seen_requests", "_stopped", "_unparsed"),
    )

    def __init__(
        self,
        server: web.Server,
        *,
        admission: Admission,
        max_head: int,
        max_discarded: int,
        on_finished: FinishedCallback,
        on_dropped: Callable[[], None],
        slowest_client: int,
        slow_after: float,
        **options: Any,
    ) -> None:
        super().__init__(server, **options)
        self._max_msg_queue_size, self._msg_queue_resume_size = _MAX_QUEUED, _MAX_QUEUED // 2
        self._on_finished = on_finished
        self._on_dropped = on_dropped
        self._slowest_client = slowest_client
        self._slow_after = slow_after
        self._check: asyncio.TimerHandle | None = None
        self._left = self._checked_at = 0.0
        self._acked = 0
        self._admission = admission
        self._address: str | None = None
        self._stopped = False
        """Whether nothing more is parsed: whatever arrives is dropped."""
        self._max_head = max_head
        self._head = 0
        """Bytes of the head that has begun to arrive, or of the trailers."""
        self._seen_requests = 0
        """How many requests have begun."""
        self._ends = False
        """Whether the latest request is the last one, because it asks for an upgrade."""
        self._content: StreamReader = EMPTY_PAYLOAD
        """The body of the latest request."""
        self._received = 0
        """Bytes of it when it was last looked at."""
        self._body = 0
        """Bytes that it took on the wire, after the slice that it began in."""
        self._unparsed = b""
        """What has arrived and waits until earlier requests are answered."""
        self._max_discarded = max_discarded
        self._discarded: int | None = None
        """Bytes of the rest of a body, once its response was sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close the connection at once if it is one too many."""
        address = (transport.get_extra_info("peername") or ("-",))[0]
        if self._admission.enter(address):
            self._address = address
            super().connection_made(transport)
        else:
            self._stopped = True
            client = cast("asyncio.Transport", transport)  # uvloop's, with TLS, is no subclass
            client.write(_NO_ROOM)
            client.close()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, in slices, so that no head exceeds its limit by more than one."""
        if not self._unparsed and len(data) <= _SLICE_BYTES:
            self._feed(data)
            return
        arrived, self._unparsed = self._unparsed + data, b""
        if not data:  # reading goes on, first with what the parser itself has kept
            self._feed(data)
        for start in range(0, len(arrived), _SLICE_BYTES):
            if self._reading_paused or len(self._messages) >= self._max_msg_queue_size:
                self._unparsed = arrived[start:]
                return
            self._feed(arrived[start : start + _SLICE_BYTES])

    def _feed(self, data: bytes) -> None:
        """Parse a slice, and count what it belongs to."""
        if self._stopped:
            return
        super().data_received(data)
        if self._request_count == self._seen_requests or self._discarded is not None:
            self._count(len(data))
        if self._request_count != self._seen_requests:
            self._begin_requests(self._request_count - self._seen_requests)
        if self._ends and self._content.is_eof():
            # Of what follows, aiohttp would lose a part or parse all of it in one go.
            self._stopped = True
            self._message_tail = b""

    def _count(self, size: int) -> None:
        """Count what belongs to a head, to trailers, or to a body that nobody reads any more."""
        if self._content.total_bytes != self._received:
            self._head, self._received = 0, self._content.total_bytes
        elif self._request_count == self._seen_requests:
            self._count_head(size)
        if not self._content.is_eof():
            self._body += size
            if self._body > 2 * self._content.total_bytes + _SMALL_CHUNKS:
                self._stopped = True
                self._end_content()
        if self._discarded is not None:
            self._discarded += size
            if self._discarded > self._max_discarded:
                self._stopped = True
                self._end_content()
            if self._stopped:
                self.force_close()

    def _begin_requests(self, count: int) -> None:
        """Refuse those of the latest requests whose path is too long, and begin to count anew.

        Nobody upgrades here: the connection ends after a request that asks for it.
        """
        self._seen_requests = self._request_count
        self._head = self._received = self._body = 0
        self._discarded = None
        for index in range(-count, 0):
            message, content = self._messages[index]
            if isinstance(message, _ErrInfo):
                continue
            path = message.path
            if len(path) > _MAX_PATH and len(path.partition("?")[0]) > _MAX_PATH:
                self._messages[index] = _failed(_PathTooLongError())
            elif message.upgrade:
                self._ends = True
                self._messages[index] = message._replace(should_close=True), content
        self._content = self._messages[-1][1]

    def _count_head(self, size: int) -> None:
        self._head += size
        if self._head <= self._max_head:
            return
        self._stopped = True
        self._unparsed = b""
        self._end_content()
        self._messages.append(_failed(_HeadTooLargeError()))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end_content(self) -> None:
        """End a body early: for the handler it is malformed; aiohttp stops discarding it."""
        if self._content.is_eof():
            return
        if self._discarded is None:
            self._content.set_exception(web.RequestPayloadError())
        else:
            self._content.feed_eof()

    def log_access(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        time: float | None,  # noqa: ARG002 - aiohttp's clock is a coarse one
    ) -> None:
        """Notify the application that a response was sent; begin to discard the rest of a body."""
        if request.content.exception() is not None:
            request.content.feed_eof()  # there is nothing to discard
        if request.body_exists and not request.content.is_eof():
            self._discarded = 0
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
        if self._address is not None:
            self._admission.leave(self._address)
        if self._discarded is not None:
            self._end_content()
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
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        response.force_close()
        return response

    def _to_api_error(self, status: int, exc: BaseException | None) -> ApiError:
        if isinstance(exc, LineTooLong):
            limit = exc.args[1]
            if limit == self.max_line_size != self.max_field_size:
                return ApiError(414, f"request line: expected at most {limit} bytes")
            return ApiError(431, f"headers: expected at most {limit} bytes in each")
        if isinstance(exc, _HeadTooLargeError):
            return ApiError(431, f"head: expected at most {self._max_head} bytes in all")
        if isinstance(exc, _PathTooLongError):
            return ApiError(414, f"path: expected at most {_MAX_PATH} characters")
        if isinstance(exc, HttpProcessingError) and exc.message.startswith("Too many headers"):
            return ApiError(431, f"headers: expected at most {self.max_headers}")
        return ApiError(status, "malformed request" if status == 400 else "")


def _failed(error: HttpProcessingError) -> tuple[_ErrInfo, StreamReader]:
    """Return what aiohttp queues in place of a request that it could not parse."""
    return _ErrInfo(status=400, exc=error, message=error.message), EMPTY_PAYLOAD


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
