"""What the application and a request carry along."""

import asyncio
from collections.abc import Hashable

from aiohttp import web

from server.api.cursors import Cursors
from server.api.data_request import DataRequest
from server.cache.replay import ReplayCache
from server.cache.single_flight import InFlightResponse
from server.cache.store import ResponseCache
from server.observability.counters import RequestCounters, RequestTiming
from server.security.login_throttle import LoginThrottle
from server.security.password_checker import PasswordChecker
from server.security.rate_limits import RequestLimiter, StreamLimiter
from server.security.tokens import Token, TokenService
from settings import Settings
from storage.database import Database, DataState

SETTINGS = web.AppKey("settings", Settings)
DATABASE = web.AppKey("reader", Database)
CACHE = web.AppKey("cache", ResponseCache)
PARSED_REQUESTS = web.AppKey("lately_asked", dict[Hashable, DataRequest])
IN_FLIGHT = web.AppKey("fillings", dict[str, InFlightResponse])
CURSORS = web.AppKey("cursors", Cursors)
TOKENS = web.AppKey("tokens", TokenService)
PASSWORD_CHECKER = web.AppKey("hashing", PasswordChecker)
LOGIN_THROTTLE = web.AppKey("attempts", LoginThrottle)
REPLAY_CACHE = web.AppKey("repeats", ReplayCache)
REQUEST_LIMITER = web.AppKey("requests", RequestLimiter)
STREAM_LIMITER = web.AppKey("streams", StreamLimiter)
COUNTERS = web.AppKey("tally", RequestCounters)
SHUTTING_DOWN = web.AppKey("stopping", asyncio.Event)
DOCUMENT = web.AppKey("document", dict[str, object])

REQUEST_ID = web.RequestKey("request_id", str)
USER = web.RequestKey("user", str)
DATA_REQUEST = web.RequestKey("asked", DataRequest)
TOKEN = web.RequestKey("token", Token)
WANTS_DEFLATE = web.RequestKey("compressed", bool)
DATA_STATE = web.RequestKey("state", DataState)
TIMING = web.RequestKey("timing", RequestTiming)
