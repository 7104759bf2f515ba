"""The application."""

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from aiohttp import web
from aiohttp.typedefs import Handler

from server import aggregates, dashboard, handlers, pages
from server.attempts import Attempts
from server.auth import auth, standing
from server.cache import AnswerCache
from server.caching import caching
from server.cursors import Cursors
from server.errors import errors
from server.hashing import Hashing
from server.keys import (
    ATTEMPTS,
    CACHE,
    CURSORS,
    DOCUMENT,
    FILLINGS,
    HASHING,
    LATELY_ASKED,
    READER,
    REQUEST_ID,
    SETTINGS,
    TOKENS,
)
from server.signing import SigningKeys
from server.tokens import Tokens
from settings import Settings
from storage.reader import Reader

_REQUEST_ID = re.compile("[A-Za-z0-9._-]{1,64}")
_PROCESS = secrets.token_hex(5)
_request_ids = (f"{_PROCESS}-{number:x}" for number in count())


def make_app(*, settings: Settings, reader: Reader, signing_keys: SigningKeys) -> web.Application:
    """The application over a storage, which it closes at its end."""
    app = web.Application(
        middlewares=[identified, errors, auth, handlers.questions, standing, caching],
    )
    app[SETTINGS] = settings
    app[READER] = reader
    app[CACHE] = AnswerCache(settings.cache)
    app[LATELY_ASKED] = {}
    app[FILLINGS] = {}
    app[TOKENS] = Tokens(signing_keys, settings.auth.token_lifetime)
    app[CURSORS] = Cursors(signing_keys)
    app[HASHING] = Hashing()
    app[ATTEMPTS] = Attempts(settings.auth.attempts, settings.auth.attempts_window)
    app.add_routes([*pages.ROUTES, *dashboard.ROUTES, *handlers.ROUTES, *aggregates.ROUTES])
    app[DOCUMENT] = pages.described(app)
    app.cleanup_ctx.append(_closed)
    return app


@web.middleware
async def identified(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives a request and its answer an id: the client's own, if it is one that a log can hold."""
    given = request.headers.get("X-Request-ID", "")
    request[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else next(_request_ids)
    response = await handler(request)
    response.headers["X-Request-ID"] = request[REQUEST_ID]
    return response


@asynccontextmanager
async def _closed(app: web.Application) -> AsyncIterator[None]:
    yield
    try:
        await app[HASHING].close()
        await app[CACHE].close()
    finally:
        await app[READER].close()
