"""The routes of users' own accounts: change the password, list and end sessions."""

import re

from aiohttp import web
from aiohttp_apispec import docs, form_schema

from domain.parameters import Parameter
from server.api.openapi.fields import parameters_schema
from server.api.openapi.responses import (
    CHANGE_PASSWORD,
    END_OTHER_SESSIONS,
    END_SESSION,
    SESSIONS,
)
from server.api.sessions import TOKEN_SECURITY, begin_session, done, not_written
from server.context import DATABASE, SETTINGS
from server.errors import ApiError, ParameterError
from server.security.audit_log import audit
from server.security.authentication import session_token
from server.security.login import asker, authenticate_again, busy
from server.security.password_checker import PASSWORD_CHECKER, BusyError
from server.security.tokens import TOKENS
from server.security.upload import admitted_parameters
from storage.common.errors import NotPrepared, Refused, StorageError
from storage.sessions import ID_LENGTH

_OLD = Parameter(
    "old_password",
    "The user's password until now.",
    example="the password until now",
    is_required=True,
)
_NEW = Parameter(
    "new_password",
    "The user's password from now on, 10 to 256 characters.",
    example="a long walk in the rain",
    is_required=True,
)
_ID = Parameter(
    "id",
    "The id of a session, as getSessions shows it.",
    example="q3GcJw8A",
    pattern=f"^[A-Za-z0-9_.-]{{{ID_LENGTH}}}$",
    is_required=True,
)
_CHANGE = "password change"


@docs(
    tags=["access"],
    summary="Change your password",
    description=(
        "All tokens of the user end with it, on all servers; the response has a new one. Send the "
        "parameters in the body. Wrong old passwords count as failed logins."
    ),
    security=TOKEN_SECURITY,
    responses=CHANGE_PASSWORD,
)
@form_schema(parameters_schema([_OLD, _NEW]))
async def change_password(request: web.Request) -> web.Response:
    """Change the password of the user who asks, and return a new token."""
    if request.query_string:
        raise ParameterError("query: expected the parameters in the body, since URLs are logged")
    params = await admitted_parameters(request, [_OLD.name, _NEW.name])
    if not request.app[SETTINGS].has_own_passwords:
        raise ApiError(403, "Users cannot change their own passwords here (auth.own_password)")
    old, new = params[_OLD.name], params[_NEW.name]
    if any("\ud800" <= letter <= "\udfff" for letter in old):
        raise ParameterError("old_password: expected text that can be written as UTF-8")
    request.app[TOKENS].require_signer()
    token, checker = session_token(request), request.app[PASSWORD_CHECKER]
    user = await authenticate_again(request, old, _CHANGE)
    try:
        own = asker(request, user.name)
        fault = await checker.fault(own, new)
        if fault is None and new == old:
            fault = "expected another than the old one"
        if fault is not None:
            raise ParameterError(f"new_password: {fault}")
        hashed = await checker.hash(own, new)
    except BusyError:
        raise busy(request, _CHANGE, user.name) from None
    try:
        changed = await request.app[DATABASE].users.change_password(user, hashed)
    except StorageError as error:
        is_certain = isinstance(error, Refused | NotPrepared)
        consequence = (
            "The password is unchanged"
            if is_certain
            else "It is not certain that the password was changed"
        )
        raise not_written(request, error, consequence) from None
    if changed is None:
        raise ApiError(409, "The password was changed by somebody else meanwhile")
    audit(request, "password changed", token.user)
    return await begin_session(request, changed)


@docs(
    tags=["access"],
    summary="List your sessions",
    description=(
        "The logins whose tokens are still good, at most the latest 100. A login during which the "
        "database could not be written is missing; a change of the password ends its token, too."
    ),
    security=TOKEN_SECURITY,
    responses=SESSIONS,
)
async def get_sessions(request: web.Request) -> web.Response:
    """List the sessions of the user who asks."""
    await admitted_parameters(request)
    token = session_token(request)
    sessions = await request.app[DATABASE].sessions.sessions(token.user, token.generation)
    records = [
        session.described() | {"current": "true" if session.jti == token.jti else "false"}
        for session in sessions
    ]
    return web.json_response(
        {
            "message": "" if records else "No data found",
            "status": "OK",
            "statusCode": 200,
            "values": {"numrecs": len(records), "records": records},
        },
        headers={"Cache-Control": "no-store"},
    )


@docs(
    tags=["access"],
    summary="End one of your sessions",
    description="Its token is revoked on all servers that share the database.",
    security=TOKEN_SECURITY,
    responses=END_SESSION,
)
@form_schema(parameters_schema([_ID]))
async def end_session(request: web.Request) -> web.Response:
    """End a session of the user who asks."""
    params = await admitted_parameters(request, [_ID.name])
    session_id, token = params[_ID.name], session_token(request)
    assert _ID.pattern is not None
    if not re.fullmatch(_ID.pattern, session_id):
        raise ParameterError(
            f"id: expected an id of getSessions, {ID_LENGTH} of A-Z, a-z, 0-9, -, _ and ."
        )
    try:
        is_ended = await request.app[DATABASE].sessions.end(
            token.user, token.generation, session_id
        )
    except StorageError as error:
        raise not_written(request, error, "The session goes on") from None
    if not is_ended:
        raise ApiError(404, "id: there is no such session")
    audit(request, "session ended", token.user, session=session_id)
    return done("Session ended")


@docs(
    tags=["access"],
    summary="End your other sessions",
    description=(
        "The tokens of all sessions that getSessions shows are revoked, on all servers that share "
        "the database, except the token of this request."
    ),
    security=TOKEN_SECURITY,
    responses=END_OTHER_SESSIONS,
)
async def end_other_sessions(request: web.Request) -> web.Response:
    """End all sessions of the user who asks but the session of the request."""
    await admitted_parameters(request)
    token = session_token(request)
    try:
        await request.app[DATABASE].sessions.end_others(token.user, token.generation, token.jti)
    except StorageError as error:
        raise not_written(request, error, "The sessions go on") from None
    audit(request, "other sessions ended", token.user)
    return done("The other sessions are ended")


ROUTES = [
    web.post("/apielec/changePassword", change_password),
    web.get("/apielec/getSessions", get_sessions),
    web.post("/apielec/endSession", end_session),
    web.post("/apielec/endOtherSessions", end_other_sessions),
]
