"""Headers that every answer carries, and those that let pages of other origins ask."""

from types import MappingProxyType

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

CSP_HEADER = "Content-Security-Policy"

SECURITY_HEADERS = MappingProxyType(
    {
        CSP_HEADER: (
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        hdrs.SERVER: "elecdata",
    }
)
"""Nothing is guessed, framed or embedded, no address is passed on, and no version is told."""

_ASKED_WITH = "Authorization, SESSION, Content-Type, If-None-Match, Cache-Control, X-Request-ID"
_EXPOSED = (
    "Content-Disposition, ETag, Link, Retry-After, Server-Timing, X-Left-Out-Energy,"
    " X-Left-Out-Readings, X-Next, X-Request-ID"
)
_DAY = "86400"


def cors(origins: tuple[str, ...]) -> Middleware:
    """Lets pages of these origins ask; without credentials of a browser's own."""

    @web.middleware
    async def crossing(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        method = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        is_allowed = origin in origins
        if is_allowed and method is not None and request.method == hdrs.METH_OPTIONS:
            response: web.StreamResponse = web.Response(status=204, headers=SECURITY_HEADERS)
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "GET, POST"
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = _ASKED_WITH
            response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = _DAY
        else:
            response = await handler(request)
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED
        vary = response.headers.get(hdrs.VARY)
        response.headers[hdrs.VARY] = f"{vary}, {hdrs.ORIGIN}" if vary else hdrs.ORIGIN
        if is_allowed and origin is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        return response

    return crossing
