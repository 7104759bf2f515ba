"""The application: its middlewares, routes and state."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from aiohttp import web

from server.api import account, figures, meters, readings, sessions
from server.api.cursors import CURSORS, Cursors
from server.api.responder import RESPONDER, Responder
from server.cache.replay import REPLAY_CACHE, ReplayCache
from server.cache.store import CACHE, ResponseCache
from server.context import DATABASE, SETTINGS, SHUTTING_DOWN
from server.middleware import cors, handle_errors, request_context
from server.observability import health, metrics
from server.observability.access_log import ACCESS_LOG, AccessLog
from server.observability.counters import COUNTERS, RequestCounters
from server.observability.loop_watchdog import LOOP_WATCHDOG, LoopWatchdog, watch_loop
from server.security.access import ACCESS, AccessResolver
from server.security.audit_trail import AUDIT_TRAIL, AuditTrail
from server.security.authentication import authenticate
from server.security.connection_limits import CONNECTION_LIMITER, ConnectionLimiter
from server.security.credentials.api_keys import API_KEYS, ApiKeys
from server.security.credentials.basic import BASIC_LOGINS, BasicLogins
from server.security.credentials.session_recorder import SESSION_RECORDER, SessionRecorder
from server.security.login_throttle import LOGIN_THROTTLE, LoginThrottle
from server.security.password_checker import PASSWORD_CHECKER, PasswordChecker
from server.security.rate_limits import (
    FIGURE_LIMITER,
    REQUEST_LIMITER,
    STREAM_LIMITER,
    FigureLimiter,
    RequestLimiter,
    StreamLimiter,
)
from server.security.signing_keys import SigningKeys
from server.security.tokens import TOKENS, TokenService
from server.transport.parameters import expect_later
from server.transport.streaming import STREAM_STATISTICS, StreamStatistics
from server.v1 import openapi as v1_openapi
from server.v1 import routes as v1
from server.web import dashboard, swagger
from settings import Settings
from storage.database import Database

_PUBLIC_ROUTES = [
    *(*swagger.ROUTES, *dashboard.ROUTES, *sessions.PUBLIC_ROUTES, *v1_openapi.ROUTES),
    *(*health.ROUTES, *metrics.ROUTES),
]
"""Answered without a token; everything else asks for one."""

_BODY_ROUTES = [*account.ROUTES, *meters.ROUTES, *readings.ROUTES, *figures.ROUTES]
"""The routes that read a body."""

_ROUTES = [
    web.RouteDef(
        route.method, route.path, route.handler, {**route.kwargs, "expect_handler": expect_later}
    )
    for route in (*_PUBLIC_ROUTES, *sessions.ROUTES, *_BODY_ROUTES, *v1.ROUTES)
]


def make_app(
    *, settings: Settings, database: Database, signing_keys: SigningKeys
) -> web.Application:
    """Return the application over a database, which it closes at its end."""
    app = web.Application(
        middlewares=[
            *([cors(settings.server.cors)] if settings.server.cors else []),
            request_context,
            handle_errors,
            authenticate(
                public=frozenset(route.handler for route in _PUBLIC_ROUTES),
                unlimited=frozenset(route.handler for route in health.ROUTES),
                with_body=frozenset(route.handler for route in _BODY_ROUTES),
                leaving_body=frozenset(
                    route.handler for route in (*sessions.PUBLIC_ROUTES, *sessions.ROUTES)
                ),
            ),
        ],
        client_max_size=int(settings.limits.body),
    )
    app[SETTINGS] = settings
    app[DATABASE] = database
    app[CACHE] = ResponseCache(settings.cache, signing_keys.for_cache)
    app[REPLAY_CACHE] = ReplayCache()
    app[CONNECTION_LIMITER] = ConnectionLimiter(settings.limits, settings.server.proxies)
    app[REQUEST_LIMITER] = RequestLimiter(settings.limits)
    app[STREAM_LIMITER] = StreamLimiter(settings.limits)
    app[FIGURE_LIMITER] = FigureLimiter(settings.limits)
    app[RESPONDER] = Responder(
        settings.database.location,
        database,
        app[CACHE],
        app[STREAM_LIMITER],
        app[FIGURE_LIMITER],
        app[REPLAY_CACHE],
    )
    app[COUNTERS] = RequestCounters()
    app[LOOP_WATCHDOG] = LoopWatchdog()
    app[STREAM_STATISTICS] = StreamStatistics()
    app[ACCESS_LOG] = AccessLog(app[COUNTERS], settings.server.proxies)
    app[SHUTTING_DOWN] = asyncio.Event()
    app[ACCESS] = AccessResolver(database)
    app[TOKENS] = TokenService(signing_keys, settings.auth.token_lifetime)
    app[API_KEYS] = ApiKeys()
    app[BASIC_LOGINS] = BasicLogins()
    app[CURSORS] = Cursors(signing_keys)
    app[PASSWORD_CHECKER] = PasswordChecker()
    app[SESSION_RECORDER] = SessionRecorder(database.sessions)
    app[AUDIT_TRAIL] = AuditTrail(database.audit)
    app[LOGIN_THROTTLE] = LoginThrottle(settings.auth.attempts, settings.auth.attempts_window)
    app.add_routes(_ROUTES)
    app[swagger.DOCUMENT] = _openapi_document()
    app[v1_openapi.V1_DOCUMENT] = _v1_document(offers_basic=settings.auth.basic)
    app.cleanup_ctx.extend([watch_loop, _close])
    return app


@cache
def _openapi_document() -> dict[str, object]:
    """Return the description of the routes, which all applications share."""
    app = web.Application()
    app.add_routes(_ROUTES)
    return swagger.build_document(app)


@cache
def _v1_document(*, offers_basic: bool) -> dict[str, object]:
    return v1_openapi.openapi_document(offers_basic=offers_basic)


@asynccontextmanager
async def _close(app: web.Application) -> AsyncIterator[None]:
    yield
    try:
        await app[RESPONDER].close()
        await app[PASSWORD_CHECKER].close()
        await app[SESSION_RECORDER].close()
        await app[AUDIT_TRAIL].close()
        await app[CACHE].close()
    finally:
        await app[DATABASE].close()
