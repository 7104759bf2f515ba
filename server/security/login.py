"""Login by user name and password."""

import math

from aiohttp import BasicAuth, hdrs, web

from server.context import CONTEXT, DATABASE, SETTINGS
from server.errors import BASIC, ApiError
from server.security.audit_log import audit
from server.security.login_throttle import LOGIN_THROTTLE, Attempt
from server.security.password_checker import PASSWORD_CHECKER, Asker, BusyError
from server.transport.client_address import (
    client_address,
    is_from_this_machine,
    rate_limit_key,
)
from settings import is_demonstration
from storage.common.errors import StorageError
from storage.common.passwords import UNMATCHABLE_HASH
from storage.users import User

_REFUSED = "Invalid user and/or password"
_DEMONSTRATION = (
    "The demonstration's user may log in on this machine only, use one of elecdata users add"
)


_LOGIN = "login"


async def authenticate_password(request: web.Request, event: str = _LOGIN) -> User:
    """Return the user whose name and password a request carries. Raise ApiError or StorageError."""
    credentials = basic_credentials(request, event)
    name = credentials.login
    user, attempt = await _check(request, event, name, credentials.password)
    if isinstance(user, str):
        raise _refused(request, event, name, user)
    if not user.enabled:
        raise _refused(request, event, name, "disabled")
    if is_demonstration(name, credentials.password) and (
        request.app[SETTINGS].exposures() or not is_from_this_machine(request)
    ):
        raise _refused(request, event, name, "demonstration", _DEMONSTRATION)
    attempt.succeed()
    audit(request, event, name, role=user.role)
    request[CONTEXT].user = name
    return user


def basic_credentials(request: web.Request, event: str) -> BasicAuth:
    """Return the name and password that a request carries; raise ApiError if they are malformed."""
    try:
        return BasicAuth.decode(request.headers.get(hdrs.AUTHORIZATION, ""), encoding="utf-8")
    except ValueError:
        message = _REFUSED
        if request.body_exists and hdrs.AUTHORIZATION not in request.headers:
            message = f"{_REFUSED}: send them by Basic authentication, a body is not read"
        raise _refused(request, event, None, "malformed", message) from None


async def authenticate_again(request: web.Request, password: str, event: str) -> User:
    """Return the user of a request's token, whose password this must be.

    Raise ApiError or StorageError. Failures count as those of a login, and have a name in the log.
    """
    token = request[CONTEXT].token
    assert token is not None
    user, attempt = await _check(request, event, token.user, password)
    if isinstance(user, str):
        audit(request, f"{event} refused", token.user, reason=user)
        raise ApiError(403, "old_password: this is not your password")
    attempt.succeed()
    return user


async def _check(
    request: web.Request, event: str, name: str, password: str
) -> tuple[User | str, Attempt]:
    """Return the user of this name and password, or why there is none, and the attempt.

    The attempt counts as a failure until it succeeds. Raise ApiError if there were too many, or
    StorageError.
    """
    throttle, address = request.app[LOGIN_THROTTLE], client_address(request)
    if wait := throttle.wait(name, address):
        raise throttled(request, event, name, 429, wait)
    attempt = throttle.begin(name, address)
    try:
        user = await request.app[DATABASE].users.user(name)
        is_match = await request.app[PASSWORD_CHECKER].matches(
            asker(request, name), password, user.password if user else UNMATCHABLE_HASH
        )
    except StorageError:
        attempt.cancel()
        raise
    except BusyError:
        attempt.cancel()
        raise busy(request, event, name) from None
    if user is None:
        return "unknown", attempt
    return (user if is_match else "password"), attempt


def asker(request: web.Request, user: str) -> Asker:
    """Return for whom a password is checked."""
    return Asker(user, rate_limit_key(client_address(request)))


def busy(request: web.Request, event: str, name: str) -> ApiError:
    """Return the error for too many password checks at once."""
    return throttled(request, event, name, 503, 1)


def _refused(
    request: web.Request,
    event: str,
    name: str | None,
    reason: str,
    message: str = _REFUSED,
) -> ApiError:
    audit(request, f"{event} refused", name, reason=reason)
    return ApiError(401, message, headers={hdrs.WWW_AUTHENTICATE: BASIC})


def throttled(
    request: web.Request, event: str, name: str | None, code: int, seconds: float
) -> ApiError:
    """Return the error for too many failed logins (429), or too many at once (503)."""
    failed = code == 429
    audit(request, f"{event} refused", name, reason="attempts" if failed else "busy")
    message = "Too many logins have failed" if failed else "Too many logins at once"
    wait = math.ceil(seconds)
    return ApiError(
        code, f"{message}, try again in {wait} s", headers={hdrs.RETRY_AFTER: str(wait)}
    )
