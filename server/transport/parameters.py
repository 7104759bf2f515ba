"""Request parameters, from the query string and the body."""

import asyncio
from collections.abc import Sequence

from aiohttp import HttpVersion11, hdrs, web

from server.context import SETTINGS
from server.errors import ApiError, ParameterError
from server.transport.bodies import (
    Pair,
    TooManyError,
    form_pairs,
    json_pairs,
    multipart_pairs,
    require_charset,
    shortened,
)

_MALFORMED = (ValueError, LookupError, web.RequestPayloadError)
"""The errors of reading a body that is not what its headers say."""

_FORM = "application/x-www-form-urlencoded"

_MAX_MEDIA_TYPE = 200
"""Characters of a Content-Type; parsing it takes time that grows with their square."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def expect_later(request: web.Request) -> None:
    """Invite the client to send its body only once somebody is going to read it."""
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        raise web.HTTPExpectationFailed


async def read_parameters(
    request: web.Request,
    required: Sequence[str] = (),
    optional: Sequence[str] = (),
    *,
    with_body: bool = True,
) -> dict[str, str]:
    """Return the parameters of the query string and of a JSON or form body, by name.

    Without `with_body`, a body is left unread. Raise ParameterError if a required parameter is
    missing, or one is unknown or contradictory.
    """
    params: dict[str, str] = {}
    limit = request.app[SETTINGS].limits.parameters
    try:
        pairs = form_pairs(request.rel_url.raw_query_string, limit)
        if with_body and request.can_read_body:
            pairs += await _body(request, limit - len(pairs))
    except TooManyError:
        raise ParameterError(f"parameters: expected at most {limit}, got more") from None
    for name, value in pairs:
        if name not in required and name not in optional:
            expected = _expected(required, optional)
            raise ParameterError(f"{shortened(name)}: unknown parameter, {expected}")
        if params.setdefault(name, value) != value:
            raise ParameterError(f"{name}: given twice with different values")
    for name in required:
        if name not in params:
            raise ParameterError(f"{name}: missing")
    return params


def _expected(required: Sequence[str], optional: Sequence[str]) -> str:
    if not optional:
        return f"expected {' and '.join(required)}" if required else "none is expected here"
    any_of = f"any of {', '.join(optional)}"
    return f"expected {' and '.join(required)}, and {any_of}" if required else f"expected {any_of}"


async def _body(request: web.Request, limit: int) -> list[Pair]:
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise ParameterError("body: expected a JSON object or a form that is not compressed")
    if len(request.headers.get(hdrs.CONTENT_TYPE, "")) > _MAX_MEDIA_TYPE:
        raise ParameterError(f"Content-Type: expected at most {_MAX_MEDIA_TYPE} characters")
    timeout = request.app[SETTINGS].limits.request_time
    try:
        async with asyncio.timeout(timeout):
            if hdrs.EXPECT in request.headers and request.version == HttpVersion11:
                await request.writer.write(_CONTINUE)
                # The head of the response has not begun.
                request.writer.output_size = 0
            return await _read(request, limit)
    except TimeoutError:
        raise ApiError(408, f"body: expected within {timeout:g} s") from None


async def _read(request: web.Request, limit: int) -> list[Pair]:
    try:
        body = await request.read()
        if request.content_type == "multipart/form-data":
            return multipart_pairs(body, request.headers[hdrs.CONTENT_TYPE], limit)
        # JSON is also accepted without its media type.
        if request.content_type == "application/json" or body.lstrip()[:1] == b"{":
            return json_pairs(body, limit)
        require_charset(request.charset)
        pairs = []
        if request.method == hdrs.METH_POST and request.content_type in ("", _FORM):
            charset = request.charset or "utf-8"
            # Where it is not UTF-8, Python itself decodes the escapes, one by one.
            pairs = await asyncio.to_thread(
                form_pairs, body.rstrip().decode(charset), limit, charset
            )
    except _MALFORMED:
        raise ParameterError("body: expected a JSON object or a form, this is malformed") from None
    if body.strip() and not pairs:
        raise ParameterError("body: expected a JSON object or a form")
    return pairs
