"""Login by user name and password."""

import math

from aiohttp import BasicAuth, hdrs, web

from server.context import CONTEXT, DATABASE, SETTINGS
from server.errors import ApiError
from server.security.audit_log import audit
from server.security.login_throttle import LOGIN_THROTTLE
from server.security.password_checker import PASSWORD_CHECKER, BusyError
from server.transport.client_address import client_address, is_from_this_machine
from settings import is_demonstration
from storage.common.errors import StorageError
from storage.common.passwords import UNMATCHABLE_HASH
from storage.users import User

_DEMONSTRATION = (
    "The demonstration's user may log in on this machine only, use one of elecdata users add"
)


async def authenticate_password(request: web.Request) -> User:
    """Return the user whose name and password a request carries. Raise ApiError or StorageError."""
    try:
        credentials = BasicAuth.decode(
            request.headers.get(hdrs.AUTHORIZATION, ""), encoding="utf-8"
        )
    except ValueError:
        raise _refused(request, None, "malformed") from None
    throttle, name, address = (
        request.app[LOGIN_THROTTLE],
        credentials.login,
        client_address(request),
    )
    if wait := throttle.wait(name, address):
        raise _throttled(request, name, 429, wait)
    attempt = throttle.begin(name, address)
    try:
        user = await request.app[DATABASE].users.user(name)
        is_match = await request.app[PASSWORD_CHECKER].matches(
            credentials.password, user.password if user else UNMATCHABLE_HASH
        )
    except StorageError:
        attempt.cancel()
        raise
    except BusyError:
        attempt.cancel()
        raise _throttled(request, name, 503, 1) from None
    if user is None or not is_match:
        raise _refused(request, name, "password" if user else "unknown")
    if not user.enabled:
        raise _refused(request, name, "disabled")
    if is_demonstration(name, credentials.password) and (
        request.app[SETTINGS].exposures() or not is_from_this_machine(request)
    ):
        raise _refused(request, name, "demonstration", _DEMONSTRATION)
    attempt.succeed()
    audit(request, "login", name, role=user.role)
    request[CONTEXT].user = name
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


def _throttled(request: web.Request, name: str, code: int, seconds: float) -> ApiError:
    """Return the error for too many failed logins (429), or too many at once (503)."""
    failed = code == 429
    audit(request, "login refused", name, reason="attempts" if failed else "busy")
    message = "Too many logins have failed" if failed else "Too many logins at once"
    wait = math.ceil(seconds)
    return ApiError(
        code, f"{message}, try again in {wait} s", headers={hdrs.RETRY_AFTER: str(wait)}
    )
