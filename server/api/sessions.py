"""The routes of a session: log in, log out, ping."""

import logging

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp_apispec import docs

from server.api.openapi.responses import LOGIN, LOGOUT, PING
from server.context import CONTEXT, DATABASE, request_id
from server.errors import RETRY_AFTER, ApiError
from server.formats.json import ENVELOPE_END, envelope_start
from server.security.audit_log import audit
from server.security.authentication import TOKEN_HEADER
from server.security.login import authenticate_password
from server.security.tokens import TOKENS
from server.transport.parameters import read_parameters
from server.transport.streaming import JSON_MEDIA_TYPE
from storage.common.errors import NotPrepared, Refused, StorageError

log = logging.getLogger("server")

_TOKEN_SECURITY: list[dict[str, list[str]]] = [{TOKEN_HEADER: []}]


def _login() -> Handler:
    @docs(
        tags=["access"],
        summary="Get a token",
        description=(
            "Send user and password by Basic authentication. Send the returned token with every "
            "other request, in the header SESSION or as Authorization: Bearer."
        ),
        security=[{"basic": []}],
        responses=LOGIN,
    )
    async def login(request: web.Request) -> web.Response:
        user = await authenticate_password(request)
        return web.json_response(
            {
                "Authorization_type": "API Key",
                "In": "header",
                "Key": TOKEN_HEADER,
                "value_token": request.app[TOKENS].issue(user.name, user.generation),
            },
            headers={"Cache-Control": "no-store"},
        )

    described_login: Handler = login
    return described_login


@docs(
    tags=["access"],
    summary="Revoke a token",
    description="The token is revoked on all servers that share the database.",
    security=_TOKEN_SECURITY,
    responses=LOGOUT,
)
async def logout(request: web.Request) -> web.Response:
    """Revoke the token that the request carries."""
    await read_parameters(request, ())
    token = request[CONTEXT].token
    assert token is not None
    try:
        await request.app[DATABASE].users.revoke(token.jti, int(token.expires))
    except StorageError as error:
        log.error("%s %s", request_id(request), error)
        raise _still_good(error) from None
    audit(request, "logout", token.user, jti=token.jti)
    return web.Response(
        body=envelope_start(0, "Logged out") + ENVELOPE_END,
        content_type=JSON_MEDIA_TYPE,
        charset="utf-8",
    )


def _still_good(error: StorageError) -> ApiError:
    """Return the error that says why a token could not be revoked."""
    if isinstance(error, NotPrepared | Refused):
        cause = "the database has to be brought up to date by the loader first"
    else:
        cause = "the database cannot be written just now, try again later"
    return ApiError(503, f"The token is still good: {cause}", headers={"Retry-After": RETRY_AFTER})


@docs(
    tags=["access"],
    summary="Check the service and the token",
    description="Returns no readings. Try it first, after entering a token under Authorize.",
    security=_TOKEN_SECURITY,
    responses=PING,
)
async def ping(request: web.Request) -> web.Response:
    """Answer that the service is available."""
    await read_parameters(request)
    return web.Response(
        body=envelope_start(0, "I'm here!!") + ENVELOPE_END,
        content_type=JSON_MEDIA_TYPE,
        charset="utf-8",
    )


PUBLIC_ROUTES = [
    web.get("/login", _login(), allow_head=False),
    web.post("/login", _login()),
]
ROUTES = [
    web.post("/logout", logout),
    web.get("/apielec/ping", ping, allow_head=False),
]
