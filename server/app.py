"""The application."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from itertools import count
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from server.api import figures, routes
from server.api.cursors import Cursors
from server.api.responder import cache_responses, replay
from server.cache.replay import ReplayCache
from server.cache.store import ResponseCache
from server.context import (
    CACHE,
    COUNTERS,
    CURSORS,
    DATABASE,
    DOCUMENT,
    IN_FLIGHT,
    LOGIN_THROTTLE,
    PARSED_REQUESTS,
    PASSWORD_CHECKER,
    REPLAY_CACHE,
    REQUEST_ID,
    REQUEST_LIMITER,
    SETTINGS,
    SHUTTING_DOWN,
    STREAM_LIMITER,
    TIMING,
    TOKENS,
)
from server.errors import handle_errors
from server.observability import health, metrics
from server.observability.counters import RequestCounters, RequestTiming
from server.security.authentication import authenticate, check_revocation
from server.security.login_throttle import LoginThrottle
from server.security.password_checker import PasswordChecker
from server.security.rate_limits import RequestLimiter, StreamLimiter
from server.security.signing_keys import SigningKeys
from server.security.tokens import TokenService
from server.transport import connection
from server.transport.security_headers import CSP_HEADER, SECURITY_HEADERS, cors
from server.web import dashboard, swagger
from settings import Settings
from storage.backends.statistics import CURRENT_TIMER
from storage.database import Database

SERVER_TIMING_FROM = 0.001
"""Seconds from which on an answer says how long it took: telling costs the quick ones too much."""

_ROUTES = [
    *(*swagger.ROUTES, *dashboard.ROUTES, *routes.ROUTES, *figures.ROUTES),
    *(*health.ROUTES, *metrics.ROUTES),
]

_REQUEST_ID = re.compile("[A-Za-z0-9._-]{1,64}")
_PROCESS = secrets.token_hex(5)
_request_ids = (f"{_PROCESS}-{number:x}" for number in count())


def make_app(*, settings: Settings, reader: Database, signing_keys: SigningKeys) -> web.Application:
    """The application over a storage, which it closes at its end."""
    tally = RequestCounters()
    app = web.Application(
        middlewares=[
            *([cors(settings.server.cors)] if settings.server.cors else []),
            request_context,
            handle_errors,
            authenticate,
            replay,
            routes.parse_data_request,
            check_revocation,
            cache_responses,
        ],
        client_max_size=int(settings.limits.body),
        handler_args=connection.handler_options(settings.limits, tally),
    )
    app[SETTINGS] = settings
    app[DATABASE] = reader
    app[CACHE] = ResponseCache(settings.cache)
    app[PARSED_REQUESTS] = {}
    app[IN_FLIGHT] = {}
    app[REPLAY_CACHE] = ReplayCache()
    app[REQUEST_LIMITER] = RequestLimiter(settings.limits)
    app[STREAM_LIMITER] = StreamLimiter(settings.limits)
    app[COUNTERS] = tally
    app[SHUTTING_DOWN] = asyncio.Event()
    app[TOKENS] = TokenService(signing_keys, settings.auth.token_lifetime)
    app[CURSORS] = Cursors(signing_keys)
    app[PASSWORD_CHECKER] = PasswordChecker()
    app[LOGIN_THROTTLE] = LoginThrottle(settings.auth.attempts, settings.auth.attempts_window)
    app.add_routes(_ROUTES)
    app[DOCUMENT] = _document()
    app.cleanup_ctx.append(_closed)
    return app


@cache
def _document() -> dict[str, Any]:
    """The description of the routes, which all applications share."""
    app = web.Application()
    app.add_routes(_ROUTES)
    return swagger.build_document(app)


@web.middleware
async def request_context(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives a request and its answer an id: the client's own, if it is one that a log can hold.

    And notes how long it takes until an answer is ready to be sent, the first bytes of a streamed
    one included.
    """
    timing = request[TIMING] = RequestTiming()
    timing.began = time.perf_counter()
    CURRENT_TIMER.set(timing)
    given = request.headers.get("X-Request-ID", "")
    request[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else next(_request_ids)
    response = await handler(request)
    response.headers["X-Request-ID"] = request[REQUEST_ID]
    if CSP_HEADER not in response.headers:
        response.headers.update(SECURITY_HEADERS)
    if request.app[SHUTTING_DOWN].is_set():
        response.force_close()
    timing.first_byte = time.perf_counter() - timing.began
    # Of a refused login it could tell whether the user exists.
    if timing.first_byte >= SERVER_TIMING_FROM and response.status < 400:
        response.headers["Server-Timing"] = _told(timing)
    return response


def _told(timing: RequestTiming) -> str:
    told = f"total;dur={timing.first_byte * 1000:.2f}"
    return f"db;dur={timing.seconds * 1000:.2f}, {told}" if timing.seconds else told


@asynccontextmanager
async def _closed(app: web.Application) -> AsyncIterator[None]:
    yield
    try:
        await app[PASSWORD_CHECKER].close()
        await app[CACHE].close()
    finally:
        await app[DATABASE].close()
