"""Request parameters, from the query string and the body."""

import asyncio
import codecs
import json
import warnings
from collections.abc import Sequence
from typing import NoReturn

from aiohttp import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    BodyPartReader,
    hdrs,
    web,
)
from aiohttp.http_exceptions import HttpProcessingError

from server.context import SETTINGS
from server.errors import ApiError, ParameterError

Pair = tuple[str, str]

_MALFORMED = (ValueError, LookupError, RuntimeError, HttpProcessingError, web.RequestPayloadError)
"""The errors of reading a body that is not what its headers say."""

_CHARSETS = {"utf-8", "ascii", "iso8859-1"}
"""The charsets of forms: some others take minutes for a megabyte."""

# Python would keep each warning forever, and nobody needs them.
for _warning in (BadContentDispositionHeader, BadContentDispositionParam):
    warnings.simplefilter("ignore", _warning)


async def read_parameters(
    request: web.Request, required: Sequence[str] = (), optional: Sequence[str] = ()
) -> dict[str, str]:
    """Return the parameters of the query string and of a JSON or form body, by name.

    Raise ParameterError if a required one is missing, or one is unknown or contradictory.
    """
    params: dict[str, str] = {}
    pairs = [*request.query.items(), *await _body(request)]
    limit = request.app[SETTINGS].limits.parameters
    if len(pairs) > limit:
        raise ParameterError(f"parameters: expected at most {limit}, got {len(pairs)}")
    for name, value in pairs:
        if name not in required and name not in optional:
            expected = _expected(required, optional)
            raise ParameterError(f"{_short(name)}: unknown parameter, {expected}")
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


async def _body(request: web.Request) -> list[Pair]:
    if not request.can_read_body:
        return []
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise ParameterError("body: expected a JSON object or a form that is not compressed")
    timeout = request.app[SETTINGS].limits.request_time
    try:
        async with asyncio.timeout(timeout):
            return await _read(request)
    except TimeoutError:
        raise ApiError(408, f"body: expected within {timeout:g} s") from None


async def _read(request: web.Request) -> list[Pair]:
    try:
        if request.content_type == "multipart/form-data":
            return await _multipart(request)
        body = await request.read()
        # JSON is also accepted without its media type.
        if request.content_type == "application/json" or body.lstrip()[:1] == b"{":
            return _json(body)
        _require_charset(request.charset)
        pairs = [(name, str(value)) for name, value in (await request.post()).items()]
    except _MALFORMED:
        raise ParameterError("body: expected a JSON object or a form, this is malformed") from None
    if body.strip() and not pairs:
        raise ParameterError("body: expected a JSON object or a form")
    return pairs


async def _multipart(request: web.Request) -> list[Pair]:
    """Return the fields of a multipart form."""
    pairs = []
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise ValueError(part)
        media_type = part.headers.get(hdrs.CONTENT_TYPE, "text/plain")
        if part.filename is not None or not media_type.startswith("text/"):
            raise ParameterError(f"{_short(part.name)}: expected text, not a file")
        charset = part.get_charset("utf-8")
        _require_charset(charset)
        pairs.append((part.name, bytes(await part.read(decode=True)).decode(charset)))
        if request.content.total_bytes > request.client_max_size:
            raise web.HTTPRequestEntityTooLarge(request.client_max_size)
    return pairs


def _require_charset(charset: str | None) -> None:
    if charset is not None and codecs.lookup(charset).name not in _CHARSETS:
        raise ParameterError(f"body: expected UTF-8, got the charset {_short(charset)}")


def _json(body: bytes) -> list[Pair]:
    try:
        pairs = json.loads(body, object_pairs_hook=_Pairs, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        raise ParameterError("body: expected a JSON object, this is malformed") from None
    if not isinstance(pairs, _Pairs):
        raise ParameterError("body: expected a JSON object")
    texts = []
    for name, value in pairs:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ParameterError(f"{_short(name)}: expected text")
        texts.append((name, str(value)))
    return texts


class _Pairs(list[tuple[str, object]]):
    """The members of a JSON object, including those with the same name."""


def _reject_constant(_: str) -> NoReturn:
    raise ValueError


def _short(name: str) -> str:
    return ascii(name[:40])
