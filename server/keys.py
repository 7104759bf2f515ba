"""What the application and a request carry along."""

import asyncio
from collections.abc import Hashable

from aiohttp import web

from server.asked import Asked
from server.attempts import Attempts
from server.cache import AnswerCache
from server.cursors import Cursors
from server.filling import Filling
from server.hashing import Hashing
from server.limits import Requests, Streams
from server.repeats import Repeats
from server.tally import Tally, Timing
from server.tokens import Token, Tokens
from settings import Settings
from storage.reader import Reader, State

SETTINGS = web.AppKey("settings", Settings)
READER = web.AppKey("reader", Reader)
CACHE = web.AppKey("cache", AnswerCache)
LATELY_ASKED = web.AppKey("lately_asked", dict[Hashable, Asked])
FILLINGS = web.AppKey("fillings", dict[str, Filling])
CURSORS = web.AppKey("cursors", Cursors)
TOKENS = web.AppKey("tokens", Tokens)
HASHING = web.AppKey("hashing", Hashing)
ATTEMPTS = web.AppKey("attempts", Attempts)
REPEATS = web.AppKey("repeats", Repeats)
REQUESTS = web.AppKey("requests", Requests)
STREAMS = web.AppKey("streams", Streams)
TALLY = web.AppKey("tally", Tally)
STOPPING = web.AppKey("stopping", asyncio.Event)
DOCUMENT = web.AppKey("document", dict[str, object])

REQUEST_ID = web.RequestKey("request_id", str)
USER = web.RequestKey("user", str)
ASKED = web.RequestKey("asked", Asked)
TOKEN = web.RequestKey("token", Token)
COMPRESSED = web.RequestKey("compressed", bool)
STATE = web.RequestKey("state", State)
TIMING = web.RequestKey("timing", Timing)
