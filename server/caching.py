"""Answers from the cache where they are, and one query for equal requests where they aren't."""

import asyncio
import hashlib
from contextlib import aclosing, suppress
from functools import lru_cache

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from server.coding import Coding, Identity, negotiated
from server.filling import Filling, TooLargeError
from server.kept import Kept
from server.keys import CACHE, COMPRESSED, FILLINGS, QUERY, READER, SETTINGS, STATE
from server.streaming import JSON, Streamed
from settings import MysqlUrl, SqliteUrl
from storage.errors import StorageError
from storage.pieces import Piece, piece
from storage.query import Query

FORMAT = 1
"""Names the form of answers: another one makes those obsolete that are kept elsewhere."""

KEPT_BYTES = 48
"""About what a record takes in the cache."""

_FRESH = {"no-cache", "no-store", "max-age=0"}


@web.middleware
async def caching(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers requests for readings from the cache, and keeps what can be kept."""
    if QUERY not in request:
        return await handler(request)
    app = request.app
    key = _key(app[SETTINGS].database.location, request[STATE].version, request[QUERY])
    coding = negotiated(request)
    headers = {
        hdrs.ETAG: f'"{key}-{coding.name}"',
        hdrs.CACHE_CONTROL: "private, no-cache",
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    known = (request.method == hdrs.METH_GET and request.if_none_match) or ()
    if any(tag.value == "*" or tag.value.startswith(key) for tag in known):
        return web.Response(status=304, headers=headers)
    wanted = request.headers.get(hdrs.CACHE_CONTROL, "").lower().replace(" ", "").split(",")
    if not app[CACHE].largest or not _FRESH.isdisjoint(wanted):
        response = await _direct(request, handler, coding)
    elif kept := await app[CACHE].get(key):
        response = await _kept(kept, coding)
    else:
        response = await _shared(request, handler, key, coding)
    response.headers.update(headers)
    return response


@lru_cache(1024)
def _key(location: SqliteUrl | MysqlUrl, version: str, query: Query) -> str:
    """Names an answer: what is asked, and of which data."""
    return hashlib.sha256(f"{FORMAT} {location} {version} {query.key}".encode()).hexdigest()[:32]


async def _kept(kept: Kept, coding: Coding) -> web.StreamResponse:
    body = kept.ready(coding)
    if body is None:
        return await Streamed(kept.parts()).begin(coding)
    response = web.Response(body=body, content_type=JSON, charset="utf-8")
    if not isinstance(coding, Identity):
        response.headers[hdrs.CONTENT_ENCODING] = coding.name
    return response


async def _made(request: web.Request, handler: Handler, *, compressed: bool) -> Streamed:
    request[COMPRESSED] = compressed
    response = await handler(request)
    assert isinstance(response, Streamed)
    return response


async def _direct(request: web.Request, handler: Handler, coding: Coding) -> web.StreamResponse:
    """The answer straight from the database."""
    response = await _made(request, handler, compressed=coding.takes_pieces)
    return await response.begin(coding)


async def _shared(
    request: web.Request, handler: Handler, key: str, coding: Coding
) -> web.StreamResponse:
    """The answer under way for equal requests, or one begun for this."""
    filling = request.app[FILLINGS].get(key) or _begin(request, handler, key)
    try:
        return await Streamed(filling.follow()).begin(coding)
    except TooLargeError:
        return await _direct(request, handler, coding)


def _begin(request: web.Request, handler: Handler, key: str) -> Filling:
    fillings = request.app[FILLINGS]

    def give_up() -> None:
        # Where this one has failed, another may have taken its place.
        if fillings.get(key) is filling:
            del fillings[key]
        task.cancel()

    filling = fillings[key] = Filling(give_up)
    task = asyncio.create_task(_fill(request, handler, key, filling))
    return filling


async def _fill(request: web.Request, handler: Handler, key: str, filling: Filling) -> None:
    """Makes an answer and keeps it."""
    cache, fillings = request.app[CACHE], request.app[FILLINGS]
    try:
        response = await _made(request, handler, compressed=True)
        filling.expected = response.count * KEPT_BYTES
        if sum(other.expected for other in fillings.values()) > cache.largest:
            raise TooLargeError
        async with aclosing(response.parts) as parts:
            async for part in parts:
                filling.add(part if isinstance(part, Piece) else piece(part))
        filling.end()
    except Exception as error:  # noqa: BLE001 - whoever follows raises it
        filling.fail(error)
    else:
        await _keep(request, key, Kept.of(filling.pieces))
    finally:
        if fillings.get(key) is filling:
            del fillings[key]


async def _keep(request: web.Request, key: str, answer: Kept) -> None:
    with suppress(StorageError):
        # An answer made while an import was written may hold readings of before and after it.
        if (await request.app[READER].state()).version == request[STATE].version:
            await request.app[CACHE].put(key, answer)
