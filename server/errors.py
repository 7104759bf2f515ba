"""Errors and their responses.

ApiError              an HTTP status, a message and headers
├── ParameterError    400: a parameter is unknown, missing, contradictory or malformed
├── TokenError        401, on the contract's routes 405 or 406: no token, or one that is not good
└── RateLimited       429 or 503: a client asks for more than it may

Routes of the original service tell errors in the contract's shape; the others as problem details
(RFC 9457).
"""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import hdrs, web

from domain.readings_query import QueryError
from server.context import SETTINGS, request_id
from storage.common.errors import NotPrepared, Outdated, Overtaken, StorageError

log = logging.getLogger("server")

RETRY_AFTER = "5"
PROBLEM_MEDIA_TYPE = "application/problem+json"
_PROBLEM_PATHS = ("/health/", "/metrics", "/v1/")
_BEARER = 'Bearer realm="elecdata"'
BASIC = 'Basic realm="elecdata", charset="UTF-8"'
"""The challenge to send name and password."""


class ApiError(Exception):
    """A request that is answered with an error."""

    def __init__(
        self,
        code: int,
        message: str = "",
        *,
        status: str = "ERROR",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.headers = headers


class ParameterError(ApiError):
    """A parameter is unknown, missing, contradictory or malformed."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message)


class TokenError(ApiError):
    """A request carries no token, or one that is not good."""

    def __init__(self, message: str = "", *, is_missing: bool = False) -> None:
        if is_missing:
            super().__init__(405, status="Token is missing")
        else:
            super().__init__(406, message, status="Token is invalid")

    def as_unauthorized(self, *, offers_basic: bool) -> ApiError:
        """Return the error as HTTP has it (RFC 9110, RFC 6750)."""
        message = self.message or "The token is missing: send one as Authorization: Bearer"
        challenge = f'{_BEARER}, error="invalid_token"' if self.message else _BEARER
        if offers_basic:
            challenge = f"{challenge}, {BASIC}"
        return ApiError(401, message, headers={hdrs.WWW_AUTHENTICATE: challenge})


class RateLimited(ApiError):  # noqa: N818 - named for the state of the client
    """A client asks for more than it may, and should try again in some seconds."""

    def __init__(self, code: int, message: str, wait: int) -> None:
        self.wait = wait
        """Seconds."""
        message = f"{message}, try again in {wait} s"
        super().__init__(code, message, headers={hdrs.RETRY_AFTER: str(wait)})


def error_response(request: web.Request, error: Exception) -> web.Response:
    """Return the response to a request that failed; log what is the service's own fault."""
    api_error = _to_api_error(request, error)
    if request.path.startswith(_PROBLEM_PATHS):
        if isinstance(api_error, TokenError):
            offers_basic = request.app[SETTINGS].auth.basic
            api_error = api_error.as_unauthorized(offers_basic=offers_basic)
        return _problem_details(request, api_error)
    return to_response(api_error)


def to_response(error: ApiError) -> web.Response:
    """Return an error in the contract's shape."""
    body = {"message": error.message} if error.message else {}
    body |= {"status": error.status, "statusCode": str(error.code)}
    return web.json_response(body, status=error.code, headers=error.headers)


def _problem_details(request: web.Request, error: ApiError) -> web.Response:
    body = {"type": "about:blank", "title": HTTPStatus(error.code).phrase, "status": error.code}
    if error.message and error.message != body["title"]:
        body["detail"] = error.message
    body["request_id"] = request_id(request)
    return web.Response(
        body=json.dumps(body, ensure_ascii=False).encode(),
        status=error.code,
        headers=error.headers,
        content_type=PROBLEM_MEDIA_TYPE,
    )


def _to_api_error(request: web.Request, error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        limit = request.app[SETTINGS].limits.body
        return ApiError(413, f"body: expected at most {limit} bytes")
    if isinstance(error, QueryError):
        return ParameterError(str(error))
    if isinstance(error, web.HTTPException):
        headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        return ApiError(error.status, error.reason, headers=headers)
    if isinstance(error, StorageError):
        log.error("%s %s", request_id(request), error)
        return ApiError(503, _public(error), headers={hdrs.RETRY_AFTER: RETRY_AFTER})
    log.error("%s unexpected error", request_id(request), exc_info=error)
    return ApiError(500, f"Unexpected error, logged as {request_id(request)}")


def _public(error: StorageError) -> str:
    """Return what a client may know of the database's trouble."""
    if isinstance(error, NotPrepared):
        return "There are no readings yet, a report has to be loaded first"
    if isinstance(error, Outdated):
        return "The database has an older layout that lacks this: the loader has to be run first"
    if isinstance(error, Overtaken):
        return "The readings change faster than they can be read, try again later"
    return "The readings cannot be read just now, try again later"
