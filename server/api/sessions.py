"""The routes of a session: log in, log out, ping."""

import logging

from aiohttp import web
from aiohttp_apispec import docs

from server.api.openapi.responses import LOGIN, LOGOUT, PING, PUBLIC_KEYS
from server.context import DATABASE, request_id
from server.errors import RETRY_AFTER, ApiError
from server.formats.json import ENVELOPE_END, envelope_start
from server.security.audit_log import audit
from server.security.authentication import TOKEN_HEADER, session_token
from server.security.credentials.session_recorder import SESSION_RECORDER
from server.security.login import authenticate_password
from server.security.tokens import TOKENS
from server.transport.parameters import read_parameters
from server.transport.streaming import JSON_MEDIA_TYPE
from storage.common.errors import NotPrepared, Outdated, Refused, StorageError
from storage.users import User

_KEYS_CACHED = "public, max-age=300"
"""Others may keep the public keys for five minutes: append a key longer before it signs."""

log = logging.getLogger("server")

TOKEN_SECURITY: list[dict[str, list[str]]] = [{TOKEN_HEADER: []}]


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
    """Return a new token of the user whose name and password the request carries."""
    request.app[TOKENS].require_signer()
    return await begin_session(request, await authenticate_password(request))


async def begin_session(request: web.Request, user: User) -> web.Response:
    """Return a new token of a user, and record the session. Raise ApiError if no key signs."""
    text, token = request.app[TOKENS].issue_with_claims(user.name, user.generation)
    await request.app[SESSION_RECORDER].record(request, token)
    return web.json_response(
        {
            "Authorization_type": "API Key",
            "In": "header",
            "Key": TOKEN_HEADER,
            "value_token": text,
        },
        headers={"Cache-Control": "no-store"},
    )


@docs(
    tags=["access"],
    summary="Get the public keys of tokens",
    description=(
        "The Ed25519 keys with which other services can verify tokens, as a JSON Web Key Set. They "
        "cannot see whether a token was revoked."
    ),
    security=[],
    responses=PUBLIC_KEYS,
)
async def public_keys(request: web.Request) -> web.Response:
    """Return the public keys of auth.keys. Raise ApiError if there is none."""
    await read_parameters(request, with_body=False)
    keys = request.app[TOKENS].public_keys()
    if not keys:
        raise ApiError(404, "Tokens are signed with secrets, there are no public keys")
    return web.json_response({"keys": keys}, headers={"Cache-Control": _KEYS_CACHED})


@docs(
    tags=["access"],
    summary="Revoke a token",
    description="The token is revoked on all servers that share the database.",
    security=TOKEN_SECURITY,
    responses=LOGOUT,
)
async def logout(request: web.Request) -> web.Response:
    """Revoke the token that the request carries."""
    await read_parameters(request, with_body=False)
    token = session_token(request)
    try:
        await request.app[DATABASE].users.revoke(token.jti, int(token.expires))
    except StorageError as error:
        raise not_written(request, error, "The token is still good") from None
    audit(request, "logout", token.user)
    return done("Logged out")


def done(message: str) -> web.Response:
    """Return a success without records."""
    return web.Response(
        body=envelope_start(0, message) + ENVELOPE_END,
        content_type=JSON_MEDIA_TYPE,
        charset="utf-8",
    )


def not_written(request: web.Request, error: StorageError, consequence: str) -> ApiError:
    """Log and return the error that says why something could not be written."""
    log.error("%s %s", request_id(request), error)
    if isinstance(error, NotPrepared | Outdated | Refused):
        cause = "the database has to be brought up to date by the loader first"
    else:
        cause = "the database cannot be written just now, try again later"
    return ApiError(503, f"{consequence}: {cause}", headers={"Retry-After": RETRY_AFTER})


@docs(
    tags=["access"],
    summary="Check the service and the token",
    description="Returns no readings. Try it first, after entering a token under Authorize.",
    security=TOKEN_SECURITY,
    responses=PING,
)
async def ping(request: web.Request) -> web.Response:
    """Answer that the service is available."""
    await read_parameters(request, with_body=False)
    return done("I'm here!!")


PUBLIC_ROUTES = [
    web.get("/login", login),
    web.post("/login", login),
    web.get("/.well-known/jwks.json", public_keys),
]
ROUTES = [
    web.post("/logout", logout),
    web.get("/apielec/ping", ping),
]
