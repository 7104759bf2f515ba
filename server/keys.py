"""What the application and a request carry along."""

import asyncio

from aiohttp import web

from server.cache import AnswerCache
from server.filling import Filling
from server.tally import Tally, Timing
from server.tokens import Tokens
from settings import Settings
from storage.query import Query
from storage.reader import Reader, State

SETTINGS = web.AppKey("settings", Settings)
READER = web.AppKey("reader", Reader)
CACHE = web.AppKey("cache", AnswerCache)
FILLINGS = web.AppKey("fillings", dict[str, Filling])
TOKENS = web.AppKey("tokens", Tokens)
HASHING = web.AppKey("hashing", asyncio.Semaphore)
TALLY = web.AppKey("tally", Tally)
DOCUMENT = web.AppKey("document", dict[str, object])

REQUEST_ID = web.RequestKey("request_id", str)
USER = web.RequestKey("user", str)
QUERY = web.RequestKey("query", Query)
COMPRESSED = web.RequestKey("compressed", bool)
STATE = web.RequestKey("state", State)
STARTED = web.RequestKey("started", bool)
TIMING = web.RequestKey("timing", Timing)
