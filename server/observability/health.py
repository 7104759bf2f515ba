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
    """Return what the database holds. Raise ApiError or StorageError if it fails.

    The version is that of the meter that requests mean without naming one, null if they have to
    name one; the last import is that of all meters.
    """
    await read_parameters(request, ())
    database = request.app[DATABASE]
    try:
        async with asyncio.timeout(_DATABASE_TIMEOUT):
            state = await database.state()
            imported = await database.newest_import()
            body = {
                "status": "ready",
                "version": None if state.is_ambiguous else state.version,
                "empty": await database.is_empty(state),
                "meters": await database.count_meters(),
                "imported": imported and imported.isoformat(),
            }
    except TimeoutError:
        raise ApiError(503, "The database did not answer in time") from None
    return web.json_response(body, headers=_HEADERS)


ROUTES = [web.get("/health/live", live), web.get("/health/ready", ready)]
