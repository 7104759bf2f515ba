"""Answers from the cache where they are, and one query for equal requests where they aren't."""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import aclosing, suppress
from functools import lru_cache

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from server.api.data_request import DataRequest
from server.cache.entry import SMALL_RESPONSE_BYTES, CacheEntry
from server.cache.single_flight import InFlightResponse, TooLargeError
from server.context import (
    CACHE,
    DATA_REQUEST,
    DATA_STATE,
    DATABASE,
    IN_FLIGHT,
    REPLAY_CACHE,
    SETTINGS,
    STREAM_LIMITER,
    TOKEN,
    USER,
    WANTS_DEFLATE,
)
from server.security.rate_limits import LimitError
from server.transport.content_coding import Coding, Identity, negotiate_coding
from server.transport.streaming import StreamingResponse, content_type
from settings import MysqlUrl, SqliteUrl
from storage.common.deflate import DeflateBlock, deflate_block
from storage.common.errors import StorageError
from storage.readings.pager import SMALL_RESULT_ROWS

CACHE_FORMAT_VERSION = 3
"""Names the form of answers: another one makes those obsolete that are kept elsewhere."""

KEY_CHARACTERS = 48
"""About what a record takes in the cache."""

_VARY_BY_ACCEPT = f"{hdrs.ACCEPT_ENCODING}, {hdrs.ACCEPT}"
_FRESH = {"no-cache", "no-store", "max-age=0"}

Answered = tuple[web.StreamResponse, Mapping[str, str]]
"""A response, and its notes, see `Streamed`."""


@web.middleware
async def replay(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers a request as the same one was answered, where nothing has changed since."""
    app = request.app
    repeat = app[REPLAY_CACHE].get(request)
    if repeat is None:
        return await handler(request)
    token = request[TOKEN]
    state = await app[DATABASE].state()
    if state.version != repeat.version or state.auth_version != token.access:
        return await handler(request)
    kept = await app[CACHE].get(repeat.key, counts_miss=False)
    body = kept and kept.ready(repeat.coding)
    if not body:
        return await handler(request)
    request[USER] = token.user
    return web.Response(body=body, headers=repeat.headers)


@web.middleware
async def cache_responses(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers what is asked for from the cache, and keeps what can be kept."""
    asked = request.get(DATA_REQUEST)
    if asked is None:
        return await handler(request)
    app = request.app
    key = _key(app[SETTINGS].database.location, request[DATA_STATE].version, asked.key)
    coding = negotiate_coding(request)
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
        app[REPLAY_CACHE].add(request, request[DATA_STATE].version, key, coding, response)
    return response


@lru_cache(1024)
def _key(location: SqliteUrl | MysqlUrl, version: str, asked: str) -> str:
    """Names an answer: what is asked, and of which data."""
    return hashlib.sha256(
        f"{CACHE_FORMAT_VERSION} {location} {version} {asked}".encode()
    ).hexdigest()[:32]


async def _kept(request: web.Request, kept: CacheEntry, coding: Coding) -> Answered:
    asked = request[DATA_REQUEST]
    body = kept.ready(coding)
    if body is not None and kept.is_brief:
        return _whole(body, asked, coding), kept.notes
    _enter(request)
    response = StreamingResponse(kept.parts(), media_type=asked.media_type)
    response.content_length = kept.length(coding)
    return await response.begin(coding, body), kept.notes


def _whole(body: bytes, asked: DataRequest, coding: Coding) -> web.Response:
    response = web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type(asked.media_type)})
    if not isinstance(coding, Identity):
        response.headers[hdrs.CONTENT_ENCODING] = coding.name
    return response


async def _made(request: web.Request, handler: Handler, *, compressed: bool) -> StreamingResponse:
    request[WANTS_DEFLATE] = compressed
    response = await handler(request)
    assert isinstance(response, StreamingResponse)
    return response


async def _direct(request: web.Request, handler: Handler, coding: Coding) -> Answered:
    """The answer straight from the database; a brief one in one go."""
    response = await _made(request, handler, compressed=coding.takes_pieces)
    if response.count > SMALL_RESULT_ROWS:
        _enter(request)
        return await response.begin(coding), response.notes
    parts = [coding.add(part) async for part in response.parts]
    whole = _whole(b"".join(parts) + coding.end(), request[DATA_REQUEST], coding)
    return whole, response.notes


async def _shared(request: web.Request, handler: Handler, key: str, coding: Coding) -> Answered:
    """The answer under way for equal requests, or one begun for this."""
    filling = request.app[IN_FLIGHT].get(key) or _begin(request, handler, key)
    response = StreamingResponse(filling.follow(), media_type=request[DATA_REQUEST].media_type)
    try:
        await response.begin(coding)
    except TooLargeError:
        return await _direct(request, handler, coding)
    if filling.expected > SMALL_RESULT_ROWS * KEY_CHARACTERS:
        try:
            _enter(request)
        except LimitError:
            await response.drop()
            raise
    return response, filling.notes


def _enter(request: web.Request) -> None:
    """Makes room for a long answer; raises LimitError."""
    request.app[STREAM_LIMITER].enter(request[USER])


def _begin(request: web.Request, handler: Handler, key: str) -> InFlightResponse:
    fillings = request.app[IN_FLIGHT]

    def give_up() -> None:
        # Where this one has failed, another may have taken its place.
        if fillings.get(key) is filling:
            del fillings[key]
        task.cancel()

    filling = fillings[key] = InFlightResponse(give_up)
    task = asyncio.create_task(_fill(request, handler, key, filling))
    return filling


async def _fill(
    request: web.Request, handler: Handler, key: str, filling: InFlightResponse
) -> None:
    """Makes an answer and keeps it."""
    cache, fillings = request.app[CACHE], request.app[IN_FLIGHT]
    try:
        response = await _made(request, handler, compressed=True)
        filling.notes = response.notes
        filling.expected = response.count * KEY_CHARACTERS
        if sum(other.expected for other in fillings.values()) > cache.largest:
            raise TooLargeError
        async with aclosing(response.parts) as parts:
            async for part in parts:
                filling.add(part if isinstance(part, DeflateBlock) else deflate_block(part))
        filling.end()
    except Exception as error:  # noqa: BLE001 - whoever follows raises it
        filling.fail(error)
    else:
        answer = await _complete(filling, cache.largest_plain)
        await _keep(request, key, answer)
    finally:
        if fillings.get(key) is filling:
            del fillings[key]


async def _complete(filling: InFlightResponse, largest_plain: int) -> CacheEntry:
    if filling.expected <= SMALL_RESPONSE_BYTES:
        answer = CacheEntry.of(filling.pieces, filling.notes)
    else:
        answer = await asyncio.to_thread(CacheEntry.of, filling.pieces, filling.notes)
    if answer.plain is None and answer.plain_bytes <= largest_plain:
        answer = await asyncio.to_thread(answer.inflated)
    return answer


async def _keep(request: web.Request, key: str, answer: CacheEntry) -> None:
    with suppress(StorageError):
        # An answer made while an import was written may hold readings of before and after it.
        version = request[DATA_STATE].version
        if (await request.app[DATABASE].state()).version == version:
            await request.app[CACHE].put(key, answer, version)
