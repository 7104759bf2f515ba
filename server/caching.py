"""Answers from the cache where they are, and one query for equal requests where they aren't."""

import asyncio
import hashlib
from contextlib import aclosing, suppress

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from server.filling import Filling, TooLargeError
from server.keys import CACHE, FILLINGS, QUERY, READER, SETTINGS, STATE
from server.streaming import JSON, Streamed
from storage.errors import StorageError

_FRESH = {"no-cache", "no-store", "max-age=0"}


@web.middleware
async def caching(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers from the cache what is there, and keeps what can be kept."""
    if QUERY not in request:
        return await handler(request)
    app = request.app
    request[STATE] = await app[READER].state()
    key = _key(request)
    headers = {hdrs.ETAG: f'"{key}"', hdrs.CACHE_CONTROL: "private, no-cache"}
    known = request.if_none_match or ()
    if any(etag.value in (key, "*") for etag in known):
        return web.Response(status=304, headers=headers)
    wanted = request.headers.get(hdrs.CACHE_CONTROL, "").lower().replace(" ", "").split(",")
    if not app[CACHE].largest or not _FRESH.isdisjoint(wanted):
        response = await _begun(await handler(request))
    elif (body := await app[CACHE].get(key)) is not None:
        response = web.Response(body=body, content_type=JSON, charset="utf-8")
    else:
        response = await _shared(request, handler, key)
    response.headers.update(headers)
    return response


def _key(request: web.Request) -> str:
    """Names an answer: what is asked, and of which data."""
    location = request.app[SETTINGS].database.location
    text = f"{location} {request[STATE].version} {request[QUERY].key}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


async def _shared(request: web.Request, handler: Handler, key: str) -> web.StreamResponse:
    """The answer under way for equal requests, or one begun for this."""
    filling = request.app[FILLINGS].get(key) or _begin(request, handler, key)
    try:
        return await _begun(Streamed(filling.follow()))
    except TooLargeError:
        return await _begun(await handler(request))


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


async def _begun(response: web.StreamResponse) -> web.StreamResponse:
    assert isinstance(response, Streamed)
    await response.begin()
    return response


async def _fill(request: web.Request, handler: Handler, key: str, filling: Filling) -> None:
    """Makes an answer and keeps it."""
    cache, fillings = request.app[CACHE], request.app[FILLINGS]
    try:
        response = await handler(request)
        assert isinstance(response, Streamed)
        filling.size = response.size
        if sum(other.size for other in fillings.values()) > cache.largest:
            raise TooLargeError
        async with aclosing(response.parts) as parts:
            async for part in parts:
                filling.add(part)
        body = filling.end()
    except Exception as error:  # noqa: BLE001 - whoever follows raises it
        filling.fail(error)
    else:
        await _keep(request, key, body)
    finally:
        if fillings.get(key) is filling:
            del fillings[key]


async def _keep(request: web.Request, key: str, body: bytes) -> None:
    with suppress(StorageError):
        # An answer made while an import was written may hold readings of before and after it.
        if (await request.app[READER].state()).version == request[STATE].version:
            await request.app[CACHE].put(key, body)
