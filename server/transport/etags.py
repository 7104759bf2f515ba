"""Entity tags: made of a response's cache key and its coding, and matched with If-None-Match."""

from aiohttp import hdrs, web

from server.transport.content_coding import Coding


def etag(key: str, coding: Coding) -> str:
    """Return the entity tag of the response with a cache key, in a coding."""
    return f'"{key}-{coding.name}"'


def matches_etag(request: web.Request, key: str) -> bool:
    """Return whether a client already has the response with a cache key, in whatever coding."""
    tags = (request.method == hdrs.METH_GET and request.if_none_match) or ()
    return any(tag.value == "*" or tag.value.startswith(key) for tag in tags)
