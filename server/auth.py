"""Who may ask: nobody without a token, except where a handler says so itself."""

import math
from typing import TypeVar

from aiohttp import BasicAuth, hdrs, web
from aiohttp.typedefs import Handler

from server.audit import audit
from server.errors import ApiError
from server.hashing import BusyError
from server.keys import (
    ATTEMPTS,
    HASHING,
    READER,
    REQUESTS,
    SETTINGS,
    STATE,
    TOKEN,
    TOKENS,
    USER,
)
from server.limits import LimitError
from server.proxies import client_address
from server.tokens import InvalidTokenError, Token
from settings import is_demonstration
from storage.access import User
from storage.errors import StorageError
from storage.passwords import NOBODY
from storage.query import QueryError

TOKEN_HEADER = "SESSION"  # noqa: S105 - the name of a header
H = TypeVar("H", bound=Handler)


def public(handler: H) -> H:
    """Marks a handler that serves anybody."""
    handler.is_public = True  # type: ignore[attr-defined]
    return handler


def uncounted(handler: H) -> H:
    """Marks a handler that answers however often it is asked."""
    handler.is_uncounted = True  # type: ignore[attr-defined]
    return handler


@web.middleware
async def auth(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets a request pass that carries a token of ours, or asks for what is public."""
    match = request.match_info
    requests = request.app[REQUESTS]
    if not getattr(match.handler, "is_uncounted", False):
        requests.count_address(client_address(request))
    if match.http_exception is not None or getattr(match.handler, "is_public", False):
        return await handler(request)
    try:
        token = request[TOKEN] = request.app[TOKENS].token(_text(request))
    except InvalidTokenError as error:
        raise _invalid(str(error)) from None
    requests.count_user(token.user)
    try:
        return await handler(request)
    except (ApiError, QueryError, LimitError):
        if STATE not in request:
            await _require_standing(request, token)
        raise


@web.middleware
async def standing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets a request pass whose token nobody has revoked.

    It comes after the parameters were read, which is quicker: other requests' parameters are
    read while the database answers.
    """
    token = request.get(TOKEN)
    if token is not None:
        await _require_standing(request, token)
    return await handler(request)


def _invalid(message: str) -> ApiError:
    return ApiError(406, message, status="Token is invalid")


def _text(request: web.Request) -> str:
    token = request.headers.get(TOKEN_HEADER)
    if token is None:
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer":
            raise ApiError(405, status="Token is missing")
    return token.strip()


async def _require_standing(request: web.Request, token: Token) -> None:
    """Notes the state of the data and the user, and raises ApiError where the token is revoked.

    What the database said of a token holds until it counts another change of users or
    revocations. A database that the loader has not brought up to date counts none.
    """
    reader = request.app[READER]
    state = request[STATE] = await reader.state()
    if token.access != state.access and state.access is not None:
        role = await reader.access.role(token.user, token.generation, token.jti)
        if role is None:
            raise _invalid("The token has been revoked, log in again")
        token.role, token.access = role, state.access
    request[USER] = token.user


async def is_admin(request: web.Request) -> bool:
    """Whether a request carries a good token of an admin; raises StorageError."""
    try:
        token = request.app[TOKENS].token(_text(request))
        await _require_standing(request, token)
    except (InvalidTokenError, ApiError):
        return False
    return token.role == "admin"


async def logged_in(request: web.Request) -> User:
    """The user whose name and password a request gives; raises ApiError."""
    try:
        given = BasicAuth.decode(request.headers.get(hdrs.AUTHORIZATION, ""), encoding="utf-8")
    except ValueError:
        raise _refused(request, None, "malformed") from None
    attempts, name, address = request.app[ATTEMPTS], given.login, client_address(request)
    if wait := attempts.wait(name, address):
        raise _put_off(request, name, 429, wait)
    attempts.begin(name, address)
    try:
        user = await request.app[READER].access.user(name)
        right = await request.app[HASHING].matches(
            given.password, user.password if user else NOBODY
        )
    except StorageError:
        attempts.undone(name, address)
        raise
    except BusyError:
        attempts.undone(name, address)
        raise _put_off(request, name, 503, 1) from None
    if user is None or not right:
        raise _refused(request, name, "password" if user else "unknown")
    if not user.enabled:
        raise _refused(request, name, "disabled")
    if is_demonstration(name, given.password) and not request.app[SETTINGS].server.is_loopback:
        message = "The demonstration's user may not log in from other machines"
        raise _refused(request, name, "demonstration", message)
    attempts.succeeded(name, address)
    audit(request, "login", name, role=user.role)
    request[USER] = name
    return user


def _refused(
    request: web.Request,
    name: str | None,
    reason: str,
    message: str = "Invalid user and/or password",
) -> ApiError:
    audit(request, "login refused", name, reason=reason)
    return ApiError(
        401, message, headers={hdrs.WWW_AUTHENTICATE: 'Basic realm="elecdata", charset="UTF-8"'}
    )


def _put_off(request: web.Request, name: str, code: int, seconds: float) -> ApiError:
    """Too many logins have failed, or are under way."""
    failed = code == 429
    audit(request, "login refused", name, reason="attempts" if failed else "busy")
    message = "Too many logins have failed" if failed else "Too many logins at once"
    wait = math.ceil(seconds)
    return ApiError(
        code, f"{message}, try again in {wait} s", headers={hdrs.RETRY_AFTER: str(wait)}
    )
