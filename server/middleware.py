"""The middlewares around every handler; app.py puts them in order."""

import re
import secrets
import time
from itertools import count

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from server.context import CONTEXT, SHUTTING_DOWN, RequestContext
from server.errors import error_response
from server.transport.security_headers import CSP_HEADER, SECURITY_HEADERS
from storage.backends.statistics import CURRENT_TIMER

SERVER_TIMING_FROM = 0.001
"""Seconds from which a response carries Server-Timing: the header costs quick ones too much."""

_REQUEST_ID = re.compile("[A-Za-z0-9._-]{1,64}")
_PROCESS = secrets.token_hex(5)
_request_ids = (f"{_PROCESS}-{number:x}" for number in count())

_CORS_REQUEST_HEADERS = (
    "Authorization, SESSION, Content-Type, If-None-Match, Cache-Control, X-Request-ID"
)
_CORS_RESPONSE_HEADERS = (
    "Content-Disposition, ETag, Link, Retry-After, Server-Timing, X-Implausible-Energy,"
    " X-Implausible-Readings, X-Interval, X-Left-Out-Energy, X-Left-Out-Readings, X-Next, X-Notice,"
    " X-Quality, X-Record-Count, X-Request-ID"
)
_DAY = "86400"


def cors(origins: tuple[str, ...]) -> Middleware:
    """Return the middleware that lets pages of these origins ask, without a browser's cookies."""

    @web.middleware
    async def cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        method = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        is_allowed = origin in origins
        if is_allowed and method is not None and request.method == hdrs.METH_OPTIONS:
            response: web.StreamResponse = web.Response(status=204, headers=SECURITY_HEADERS)
            response.headers[hdrs.CACHE_CONTROL] = "no-store"
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "GET, POST, DELETE"
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = _CORS_REQUEST_HEADERS
            response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = _DAY
        else:
            response = await handler(request)
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _CORS_RESPONSE_HEADERS
        vary = response.headers.get(hdrs.VARY)
        response.headers[hdrs.VARY] = f"{vary}, {hdrs.ORIGIN}" if vary else hdrs.ORIGIN
        if is_allowed and origin is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        return response

    return cross_origin


@web.middleware
async def request_context(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its context, and the response its id, security headers and timing.

    A client's own X-Request-ID is used if it is one that a log can hold.
    """
    given = request.headers.get("X-Request-ID", "")
    context = RequestContext(given if _REQUEST_ID.fullmatch(given) else next(_request_ids))
    request[CONTEXT] = context
    CURRENT_TIMER.set(context)
    response = await handler(request)
    headers = response.headers
    headers["X-Request-ID"] = context.id
    if CSP_HEADER not in headers:
        headers.update(SECURITY_HEADERS)
    if hdrs.CACHE_CONTROL not in headers:
        headers[hdrs.CACHE_CONTROL] = "no-store"
    if response.status >= 400 and not request.content.is_eof():
        response.force_close()  # rather than wait for the rest of a body that nobody reads
    if request.app[SHUTTING_DOWN].is_set():
        response.force_close()
    context.first_byte = time.perf_counter() - context.began
    # The timing of a refused login could tell whether the user exists.
    if context.first_byte >= SERVER_TIMING_FROM and response.status < 400:
        response.headers["Server-Timing"] = _server_timing(context)
    return response


def _server_timing(context: RequestContext) -> str:
    total = f"total;dur={context.first_byte * 1000:.2f}"
    return f"db;dur={context.seconds * 1000:.2f}, {total}" if context.seconds else total


@web.middleware
async def handle_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever fails before a response begins into an error response."""
    try:
        return await handler(request)
    except Exception as error:  # noqa: BLE001 - it is logged, and told as far as it may be
        return error_response(request, error)
