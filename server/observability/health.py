"""Whether the service lives, and whether it can answer: for whoever restarts or routes to it."""

import asyncio

from aiohttp import web

from server.context import DATABASE
from server.errors import ApiError
from server.transport.parameters import read_parameters

_DATABASE_TIMEOUT = 3.0
"""Seconds that the database has to answer."""

_HEADERS = {"Cache-Control": "no-store"}


async def live(request: web.Request) -> web.Response:
    """The process answers."""
    await read_parameters(request, ())
    return web.json_response({"status": "live"}, headers=_HEADERS)


async def ready(request: web.Request) -> web.Response:
    """The database answers, has its tables, and names the version of the data."""
    await read_parameters(request, ())
    try:
        async with asyncio.timeout(_DATABASE_TIMEOUT):
            state = await request.app[DATABASE].state()
    except TimeoutError:
        raise ApiError(503, "The database did not answer in time") from None
    return web.json_response(
        {"status": "ready", "version": state.version, "empty": state.is_empty}, headers=_HEADERS
    )


ROUTES = [web.get("/health/live", live), web.get("/health/ready", ready)]
