"""Pages and their files, served from the folders of static/."""

from pathlib import Path

from aiohttp import hdrs, web

from server.transport.security_headers import CSP_HEADER, SECURITY_HEADERS

_STATIC = Path(__file__).with_name("static")
_SUFFIXES = {".css", ".js", ".png", ".svg"}


def page_route(path: str, folder: str, policy: str) -> web.RouteDef:
    """Return the route of a folder's index.html, under a Content-Security-Policy."""
    headers = _headers(policy)

    async def index(_: web.Request) -> web.FileResponse:
        return web.FileResponse(_STATIC / folder / "index.html", headers=headers)

    return web.get(path, index)


def file_routes(folder: str, policy: str) -> web.RouteDef:
    """Return the route of the scripts, styles and images that a folder holds now."""
    headers = _headers(policy)
    served = {
        file.name
        for file in (_STATIC / folder).iterdir()
        if file.suffix in _SUFFIXES and file.is_file() and not file.is_symlink()
    }

    async def asset(request: web.Request) -> web.FileResponse:
        name = request.match_info["name"]
        if name not in served:
            raise web.HTTPNotFound
        return web.FileResponse(_STATIC / folder / name, headers=headers)

    return web.get(f"/static/{folder}/{{name}}", asset)


def _headers(policy: str) -> dict[str, str]:
    return {
        hdrs.CACHE_CONTROL: "no-cache",
        **SECURITY_HEADERS,
        CSP_HEADER: f"{policy}; frame-ancestors 'none'; base-uri 'none'",
    }
