"""Entity tags: made of a response's cache key and its coding, and matched with If-None-Match."""

from aiohttp import ETag, hdrs, web

from server.transport.content_coding import Coding


def etag(key: str, coding: Coding) -> str:
    """Return the entity tag of the response with a cache key, in a coding."""
    return f'"{key}-{coding.name}"'


def matches_etag(request: web.Request, key: str) -> bool:
    """Return whether a client already has the response with a cache key, in whatever coding."""
    return any(tag.value.startswith(key) for tag in _tags(request))


def matches_any(request: web.Request) -> bool:
    """Return whether a client has the response already, whichever it is, if there is one."""
    return any(tag.value == "*" for tag in _tags(request))


def _tags(request: web.Request) -> tuple[ETag, ...]:
    if hdrs.IF_NONE_MATCH not in request.headers or request.method not in (
        hdrs.METH_GET,
        hdrs.METH_HEAD,
    ):
        return ()
    return request.if_none_match or ()
