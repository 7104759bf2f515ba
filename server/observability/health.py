"""Health checks: liveness and readiness, for supervisors and load balancers."""

import asyncio

from aiohttp import web

from server.context import DATABASE
from server.errors import ApiError
from server.transport.parameters import read_parameters

_DATABASE_TIMEOUT = 3.0
"""Seconds in which the database has to respond."""

_HEADERS = {"Cache-Control": "no-store"}


async def live(request: web.Request) -> web.Response:
    """Respond while the process does."""
    await read_parameters(request, ())
    return web.json_response({"status": "live"}, headers=_HEADERS)


async def ready(request: web.Request) -> web.Response:
    """Return the version of the data. Raise ApiError or StorageError if the database fails."""
    await read_parameters(request, ())
    try:
        async with asyncio.timeout(_DATABASE_TIMEOUT):
            state = await request.app[DATABASE].state()
            meters = await request.app[DATABASE].count_meters()
    except TimeoutError:
        raise ApiError(503, "The database did not answer in time") from None
    body = {"status": "ready", "version": state.version, "empty": state.is_empty, "meters": meters}
    return web.json_response(body, headers=_HEADERS)


ROUTES = [web.get("/health/live", live), web.get("/health/ready", ready)]
