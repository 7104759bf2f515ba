"""Errors as RFC 9457 describes them, for routes that the original service did not have."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from server.context import REQUEST_ID

CONTENT_TYPE = "application/problem+json"
_PATHS = ("/health/", "/metrics")


def uses_problem_details(request: web.Request) -> bool:
    """Whether errors of what a request asks for are told this way."""
    return request.path.startswith(_PATHS)


def problem_response(
    request: web.Request, code: int, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error as an object with type, title, status and detail."""
    body = {"type": "about:blank", "title": HTTPStatus(code).phrase, "status": code}
    if message and message != body["title"]:
        body["detail"] = message
    body["request_id"] = request[REQUEST_ID]
    return web.Response(
        body=json.dumps(body, ensure_ascii=False).encode(),
        status=code,
        headers=headers,
        content_type=CONTENT_TYPE,
    )
