"""Requests with bodies, whose arrival may take its time."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from aiohttp import web

from server.security.authentication import check_access
from server.transport.parameters import read_parameters

T = TypeVar("T")


async def admitted(request: web.Request, read: Callable[[web.Request], Awaitable[T]]) -> T:
    """Return what `read` makes of a request.

    If the request has a body, the state of the data is loaded again. Raise ApiError if the token
    was revoked while the body arrived.
    """
    result = await read(request)
    if request.body_exists:
        await check_access(request)
    return result


async def admitted_parameters(
    request: web.Request, required: Sequence[str] = (), optional: Sequence[str] = ()
) -> dict[str, str]:
    """Return the parameters as `read_parameters` does, while the token is good."""
    return await admitted(request, lambda request: read_parameters(request, required, optional))
