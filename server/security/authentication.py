"""Who may ask: nobody without a token, except where a handler says so itself."""

from typing import TypeVar

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from domain.readings_query import QueryError
from server.context import (
    DATA_STATE,
    DATABASE,
    REQUEST_LIMITER,
    TOKEN,
    TOKENS,
    USER,
)
from server.errors import ApiError
from server.security.rate_limits import LimitError
from server.security.tokens import InvalidTokenError, Token
from server.transport.client_address import client_address

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
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets a request pass that carries a token of ours, or asks for what is public."""
    match = request.match_info
    requests = request.app[REQUEST_LIMITER]
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
        if DATA_STATE not in request:
            await _load_access(request, token)
        raise


@web.middleware
async def check_revocation(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets a request pass whose token nobody has revoked.

    It comes after the parameters were read, which is quicker: other requests' parameters are
    read while the database answers.
    """
    token = request.get(TOKEN)
    if token is not None:
        await _load_access(request, token)
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


async def _load_access(request: web.Request, token: Token) -> None:
    """Notes the state of the data and the user, and raises ApiError where the token is revoked.

    What the database said of a token holds until it counts another change of users or
    revocations. A database that the loader has not brought up to date counts none.
    """
    reader = request.app[DATABASE]
    state = request[DATA_STATE] = await reader.state()
    if token.access != state.auth_version and state.auth_version is not None:
        role = await reader.users.role(token.user, token.generation, token.jti)
        if role is None:
            raise _invalid("The token has been revoked, log in again")
        token.role, token.access = role, state.auth_version
    request[USER] = token.user


async def is_admin(request: web.Request) -> bool:
    """Whether a request carries a good token of an admin; raises StorageError."""
    try:
        token = request.app[TOKENS].token(_text(request))
        await _load_access(request, token)
    except (InvalidTokenError, ApiError):
        return False
    return token.role == "admin"
