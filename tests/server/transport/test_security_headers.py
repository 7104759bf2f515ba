"""What answers let a browser do: nothing but what a page needs, and nothing for other origins."""

import re

import pytest
from aiohttp import ClientResponse

from tests.settings.test_settings import URL, Configuration, config  # noqa: F401 - a fixture
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture

pytestmark = [pytest.mark.promise("Getting in"), pytest.mark.one_database]

PAGES = {
    "/": (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
        " form-action 'none'"
    ),
    "/dashboard": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'none'"
    ),
}
FILES = {
    "/static/swagger/swagger-ui-bundle.js": PAGES["/"],
    "/static/dashboard/main.js": PAGES["/dashboard"],
    "/static/uplot/uPlot.esm.js": PAGES["/dashboard"],
}
OTHERS = [
    "/swagger.json",
    "/login",
    "/nothing",
    "/static/dashboard/nothing",
    "/apielec/ping",
    "/apielec/getData",
    "/apielec/getData?format=csv",
    "/apielec/getDataById?id=five",
    "/apielec/getSummary",
    "/health/ready",
    "/metrics",
]
ORIGIN = "https://dashboards.example"
CORS = {"ELECDATA_SERVER__CORS": f"{ORIGIN}, http://localhost:3000"}
ALLOW = "Access-Control-Allow-Origin"


def assert_safe(response: ClientResponse) -> None:
    headers = response.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Server"] == "elecdata"
    assert headers["Cache-Control"] in {"no-store", "no-cache", "private, no-cache"}


@pytest.mark.parametrize("path", [*PAGES, *FILES])
async def test_page_and_its_files_have_their_strict_policy(api: Api, path: str) -> None:
    async with await api.client.get(path) as response:
        assert response.status == 200
        assert_safe(response)
        policy = response.headers["Content-Security-Policy"]
        own = {**PAGES, **FILES}[path]
        assert policy == f"{own}; frame-ancestors 'none'; base-uri 'none'"
        assert "script-src 'unsafe" not in policy
        etag = response.headers["ETag"]
    async with await api.client.get(path, headers={"If-None-Match": etag}) as response:
        assert response.status == 304
        assert_safe(response)


@pytest.mark.parametrize("path", PAGES)
async def test_page_holds_nothing_that_its_policy_forbids(api: Api, path: str) -> None:
    async with await api.client.get(path) as response:
        text = await response.text()
    assert not re.findall(r"<script(?![^>]*\ssrc=)|\son\w+=|javascript:", text)
    if "style-src 'self' 'unsafe-inline'; form-action 'none'" not in PAGES[path]:
        assert not re.findall(r"<style|\sstyle=", text)
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", text)


@pytest.mark.parametrize("token", ["", "good"])
@pytest.mark.parametrize("path", OTHERS)
async def test_any_other_answer_may_load_nothing(api: Api, path: str, token: str) -> None:
    headers = {"SESSION": api.token} if token else {}
    async with await api.client.get(path, headers=headers) as response:
        assert_safe(response)
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        await response.read()


async def test_cached_response_and_304_have_security_headers(api: Api) -> None:
    for _ in range(2):
        async with await api.request("getDataById?id=5") as response:
            assert_safe(response)
            etag = response.headers["ETag"]
        await api.settled()
    async with await api.request("getDataById?id=5", headers={"If-None-Match": etag}) as response:
        assert response.status == 304
        assert_safe(response)


async def test_answer_to_what_is_not_http_is_safe(api: Api) -> None:
    reader, writer = await api.raw(b"nonsense\r\n\r\n")
    head = (await reader.read()).decode()
    writer.close()
    assert "\r\nX-Content-Type-Options: nosniff\r\n" in head
    assert "\r\nServer: elecdata\r\n" in head
    assert "\r\nCache-Control: no-store\r\n" in head
    assert "aiohttp" not in head


# Other origins


async def preflight(api: Api, origin: str, path: str = "/apielec/getData") -> ClientResponse:
    return await api.client.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "session,if-none-match",
        },
    )


async def test_other_origins_may_nothing_unless_configured(api: Api) -> None:
    async with await preflight(api, ORIGIN) as response:
        assert response.status == 405
        assert not [name for name in response.headers if name.startswith("Access-Control-")]
    async with await api.request("ping", headers={"Origin": ORIGIN}) as response:
        assert response.status == 200
        assert not [name for name in response.headers if name.startswith("Access-Control-")]


async def test_configured_origin_may_ask_with_the_headers_it_needs(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, **CORS)
    async with await preflight(api, ORIGIN) as response:
        assert response.status == 204
        assert response.headers[ALLOW] == ORIGIN
        assert response.headers["Vary"] == "Origin"
        allowed = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert {"session", "authorization", "if-none-match", "content-type"} <= {*allowed}
        assert "Access-Control-Allow-Credentials" not in response.headers
    for path, status in (("getDataById?id=5", 200), ("getData", 200), ("getDataById", 400)):
        async with await api.request(path, headers={"Origin": ORIGIN}) as answer:
            assert answer.status == status
            assert answer.headers[ALLOW] == ORIGIN
            assert "Origin" in answer.headers["Vary"].split(", ")
            exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"ETag", "Link", "Retry-After", "X-Request-ID", "X-Next"} <= {*exposed}
            await answer.read()


@pytest.mark.parametrize(
    "origin",
    ["https://dashboards.example.org", "http://dashboards.example", "null", ORIGIN.upper(), "*"],
)
async def test_origin_that_is_not_configured_may_nothing(
    serve: Serve, sample: DatabaseFixture, origin: str
) -> None:
    api = await serve(sample, **CORS)
    async with await preflight(api, origin) as response:
        assert response.status == 405
        assert ALLOW not in response.headers
    async with await api.request("ping", headers={"Origin": origin}) as response:
        assert ALLOW not in response.headers


@pytest.mark.parametrize(
    "given", ["*", "example.org", "https://example.org/", "https://a/b", "null"]
)
def test_what_is_no_origin_is_refused(config: Configuration, given: str) -> None:  # noqa: F811 - the fixture
    said = config.error(f"{URL}server: {{cors: ['{given}']}}")
    assert "server.cors: expected origins in small letters such as https://example.org" in said
