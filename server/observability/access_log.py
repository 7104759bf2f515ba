"""The access log, without query strings, tokens and passwords, and the counting of responses."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from aiohttp import web
from aiohttp.http import HttpProcessingError

from server.context import CONTEXT
from server.observability.counters import RequestCounters
from server.transport.client_address import resolve_address, resolve_scheme
from settings import Network

log = logging.getLogger("access")


FinishedRequest = tuple[web.BaseRequest, web.StreamResponse, float]
"""A request, its response, and the seconds from the beginning of one to the end of the other."""


@dataclass(frozen=True, slots=True)
class AccessRecords:
    """Finished requests that are logged in one message."""

    finished: Sequence[FinishedRequest]
    proxies: Sequence[Network]

    def __str__(self) -> str:
        return "\n".join([self._line(*each) for each in self.finished])

    def _line(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> str:
        user, key, request_id = _identity(request)
        named = "" if key is None else f" key={json.dumps(key)}"
        return (
            f"{request.method} {request.rel_url.raw_path} {response.status}"
            f" {response.body_length} bytes {seconds * 1000:.1f} ms"
            f" user={user or '-'}{named} from={resolve_address(request, self.proxies)}"
            f" id={request_id or '-'}"
        )

    def each(self) -> Iterator[dict[str, object]]:
        """Yield the fields of each request."""
        for request, response, seconds in self.finished:
            user, key, request_id = _identity(request)
            yield {
                "method": request.method,
                "path": request.rel_url.raw_path,
                "status": response.status,
                "bytes": response.body_length,
                "ms": round(seconds * 1000, 2),
                "user": user,
                **({} if key is None else {"key": key}),
                "client": resolve_address(request, self.proxies),
                "scheme": resolve_scheme(request, self.proxies),
                "request": request_id,
            }


def _identity(request: web.BaseRequest) -> tuple[str | None, str | None, str | None]:
    """Return the user, the name of the API key and the id of a request, as far as it has them.

    One that never reached the application has none.
    """
    context = request.get(CONTEXT)
    if context is None:
        return None, None, None
    key = context.token and context.token.key
    return context.user, key and key.name, context.id


class AccessLog:
    """Counts and logs responses that were sent; those of one turn of the loop together."""

    def __init__(self, counters: RequestCounters, proxies: Sequence[Network]) -> None:
        self._counters = counters
        self._proxies = proxies
        self._waiting: list[FinishedRequest] = []

    def add(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Note that a response was sent."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append((request, response, time.perf_counter()))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        finished = [
            (request, response, self._count(request, response, ended))
            for request, response, ended in waiting
        ]
        if log.isEnabledFor(logging.INFO):
            # `log.info` would look up the caller's line, which is never shown.
            records = AccessRecords(finished, self._proxies)
            log.handle(log.makeRecord(log.name, logging.INFO, "", 0, records, (), None))

    def _count(self, request: web.BaseRequest, response: web.StreamResponse, ended: float) -> float:
        """Count a response and return the seconds that it took."""
        context = request.get(CONTEXT)
        seconds = first_byte = 0.0
        # Paths without a route count as one: clients could invent any number of them.
        kind = ("", "", response.status)
        if context is not None:
            seconds = ended - context.began
            first_byte = context.first_byte
            resource = cast("web.Request", request).match_info.route.resource
            if resource is not None:
                kind = (resource.canonical, request.method, response.status)
        route = self._counters.routes[kind]
        route.bytes += response.body_length
        route.first_byte.add(first_byte)
        route.duration.add(seconds)
        return seconds


ACCESS_LOG = web.AppKey("access_log", AccessLog)


def _without_request(record: logging.LogRecord) -> bool:
    """Remove quotations of malformed requests from aiohttp's records."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "malformed request: %s", (type(error).__name__,)
        record.exc_info = None
    return True


logging.getLogger("aiohttp.server").addFilter(_without_request)
