"""HEAD answers as GET does, but for the body."""

import pytest
from aiohttp import web

from tests.support.app_client import Api, about_readings

PARAMETERS = {
    "getDataById": "id=5,6",
    "getDataByDate": "date=2019-09-11%25",
    "getDataByRange": "date=2019-09&end_date=2019-10&limit=3&quality=clean",
    "getAggregate": "interval=day&quality=clean",
}
VARYING = {"Date", "X-Request-ID", "Server-Timing", "Content-Length", "Transfer-Encoding"}
"""Headers of the moment, and those that only the making of a body tells."""


def paths(api: Api) -> list[str]:
    """A request of each route that has GET and no folder of files."""
    return sorted(
        {
            f"{route.resource.canonical}?{PARAMETERS.get(route.resource.canonical[9:], '')}"
            for route in api.app.router.routes()
            if route.method == "GET" and isinstance(route.resource, web.PlainResource)
        }
    )


@pytest.mark.parametrize("headers", [{}, {"Accept": "text/csv", "Accept-Encoding": "gzip"}])
async def test_head_has_status_and_headers_of_get_and_no_body(
    api: Api, headers: dict[str, str]
) -> None:
    """Of every route, before a response is in the cache, afterwards, and with its ETag."""
    asked = {"SESSION": api.token} | headers
    assert len(paths(api)) > 20
    for path in paths(api):
        tag = ""
        for turn in range(3):
            more = asked | ({"If-None-Match": tag} if tag else {})
            told = []
            for method in ("HEAD", "GET"):
                async with api.client.request(method, path, headers=more) as response:
                    body = await response.read()
                    kept = {n: v for n, v in response.headers.items() if n not in VARYING}
                    told.append((response.status, kept))
                    assert method == "GET" or not body
                await api.settled()
            assert told[0] == told[1], path
            tag = told[1][1].get("ETag", "") if turn else ""


async def test_head_reads_no_readings_that_would_only_be_in_the_body(api: Api) -> None:
    async with await api.request("getData", method="HEAD") as response:
        assert response.status == 200
    assert not [
        each for each in api.engine.statements if "JSON" in each.upper() and about_readings(each)
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [("getDataByDate?date=x", 400), ("getDataById", 400), ("getSummary?end=open", 400)],
)
async def test_head_of_a_wrong_request_has_the_status_of_the_error(
    api: Api, path: str, status: int
) -> None:
    async with await api.request(path, method="HEAD") as response:
        assert (response.status, await response.read()) == (status, b"")
