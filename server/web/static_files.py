"""Pages and their files, served as they lie in a folder of static/."""

from collections.abc import Collection
from pathlib import Path

from aiohttp import hdrs, web

from server.transport.security_headers import CSP_HEADER, SECURITY_HEADERS

_STATIC = Path(__file__).with_name("static")


def page_route(path: str, folder: str, policy: str) -> web.RouteDef:
    """The route of a folder's index.html, under a Content-Security-Policy."""
    headers = _headers(policy)

    async def index(_: web.Request) -> web.FileResponse:
        return web.FileResponse(_STATIC / folder / "index.html", headers=headers)

    return web.get(path, index)


def file_routes(folder: str, shown: Collection[str], policy: str) -> web.RouteDef:
    """The route of those files of a folder that a page asks for."""
    headers = _headers(policy)

    async def asset(request: web.Request) -> web.FileResponse:
        name = request.match_info["name"]
        if name not in shown:
            raise web.HTTPNotFound
        return web.FileResponse(_STATIC / folder / name, headers=headers)

    return web.get(f"/static/{folder}/{{name}}", asset)


def _headers(policy: str) -> dict[str, str]:
    return {
        hdrs.CACHE_CONTROL: "no-cache",
        **SECURITY_HEADERS,
        CSP_HEADER: f"{policy}; frame-ancestors 'none'; base-uri 'none'",
    }
