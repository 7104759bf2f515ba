"""Answers from the cache where they are, and one query for equal requests where they aren't."""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import aclosing, suppress
from functools import lru_cache

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from server.asked import Asked
from server.coding import Coding, Identity, negotiated
from server.filling import Filling, TooLargeError
from server.kept import BRIEF, Kept
from server.keys import (
    ASKED,
    CACHE,
    COMPRESSED,
    FILLINGS,
    READER,
    REPEATS,
    SETTINGS,
    STATE,
    STREAMS,
    TOKEN,
    USER,
)
from server.limits import LimitError
from server.streaming import Streamed, content_type
from settings import MysqlUrl, SqliteUrl
from storage.errors import StorageError
from storage.paging import FEW
from storage.pieces import Piece, piece

FORMAT = 3
"""Names the form of answers: another one makes those obsolete that are kept elsewhere."""

KEPT_BYTES = 48
"""About what a record takes in the cache."""

_VARY_BY_ACCEPT = f"{hdrs.ACCEPT_ENCODING}, {hdrs.ACCEPT}"
_FRESH = {"no-cache", "no-store", "max-age=0"}

Answered = tuple[web.StreamResponse, Mapping[str, str]]
"""A response, and its notes, see `Streamed`."""


@web.middleware
async def repeated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers a request as the same one was answered, where nothing has changed since."""
    app = request.app
    repeat = app[REPEATS].get(request)
    if repeat is None:
        return await handler(request)
    token = request[TOKEN]
    state = await app[READER].state()
    if state.version != repeat.version or state.access != token.access:
        return await handler(request)
    kept = await app[CACHE].get(repeat.key, counts_miss=False)
    body = kept and kept.ready(repeat.coding)
    if not body:
        return await handler(request)
    request[USER] = token.user
    return web.Response(body=body, headers=repeat.headers)


@web.middleware
async def caching(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers what is asked for from the cache, and keeps what can be kept."""
    asked = request.get(ASKED)
    if asked is None:
        return await handler(request)
    app = request.app
    key = _key(app[SETTINGS].database.location, request[STATE].version, asked.key)
    coding = negotiated(request)
    headers = {
        hdrs.ETAG: f'"{key}-{coding.name}"',
        hdrs.CACHE_CONTROL: "private, no-cache",
        hdrs.VARY: _VARY_BY_ACCEPT if asked.by_accept else hdrs.ACCEPT_ENCODING,
    }
    known = (request.method == hdrs.METH_GET and request.if_none_match) or ()
    if any(tag.value == "*" or tag.value.startswith(key) for tag in known):
        return web.Response(status=304, headers=headers)
    wanted = request.headers.get(hdrs.CACHE_CONTROL, "").lower().replace(" ", "").split(",")
    kept = None
    if not app[CACHE].largest or not _FRESH.isdisjoint(wanted):
        response, notes = await _direct(request, handler, coding)
    elif kept := await app[CACHE].get(key):
        response, notes = await _kept(request, kept, coding)
    else:
        response, notes = await _shared(request, handler, key, coding)
    response.headers.update(headers)
    response.headers.update(asked.headers(notes))
    if kept is not None and isinstance(response, web.Response):
        app[REPEATS].add(request, request[STATE].version, key, coding, response)
    return response


@lru_cache(1024)
def _key(location: SqliteUrl | MysqlUrl, version: str, asked: str) -> str:
    """Names an answer: what is asked, and of which data."""
    return hashlib.sha256(f"{FORMAT} {location} {version} {asked}".encode()).hexdigest()[:32]


async def _kept(request: web.Request, kept: Kept, coding: Coding) -> Answered:
    asked = request[ASKED]
    body = kept.ready(coding)
    if body is not None and kept.is_brief:
        return _whole(body, asked, coding), kept.notes
    _enter(request)
    response = Streamed(kept.parts(), media_type=asked.media_type)
    response.content_length = kept.length(coding)
    return await response.begin(coding, body), kept.notes


def _whole(body: bytes, asked: Asked, coding: Coding) -> web.Response:
    response = web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type(asked.media_type)})
    if not isinstance(coding, Identity):
        response.headers[hdrs.CONTENT_ENCODING] = coding.name
    return response


async def _made(request: web.Request, handler: Handler, *, compressed: bool) -> Streamed:
    request[COMPRESSED] = compressed
    response = await handler(request)
    assert isinstance(response, Streamed)
    return response


async def _direct(request: web.Request, handler: Handler, coding: Coding) -> Answered:
    """The answer straight from the database; a brief one in one go."""
    response = await _made(request, handler, compressed=coding.takes_pieces)
    if response.count > FEW:
        _enter(request)
        return await response.begin(coding), response.notes
    parts = [coding.add(part) async for part in response.parts]
    whole = _whole(b"".join(parts) + coding.end(), request[ASKED], coding)
    return whole, response.notes


async def _shared(request: web.Request, handler: Handler, key: str, coding: Coding) -> Answered:
    """The answer under way for equal requests, or one begun for this."""
    filling = request.app[FILLINGS].get(key) or _begin(request, handler, key)
    response = Streamed(filling.follow(), media_type=request[ASKED].media_type)
    try:
        await response.begin(coding)
    except TooLargeError:
        return await _direct(request, handler, coding)
    if filling.expected > FEW * KEPT_BYTES:
        try:
            _enter(request)
        except LimitError:
            await response.drop()
            raise
    return response, filling.notes


def _enter(request: web.Request) -> None:
    """Makes room for a long answer; raises LimitError."""
    request.app[STREAMS].enter(request[USER])


def _begin(request: web.Request, handler: Handler, key: str) -> Filling:
    fillings = request.app[FILLINGS]

    def give_up() -> None:
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
        filling.notes = response.notes
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
        answer = await _complete(filling, cache.largest_plain)
        await _keep(request, key, answer)
    finally:
        if fillings.get(key) is filling:
            del fillings[key]


async def _complete(filling: Filling, largest_plain: int) -> Kept:
    if filling.expected <= BRIEF:
        answer = Kept.of(filling.pieces, filling.notes)
    else:
        answer = await asyncio.to_thread(Kept.of, filling.pieces, filling.notes)
    if answer.plain is None and answer.plain_bytes <= largest_plain:
        answer = await asyncio.to_thread(answer.inflated)
    return answer


async def _keep(request: web.Request, key: str, answer: Kept) -> None:
    with suppress(StorageError):
        # An answer made while an import was written may hold readings of before and after it.
        version = request[STATE].version
        if (await request.app[READER].state()).version == version:
            await request.app[CACHE].put(key, answer, version)
