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

from server import aggregates, connections, dashboard, handlers, health, metrics, pages
from server.attempts import Attempts
from server.auth import auth, standing
from server.cache import AnswerCache
from server.caching import caching, repeated
from server.cursors import Cursors
from server.errors import errors
from server.hashing import Hashing
from server.headers import POLICY, SAFE, cross_origin
from server.keys import (
    ATTEMPTS,
    CACHE,
    CURSORS,
    DOCUMENT,
    FILLINGS,
    HASHING,
    LATELY_ASKED,
    READER,
    REPEATS,
    REQUEST_ID,
    REQUESTS,
    SETTINGS,
    STOPPING,
    STREAMS,
    TALLY,
    TIMING,
    TOKENS,
)
from server.limits import Requests, Streams
from server.repeats import Repeats
from server.signing import SigningKeys
from server.tally import Tally, Timing
from server.tokens import Tokens
from settings import Settings
from storage.load import SPENT
from storage.reader import Reader

TOLD_FROM = 0.001
"""Seconds from which on an answer says how long it took: telling costs the quick ones too much."""

_ROUTES = [
    *(*pages.ROUTES, *dashboard.ROUTES, *handlers.ROUTES, *aggregates.ROUTES),
    *(*health.ROUTES, *metrics.ROUTES),
]

_REQUEST_ID = re.compile("[A-Za-z0-9._-]{1,64}")
_PROCESS = secrets.token_hex(5)
_request_ids = (f"{_PROCESS}-{number:x}" for number in count())


def make_app(*, settings: Settings, reader: Reader, signing_keys: SigningKeys) -> web.Application:
    """The application over a storage, which it closes at its end."""
    tally = Tally()
    app = web.Application(
        middlewares=[
            *([cross_origin(settings.server.cors)] if settings.server.cors else []),
            identified,
            errors,
            auth,
            repeated,
            handlers.questions,
            standing,
            caching,
        ],
        client_max_size=int(settings.limits.body),
        handler_args=connections.options(settings.limits, tally),
    )
    app[SETTINGS] = settings
    app[READER] = reader
    app[CACHE] = AnswerCache(settings.cache)
    app[LATELY_ASKED] = {}
    app[FILLINGS] = {}
    app[REPEATS] = Repeats()
    app[REQUESTS] = Requests(settings.limits)
    app[STREAMS] = Streams(settings.limits)
    app[TALLY] = tally
    app[STOPPING] = asyncio.Event()
    app[TOKENS] = Tokens(signing_keys, settings.auth.token_lifetime)
    app[CURSORS] = Cursors(signing_keys)
    app[HASHING] = Hashing()
    app[ATTEMPTS] = Attempts(settings.auth.attempts, settings.auth.attempts_window)
    app.add_routes(_ROUTES)
    app[DOCUMENT] = _document()
    app.cleanup_ctx.append(_closed)
    return app


@cache
def _document() -> dict[str, Any]:
    """The description of the routes, which all applications share."""
    app = web.Application()
    app.add_routes(_ROUTES)
    return pages.described(app)


@web.middleware
async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives a request and its answer an id: the client's own, if it is one that a log can hold.

    And notes how long it takes until an answer is ready to be sent, the first bytes of a streamed
    one included.
    """
    timing = request[TIMING] = Timing()
    timing.began = time.perf_counter()
    SPENT.set(timing)
    given = request.headers.get("X-Request-ID", "")
    request[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else next(_request_ids)
    response = await handler(request)
    response.headers["X-Request-ID"] = request[REQUEST_ID]
    if POLICY not in response.headers:
        response.headers.update(SAFE)
    if request.app[STOPPING].is_set():
        response.force_close()
    timing.first_byte = time.perf_counter() - timing.began
    # Of a refused login it could tell whether the user exists.
    if timing.first_byte >= TOLD_FROM and response.status < 400:
        response.headers["Server-Timing"] = _told(timing)
    return response


def _told(timing: Timing) -> str:
    told = f"total;dur={timing.first_byte * 1000:.2f}"
    return f"db;dur={timing.seconds * 1000:.2f}, {told}" if timing.seconds else told


@asynccontextmanager
async def _closed(app: web.Application) -> AsyncIterator[None]:
    yield
    try:
        await app[HASHING].close()
        await app[CACHE].close()
    finally:
        await app[READER].close()
