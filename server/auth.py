"""Who may ask: nobody without a token, except where a handler says so itself."""

import asyncio
from typing import TypeVar

from aiohttp import BasicAuth, hdrs, web
from aiohttp.typedefs import Handler

from server.errors import ApiError
from server.keys import HASHING, READER, SETTINGS, TOKENS, USER
from server.tokens import InvalidTokenError
from settings import is_demonstration
from storage.passwords import matches, nobody

TOKEN_HEADER = "SESSION"  # noqa: S105 - the name of a header
H = TypeVar("H", bound=Handler)


def public(handler: H) -> H:
    """Marks a handler that serves anybody."""
    handler.is_public = True  # type: ignore[attr-defined]
    return handler


@web.middleware
async def auth(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets a request pass that carries a token, or asks for what is public."""
    match = request.match_info
    if match.http_exception is None and not getattr(match.handler, "is_public", False):
        request[USER] = _user(request)
    return await handler(request)


def _user(request: web.Request) -> str:
    token = request.headers.get(TOKEN_HEADER)
    if token is None:
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer":
            raise ApiError(405, status="Token is missing")
    try:
        return request.app[TOKENS].user(token.strip())
    except InvalidTokenError as error:
        raise ApiError(406, str(error), status="Token is invalid") from None


async def logged_in(request: web.Request) -> str:
    """The user whose name and password a request gives; raises ApiError."""
    try:
        given = BasicAuth.decode(request.headers.get(hdrs.AUTHORIZATION, ""), encoding="utf-8")
    except ValueError:
        raise _refused() from None
    user = await request.app[READER].user(given.login)
    async with request.app[HASHING]:
        right = await asyncio.to_thread(
            lambda: matches(given.password, user.password if user else nobody())
        )
    if user is None or not user.enabled or not right:
        raise _refused()
    if is_demonstration(user.name, given.password):
        _keep_at_home(request)
    request[USER] = user.name
    return user.name


def _keep_at_home(request: web.Request) -> None:
    if not request.app[SETTINGS].server.is_loopback:
        raise _refused("The demonstration's user may not log in from other machines")


def _refused(message: str = "Invalid user and/or password") -> ApiError:
    return ApiError(
        401, message, headers={hdrs.WWW_AUTHENTICATE: 'Basic realm="elecdata", charset="UTF-8"'}
    )
