"""What the application and a request carry along."""

import asyncio

from aiohttp import web

from server.asked import Asked
from server.cache import AnswerCache
from server.cursors import Cursors
from server.filling import Filling
from server.tokens import Tokens
from settings import Settings
from storage.reader import Reader, State

SETTINGS = web.AppKey("settings", Settings)
READER = web.AppKey("reader", Reader)
CACHE = web.AppKey("cache", AnswerCache)
FILLINGS = web.AppKey("fillings", dict[str, Filling])
CURSORS = web.AppKey("cursors", Cursors)
TOKENS = web.AppKey("tokens", Tokens)
HASHING = web.AppKey("hashing", asyncio.Semaphore)
DOCUMENT = web.AppKey("document", dict[str, object])

REQUEST_ID = web.RequestKey("request_id", str)
USER = web.RequestKey("user", str)
ASKED = web.RequestKey("asked", Asked)
COMPRESSED = web.RequestKey("compressed", bool)
STATE = web.RequestKey("state", State)
