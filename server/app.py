"""The application."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from aiohttp import web
from aiohttp.typedefs import Handler

from server import handlers, health, metrics, pages
from server.auth import auth
from server.cache import AnswerCache
from server.caching import caching
from server.errors import errors
from server.keys import (
    CACHE,
    DOCUMENT,
    FILLINGS,
    HASHING,
    READER,
    REQUEST_ID,
    SETTINGS,
    STARTED,
    TALLY,
    TIMING,
    TOKENS,
)
from server.tally import Tally, Timing
from server.tokens import Tokens
from settings import Settings
from storage.load import SPENT
from storage.reader import Reader

HASHES_AT_ONCE = 2
"""Passwords that are checked at once: each takes a core and 64 MiB."""

TOLD_FROM = 0.001
"""Seconds from which on an answer says how long it took: telling costs the quick ones too much."""

_REQUEST_ID = re.compile("[A-Za-z0-9._-]{1,64}")
_PROCESS = secrets.token_hex(5)
_request_ids = (f"{_PROCESS}-{number:x}" for number in count())


def make_app(*, settings: Settings, reader: Reader, signing_secret: str) -> web.Application:
    """The application over a storage, which it closes at its end."""
    app = web.Application(
        middlewares=[identified, errors, auth, handlers.queries, caching],
    )
    app[SETTINGS] = settings
    app[READER] = reader
    app[CACHE] = AnswerCache(settings.cache)
    app[FILLINGS] = {}
    app[TALLY] = Tally()
    app[TOKENS] = Tokens(signing_secret, settings.auth.token_lifetime)
    app[HASHING] = asyncio.Semaphore(HASHES_AT_ONCE)
    app.add_routes([*pages.ROUTES, *handlers.ROUTES, *health.ROUTES, *metrics.ROUTES])
    app[DOCUMENT] = pages.described(app)
    app.on_response_prepare.append(_mark)
    app.cleanup_ctx.append(_closed)
    return app


@web.middleware
async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives a request its id: the client's own, if it is one that a log can hold."""
    timing = request[TIMING] = Timing()
    SPENT.set(timing)
    given = request.headers.get("X-Request-ID", "")
    request[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else next(_request_ids)
    return await handler(request)


async def _mark(request: web.Request, response: web.StreamResponse) -> None:
    request[STARTED] = True
    if REQUEST_ID in request:
        response.headers["X-Request-ID"] = request[REQUEST_ID]
        timing = request[TIMING]
        timing.first_byte = time.perf_counter() - timing.began
        if timing.first_byte < TOLD_FROM:
            return
        told = f"total;dur={timing.first_byte * 1000:.2f}"
        if timing.seconds:
            told = f"db;dur={timing.seconds * 1000:.2f}, {told}"
        response.headers["Server-Timing"] = told


@asynccontextmanager
async def _closed(app: web.Application) -> AsyncIterator[None]:
    yield
    try:
        await app[CACHE].close()
    finally:
        await app[READER].close()
