"""Whatever decides an answer is in its key: a server that remembers answers as a new one would."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture

pytestmark = pytest.mark.promise("Bad input")

ORIGIN = "https://pages.example"
TAG = "the tag of the answer"
TOLD = (
    *("Content-Type", "Content-Encoding", "Content-Disposition", "Cache-Control", "Vary", "ETag"),
    *("Link", "Allow", "X-Next", "X-Notice", "X-Left-Out-Readings", "Access-Control-Allow-Origin"),
)
PATHS = (
    *("getDataById?id=5", "getDataById?id=5&id=5", "getDataById?id=05", "getDataById?ID=5"),
    *("getDataById?id=5,6", "getDataById?id=6%2C5", "getDataById?id=5&id=6", "getDataById?id=x"),
    *("getDataById?id=5&format=csv", "getDataById?format=csv&id=5", "getDataById"),
    *("getDataById?id=5&columns=id,energy", "getDataById?id=5&columns=energy,id"),
    *("getData?limit=2", "getData?limit=2&order=desc", "getData?limit=2&quality=clean", "getMeter"),
    *("getDataByDate?date=2019-09-11", "getDataByDate?date=2019-09-12", "getDataByDate?date=2_%25"),
    *("getDataByRange?date=2019-09-11&end_date=2019-09-11T00:15",),
    *("getDataByRange?date=2019-09-11T00:00:00Z&end_date=2019-09-11T00:15:00Z",),
    *("getDataByRange?date=2019-09-11T00:00:00+02:00&end_date=2019-09-11T00:15:00+02:00",),
    *("getMeter?values=number", "getMeter?time=utc", "getAggregate?interval=day&date=1000", "ping"),
)
HEADERS: dict[str, Sequence[str]] = {
    "Accept": (
        "*/*",
        "*/*;q=0.1",
        "text/csv",
        "application/x-ndjson",
        "text/csv;q=0.5, application/json",
        "",
    ),
    "Accept-Encoding": ("gzip", "identity", "zstd", "gzip;q=0, *", "br"),
    "Cache-Control": ("no-cache", "max-age=0", "max-age=60"),
    "If-None-Match": ("*", TAG, f"W/{TAG}", '"another"', f'"another", {TAG}', "nonsense"),
    "Origin": (ORIGIN, "https://other.example"),
    "X-Forwarded-For": ("192.0.2.1",),
    "X-Forwarded-Proto": ("https",),
    "X-Request-ID": ("mine",),
    "SESSION": ("good", "revoked", "forged"),
    "Authorization": ("Bearer good", "Bearer revoked", "bearer good", "Basic good"),
}
Request = tuple[str, str, Sequence[tuple[str, str]], dict[str, str] | None]
"""A method, a path, header lines, a body."""


@st.composite
def requests(draw: st.DrawFn) -> list[Request]:
    """Requests that differ in little, as a mistake in a key would confuse them."""
    paths = draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=2))
    names = draw(st.lists(st.sampled_from([*HEADERS]), min_size=1, max_size=2))
    lines = st.sampled_from([(name, value) for name in names for value in HEADERS[name]])
    one = st.tuples(
        st.sampled_from(("GET", "GET", "GET", "GET", "POST", "HEAD")),
        st.sampled_from(paths),
        st.lists(lines, max_size=3),
        st.sampled_from((None, None, None, None, {"id": "5"}, {"format": "csv"})),
    )
    return draw(st.lists(one, min_size=3, max_size=6))


async def told(
    api: Api,
    request: Request,
    tokens: dict[str, str],
    tag: str,
) -> tuple[Any, ...]:
    """What an answer says, whether or not it was remembered."""
    method, path, lines, body = request
    headers: CIMultiDict[str] = CIMultiDict()
    if not any(name in ("SESSION", "Authorization") for name, _ in lines):
        headers["SESSION"] = tokens["good"]
    for name, value in lines:
        if name in ("SESSION", "Authorization"):
            for word, token in tokens.items():
                value = value.replace(word, token)  # noqa: PLW2901 - one word of it
        headers.add(name, value.replace(TAG, tag))
    url = URL(f"/apielec/{path}", encoded=True)
    async with api.client.request(method, url, headers=headers, data=body) as response:
        content = await response.read()
        await api.settled()
        return response.status, {name: response.headers.get(name) for name in TOLD}, content


async def revoked(api: Api) -> str:
    """A token that was given back."""
    token: str = (await api.login("rick", "morty"))[1]["value_token"]
    async with api.client.post("/logout", headers={"SESSION": token}) as response:
        assert response.status == 200
    return token


@pytest.fixture
async def servers(serve: Serve, sample: DatabaseFixture) -> tuple[Api, Api, dict[str, str]]:
    """One that remembers answers, one that does not, and the tokens of requests."""
    old = await serve(sample, ELECDATA_SERVER__CORS=ORIGIN)
    new = await serve(sample, ELECDATA_SERVER__CORS=ORIGIN, ELECDATA_CACHE__TTL="0")
    given_back = await revoked(old)
    good: str = (await old.login("rick", "morty"))[1]["value_token"]
    return old, new, {"good": good, "revoked": given_back, "forged": good[:-2]}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(asked=requests())
@example(
    asked=[
        ("GET", "getDataById?id=5", [("Accept", "*/*;q=0.1")], None),
        ("GET", "getDataById?id=5", [("Accept", "*/*;q=0.1"), ("Accept", "text/csv")], None),
    ]
)
async def test_answers_are_those_of_a_new_server_whatever_was_asked_before(
    servers: tuple[Api, Api, dict[str, str]], asked: list[Request]
) -> None:
    old, new, tokens = servers
    for request in asked:
        _, headers, _ = await told(new, ("GET", request[1], (), None), tokens, "")
        tag = headers["ETag"] or '"none"'
        expected = await told(new, request, tokens, tag)
        for _ in range(3):  # made, found in the cache, repeated
            assert await told(old, request, tokens, tag) == expected
