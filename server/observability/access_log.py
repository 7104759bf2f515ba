"""The log: a line for each request, without query strings, tokens or passwords."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiohttp.http import HttpProcessingError
from aiohttp.web import BaseRequest, StreamResponse

from server.context import REQUEST_ID, USER
from server.transport.client_address import resolve_address, resolve_scheme
from settings import Network

FinishedRequest = tuple[BaseRequest, StreamResponse, float]
"""A request, its answer, and the seconds from one's beginning to the other's end."""


@dataclass(frozen=True, slots=True)
class AccessRecords:
    """What is said of requests in one message."""

    answered: Sequence[FinishedRequest]
    proxies: Sequence[Network]

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{request.method} {request.rel_url.raw_path} {response.status}"
                f" {response.body_length} bytes {seconds * 1000:.1f} ms"
                f" user={request.get(USER, '-')} from={resolve_address(request, self.proxies)}"
                f" id={request.get(REQUEST_ID, '-')}"
                for request, response, seconds in self.answered
            ]
        )

    def each(self) -> Iterator[dict[str, object]]:
        """The fields of each."""
        for request, response, seconds in self.answered:
            yield {
                "method": request.method,
                "path": request.rel_url.raw_path,
                "status": response.status,
                "bytes": response.body_length,
                "ms": round(seconds * 1000, 2),
                "user": request.get(USER),
                "client": resolve_address(request, self.proxies),
                "scheme": resolve_scheme(request, self.proxies),
                "request": request.get(REQUEST_ID),
            }


def _without_request(record: logging.LogRecord) -> bool:
    """Takes out of a line of aiohttp's what it quotes of a request that is not HTTP."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "malformed request: %s", (type(error).__name__,)
        record.exc_info = None
    return True


logging.getLogger("aiohttp.server").addFilter(_without_request)
