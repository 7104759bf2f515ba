"""Paths that try to leave the folders of the pages."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpClient

from server.web.static_files import file_routes
from tests.docs.test_deploy import behind_nginx, in_front, nginx_program
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture

__all__ = ["nginx_program"]

pytestmark = [pytest.mark.promise("Bad input"), pytest.mark.one_database]

FOLDERS = ("/static/swagger/", "/static/dashboard/", "/static/uplot/")
UP = [
    *("../../app.py", "..%2f..%2fapp.py", "%2e%2e/%2e%2e/app.py", "%2e%2e%2f%2e%2e%2fapp.py"),
    *("..%252f..%252fapp.py", "%252e%252e%252fapp.py", "....//....//app.py", "..;/..;/app.py"),
    *("..\\..\\app.py", "..%5c..%5capp.py", "..%c0%af..%c0%afapp.py", "%c0%ae%c0%ae/app.py"),
    *("%u002e%u002e/app.py", "..%ef%bc%8f..%ef%bc%8fapp.py", ".%00./.%00./app.py"),
]
ABSOLUTE = ["/etc/passwd", "%2fetc%2fpasswd", "%2Fetc/passwd", "//etc/passwd", "file:///etc/passwd"]
NAMES = [
    *("", ".", "..", "%2e", "%00", "~", "*", "index.html", "VERSION", "LICENSE", ".git/config"),
    *("icon.svg%00", "icon.svg%00.txt", "icon.svg/", "icon.svg/.", "icon.svg%20", "icon.svg."),
    *("icon.svg::$DATA", "ICON.SVG", "icon%2esvg%2f", "icon.svg;x", "CON", "a" * 5000),
]
TRICKS = [folder + name for folder in FOLDERS for name in [*UP, *ABSOLUTE, *NAMES]]
TRICKS += [
    "/static",
    "/static/",
    "/static/..",
    "/../server/app.py",
    "//etc/passwd",
    "/%2e%2e/config",
]
TRICKS += ["/swagger.json/..%2f..%2fconfig.yaml", "/dashboard/../static/uplot/../../app.py"]
SECRETS = (b"root:", b"make_app", b"import ", b"api_users", b"Apache License")


async def answer(port: int, path: str, trust: ssl.SSLContext | None = None) -> bytes:
    """All that comes back for a path, sent as it stands."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    told = await reader.read()
    writer.close()
    return told


async def test_file_that_a_page_shows_is_served(api: Api) -> None:
    """So that the paths below lead nowhere for what they are."""
    for path in ("/static/dashboard/icon.svg", "/static/dashboard/%69con.svg"):
        assert (await answer(api.port, path)).startswith(b"HTTP/1.1 200")


async def test_path_that_is_no_file_of_a_page_is_refused(api: Api) -> None:
    for path in TRICKS:
        told = await answer(api.port, path)
        assert told.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400", b"HTTP/1.0 414")), path
        assert not any(secret in told for secret in SECRETS), path


async def test_link_in_a_folder_is_no_file_of_a_page(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what a page asks for is served, whatever lies beside it."""
    folder = tmp_path / "dashboard"
    folder.mkdir()
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "link.js").symlink_to("/etc/passwd")
    (folder / "beside.js").write_text("root: nobody")
    monkeypatch.setattr("server.web.static_files._STATIC", tmp_path)
    assert b"<svg/>" in await answer(api.port, "/static/dashboard/icon.svg")
    for name in ("link.js", "beside.js"):
        assert (await answer(api.port, f"/static/dashboard/{name}")).startswith(b"HTTP/1.1 404")


async def test_link_that_is_there_at_the_start_is_not_served(
    aiohttp_client: AiohttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "page.js").write_text("// a script")
    (folder / "link.js").symlink_to("/etc/passwd")
    (folder / "NOTES").write_text("root: nobody")
    monkeypatch.setattr("server.web.static_files._STATIC", tmp_path)
    app = web.Application()
    app.add_routes([file_routes("page", "default-src 'none'")])
    client = await aiohttp_client(app)
    statuses = [
        (await client.get(f"/static/page/{name}")).status
        for name in ("page.js", "link.js", "NOTES")
    ]
    assert statuses == [200, 404, 404]


async def test_path_is_refused_behind_nginx_too(
    nginx_program: Path,
    serve: Serve,
    sample: DatabaseFixture,
    tmp_path: Path,
) -> None:
    api = await behind_nginx(serve, sample)
    with in_front(nginx_program, tmp_path, api) as nginx:
        await nginx.up()
        for path in TRICKS:
            told = await answer(nginx.secure, path, nginx.trust)
            assert told.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400", b"HTTP/1.1 414")), path
            assert not any(secret in told for secret in SECRETS), path
