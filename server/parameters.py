"""The parameters of a request, wherever it carries them."""

import json
from collections.abc import Mapping, Sequence
from typing import NoReturn

from aiohttp import web

from server.errors import ParameterError

Pair = tuple[str, str]


async def parameters(
    request: web.Request, required: Sequence[str] = (), optional: Sequence[str] = ()
) -> dict[str, str]:
    """The parameters of the query string and of a JSON or form body, by name.

    Each required one stands there, and none that is unknown; raises ParameterError where that
    is not so.
    """
    found: dict[str, str] = {}
    for name, value in [*request.query.items(), *await _body(request)]:
        if name not in required and name not in optional:
            known = _known(required, optional)
            raise ParameterError(f"{_short(name)}: unknown parameter, {known}")
        if found.setdefault(name, value) != value:
            raise ParameterError(f"{name}: given twice with different values")
    for name in required:
        if name not in found:
            raise ParameterError(f"{name}: missing")
    return found


def _known(required: Sequence[str], optional: Sequence[str]) -> str:
    if not optional:
        return f"expected {' and '.join(required)}" if required else "none is expected here"
    any_of = f"any of {', '.join(optional)}"
    return f"expected {' and '.join(required)}, and {any_of}" if required else f"expected {any_of}"


async def _body(request: web.Request) -> list[Pair]:
    if not request.can_read_body:
        return []
    try:
        if request.content_type == "multipart/form-data":
            return _form(await request.post())
        body = await request.read()
        # Clients that don't bother to name the type of their JSON are understood as well.
        if request.content_type == "application/json" or body.lstrip()[:1] == b"{":
            return _json(body)
        pairs = _form(await request.post())
    except (ValueError, LookupError, web.RequestPayloadError):
        raise ParameterError("body: expected a JSON object or a form, this is malformed") from None
    if body.strip() and not pairs:
        raise ParameterError("body: expected a JSON object or a form")
    return pairs


def _form(form: Mapping[str, object]) -> list[Pair]:
    pairs = []
    for name, value in form.items():
        if not isinstance(value, str):
            raise ParameterError(f"{_short(name)}: expected text, not a file")
        pairs.append((name, value))
    return pairs


def _json(body: bytes) -> list[Pair]:
    try:
        pairs = json.loads(body, object_pairs_hook=_Pairs, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise ParameterError("body: expected a JSON object, this is malformed") from None
    if not isinstance(pairs, _Pairs):
        raise ParameterError("body: expected a JSON object")
    found = []
    for name, value in pairs:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ParameterError(f"{_short(name)}: expected text")
        found.append((name, str(value)))
    return found


class _Pairs(list[tuple[str, object]]):
    """The members of a JSON object, also those whose name stands twice."""


def _no_number(_: str) -> NoReturn:
    raise ValueError


def _short(name: str) -> str:
    return ascii(name[:40])
