"""Authentication by token, which all routes need except the public ones."""

import asyncio
from collections.abc import Hashable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from server.context import CONTEXT, DATABASE, SETTINGS, RequestContext, Token
from server.errors import ApiError, TokenError
from server.security.access import ACCESS
from server.security.credentials.api_keys import API_KEYS, require_unexpired
from server.security.credentials.basic import BASIC_LOGINS
from server.security.rate_limits import REQUEST_LIMITER
from server.security.tokens import TOKENS, InvalidTokenError
from server.transport.client_address import client_address, is_from_this_machine
from storage.access.api_keys import API_KEY_PREFIX

_MAX_METER_LENGTH = 64

METER_IN_PATH = "meter"
"""Names the part of a path that is a meter's public id."""

TOKEN_HEADER = "SESSION"  # noqa: S105 - the name of a header


def authenticate(
    public: AbstractSet[Any],
    unlimited: AbstractSet[Any],
    *,
    with_body: AbstractSet[Any],
    leaving_body: AbstractSet[Any],
) -> Middleware:
    """Return the middleware that admits requests with a valid token, and those of public handlers.

    Requests of `unlimited` handlers do not count towards the rate limits. Handlers other than those
    `with_body` get no body: those `leaving_body` answer as if there was none, the others not at
    all. Raise ApiError: 405 without a token, 406 with an invalid one, 413 with a body that nobody
    expects; RateLimited above the limits.
    """

    @web.middleware
    async def authentication(request: web.Request, handler: Handler) -> web.StreamResponse:
        match, limiter = request.match_info, request.app[REQUEST_LIMITER]
        if match.handler not in unlimited:
            limiter.count_address(client_address(request))
        if match.http_exception is None and match.handler not in public:
            context = request[CONTEXT]
            context.meter = match.get(METER_IN_PATH) or _named_meter(request)
            token = await _verified_token(request)
            await _check_revocation(request, context, token)
            limiter.count_user(token.user)
            context.token, context.user = token, token.user
        if not request.body_exists or not request.can_read_body:
            return await handler(request)
        if match.handler in leaving_body:
            response = await handler(request)
            response.force_close()
            return response
        if match.http_exception is None and match.handler not in with_body:
            await _expect_no_body(request)
        return await handler(request)

    return authentication


def _named_meter(request: web.Request) -> str | None:
    """Return the meter that the URL names, whose state is read together with that of the users."""
    url = request.rel_url
    meter = url.query.get("meter") if "meter=" in url.raw_query_string else None
    meter = meter and meter.partition(",")[0]
    return None if meter is None or len(meter) > _MAX_METER_LENGTH else meter


async def _expect_no_body(request: web.Request) -> None:
    """Raise ApiError for a body. Chunks may turn out to be none, once their end comes."""
    if request.content_length is None and hdrs.EXPECT not in request.headers:
        timeout = request.app[SETTINGS].limits.request_time
        try:
            async with asyncio.timeout(timeout):
                with suppress(web.RequestPayloadError):
                    if not await request.content.readany():
                        return
        except TimeoutError:
            raise ApiError(408, f"body: expected within {timeout:g} s") from None
    raise ApiError(413, "body: none is expected here")


async def check_access(request: web.Request) -> None:
    """Load the state of the data again; raise ApiError if the token was revoked meanwhile."""
    context = request[CONTEXT]
    assert context.token is not None
    await _check_revocation(request, context, context.token)


async def is_admin(request: web.Request) -> bool:
    """Return whether a request carries a valid token of an admin. Raise StorageError."""
    try:
        token = await _verified_token(request)
        await _check_revocation(request, request[CONTEXT], token)
    except ApiError:
        return False
    request[CONTEXT].token, request[CONTEXT].user = token, token.user
    return token.viewer.is_unlimited


async def _verified_token(request: web.Request) -> Token:
    """Return the token of a request, or what stands for one where it carries an API key.

    So it does for name and password, where they are accepted.
    """
    text = request.headers.get(TOKEN_HEADER)
    if text is None:
        scheme, _, text = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() == "basic" and request.app[SETTINGS].auth.basic:
            return await request.app[BASIC_LOGINS].token(request)
        if scheme.lower() != "bearer":
            raise TokenError(is_missing=True)
    text = text.strip()
    if text.startswith(API_KEY_PREFIX):
        return await request.app[API_KEYS].token(request, text)
    tokens = request.app[TOKENS]
    if tokens.may_be_forged and not is_from_this_machine(request):
        raise TokenError("The demonstration's tokens are for this machine only, set auth.secret")
    try:
        return tokens.verify(text)
    except InvalidTokenError as error:
        raise TokenError(str(error)) from None


async def _check_revocation(request: web.Request, context: RequestContext, token: Token) -> None:
    """Load the state of the data that the user may see; raise ApiError for a revoked token.

    The result is reused until the database counts another change of users or revocations. A
    database with an older schema counts none.
    """
    accesses = request.app[ACCESS]
    while True:
        viewer = token.viewer
        state = await accesses.state(token, context.meter)
        if token.auth_version != state.auth_version and state.auth_version is not None:
            await _renew(request, token, state.auth_version)
        # Another viewer may mean another meter where none is named.
        if token.viewer == viewer:
            break
    require_unexpired(request, token)
    await accesses.resolve(context, token, state)


async def _renew(request: web.Request, token: Token, auth_version: Hashable) -> None:
    """Look up whether a token is still good, and of which role its user is; raise ApiError."""
    if token.key is not None:
        await request.app[API_KEYS].renew(request, token, auth_version)
    elif token.is_basic:
        await request.app[BASIC_LOGINS].renew(request, token, auth_version)
    else:
        users = request.app[DATABASE].users
        role = await users.role(token.user, token.generation, token.jti)
        if role is None:
            raise TokenError("The token has been revoked, log in again")
        token.admit(role, auth_version)


def session_token(request: web.Request) -> Token:
    """Return the token of a request's session; raise ApiError if it carries none."""
    token = request[CONTEXT].token
    assert token is not None
    if not token.has_session:
        raise ApiError(403, "This is for the sessions of users: log in, and send the token")
    return token
