"""Every error as the contract has it, made in one place."""

import logging
from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from domain.readings_query import QueryError
from server.context import REQUEST_ID, SETTINGS
from server.problems import problem_response, uses_problem_details
from server.security.rate_limits import LimitError
from storage.common.errors import NotPrepared, Outdated, StorageError

log = logging.getLogger("server")

RETRY_AFTER = "5"


class ApiError(Exception):
    """An answer other than the one asked for."""

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
    """A parameter is unknown, missing, contradicts itself or is malformed."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message)


@web.middleware
async def handle_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns whatever goes wrong before an answer begins into the contract's shape."""
    try:
        return await handler(request)
    except Exception as error:  # noqa: BLE001 - it is logged, and told as far as it may be
        return _response(request, _explained(request, error))


def _explained(request: web.Request, error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, LimitError):
        return ApiError(error.code, str(error), headers={"Retry-After": str(error.wait)})
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        limit = request.app[SETTINGS].limits.body
        return ApiError(413, f"body: expected at most {limit} bytes")
    if isinstance(error, QueryError):
        return ParameterError(str(error))
    if isinstance(error, web.HTTPException):
        kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        return ApiError(error.status, error.reason, headers=kept)
    if isinstance(error, StorageError):
        log.error("%s %s", request[REQUEST_ID], error)
        return ApiError(503, _public(error), headers={"Retry-After": RETRY_AFTER})
    log.error("%s unexpected error", request[REQUEST_ID], exc_info=error)
    return ApiError(500, f"Unexpected error, logged as {request[REQUEST_ID]}")


def _public(error: StorageError) -> str:
    """What a client may know of the database's trouble."""
    if isinstance(error, NotPrepared):
        return "There are no readings yet, a report has to be loaded first"
    if isinstance(error, Outdated):
        return "The database has an older layout that lacks this: the loader has to be run first"
    return "The readings cannot be read just now, try again later"


def _response(request: web.Request, error: ApiError) -> web.Response:
    if uses_problem_details(request):
        return problem_response(request, error.code, error.message, error.headers)
    return to_response(error)


def to_response(error: ApiError) -> web.Response:
    """An error in the contract's shape."""
    body = {"message": error.message} if error.message else {}
    body |= {"status": error.status, "statusCode": str(error.code)}
    return web.json_response(body, status=error.code, headers=error.headers)
