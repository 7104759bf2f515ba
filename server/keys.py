"""What the application and a request carry along."""

from aiohttp import web

from server.attempts import Attempts
from server.cache import AnswerCache
from server.filling import Filling
from server.hashing import Hashing
from server.tokens import Token, Tokens
from settings import Settings
from storage.query import Query
from storage.reader import Reader, State

SETTINGS = web.AppKey("settings", Settings)
READER = web.AppKey("reader", Reader)
CACHE = web.AppKey("cache", AnswerCache)
FILLINGS = web.AppKey("fillings", dict[str, Filling])
TOKENS = web.AppKey("tokens", Tokens)
HASHING = web.AppKey("hashing", Hashing)
ATTEMPTS = web.AppKey("attempts", Attempts)
DOCUMENT = web.AppKey("document", dict[str, object])

REQUEST_ID = web.RequestKey("request_id", str)
USER = web.RequestKey("user", str)
TOKEN = web.RequestKey("token", Token)
QUERY = web.RequestKey("query", Query)
COMPRESSED = web.RequestKey("compressed", bool)
STATE = web.RequestKey("state", State)
STARTED = web.RequestKey("started", bool)
