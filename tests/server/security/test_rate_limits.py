"""What one client may take: sizes of requests, how many, and answers at a time."""

import asyncio
import json
from collections.abc import Mapping

import pytest

from server.errors import RateLimited
from server.security.rate_limits import STREAM_LIMITER, RequestLimiter
from settings.limits import LimitSettings
from tests.support.app_client import Api, Document, Serve, make_pages_small, token
from tests.support.databases import DatabaseFixture
from tests.support.slow_client import limited, small_buffers, stalled  # noqa: F401 - a fixture

pytestmark = [pytest.mark.promise("Getting in"), pytest.mark.one_database]

UNCACHED = {"ELECDATA_CACHE__TTL": "0"}


def counting(**limits: float) -> RequestLimiter:
    return RequestLimiter(LimitSettings.model_validate(limits))


def error(code: int, message: str) -> Document:
    return {"message": message, "status": "ERROR", "statusCode": str(code)}


async def refused(api: Api, request: bytes) -> tuple[int, Mapping[str, str], Document]:
    """Status, headers and body of the answer to what is no request; the connection ends after."""
    reader, writer = await api.raw(request)
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    status, *headers = head.split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in headers)
    return int(status.split()[1]), fields, json.loads(body)


# Sizes


async def test_request_line_that_is_too_long_is_a_414(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, **limited(request_line="1KiB"))
    fits = api.head("ping?" + "x" * (1024 - len("/apielec/ping?")), "1.1", "Connection: close")
    status, _, _ = await refused(api, fits)
    assert status == 400  # it was read: there is no such parameter
    status, headers, body = await refused(api, api.head("ping?" + "x" * 1024))
    assert status == 414
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert body == error(414, "request line: expected at most 1024 bytes")


async def test_header_that_is_too_long_is_a_431(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, **limited(header="1KiB"))
    status, _, body = await refused(api, api.head("ping", "1.1", "X: " + "x" * 1100))
    assert status == 431
    assert body == error(431, "headers: expected at most 1024 bytes in each")


async def test_more_headers_than_allowed_are_a_431(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, **limited(headers=20))
    many = [f"X-{number}: x" for number in range(20)]
    status, _, body = await refused(api, api.head("ping", "1.1", *many))
    assert status == 431
    assert body == error(431, "headers: expected at most 20")


async def test_what_is_not_http_is_a_400_in_the_same_format(api: Api) -> None:
    status, _, body = await refused(api, b"nonsense\r\n\r\n")
    assert status == 400
    assert body == error(400, "malformed request")


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
async def test_body_that_is_too_large_is_a_413(
    serve: Serve, sample: DatabaseFixture, kind: str
) -> None:
    api = await serve(sample, **limited(body=100))
    for size, expected in ((100, 400), (101, 413)):
        status, body = await api.get(
            "getDataById", method="POST", data=b"x" * size, headers={"Content-Type": kind}
        )
        assert status == expected
    assert body == error(413, "body: expected at most 100 bytes")


async def test_body_that_does_not_come_is_a_408(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, **limited(request_time=0.05))
    request = api.head("getDataById", "1.1", "Content-Length: 10", "Connection: close")
    reader, writer = await api.raw(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    body = json.loads(await reader.readexactly(length))
    assert body == error(408, "body: expected within 0.05 s")
    writer.close()


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_connection_without_a_whole_request_is_closed_in_time(
    serve: Serve, sample: DatabaseFixture, said: bytes
) -> None:
    api = await serve(sample, **limited(request_time=0.05))
    reader, writer = await api.raw(said)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_parameters_beyond_the_limit_are_a_400(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, **limited(parameters=3))
    pairs = [("id", "5")] * 3
    assert (await api.get("getDataById", pairs))[0] == 200
    expected = error(400, "parameters: expected at most 3, got more")
    assert await api.get("getDataById", [*pairs, ("id", "5")]) == (400, expected)
    in_body = {"method": "POST", "data": pairs}
    assert await api.get("getDataById", [("id", "5")], **in_body) == (400, expected)


ENDLESS = {
    "application/json": b'{"id": 5, "id": 5, "id": 5, "id": nonsense',
    "application/x-www-form-urlencoded": b"id=5&id=5&id=5&id=%ff",
    "multipart/form-data; boundary=x": (
        b'--x\r\nContent-Disposition: form-data; name="id"\r\n\r\n5\r\n' * 5 + b"nonsense"
    ),
}


@pytest.mark.parametrize("media_type", ENDLESS)
async def test_first_parameter_too_many_ends_the_parsing(
    serve: Serve, sample: DatabaseFixture, media_type: str
) -> None:
    """Whatever comes behind it, which is not even looked at."""
    api = await serve(sample, **limited(parameters=3))
    status, body = await api.get(
        "getDataById",
        method="POST",
        data=ENDLESS[media_type],
        headers={"Content-Type": media_type},
    )
    assert (status, body) == (400, error(400, "parameters: expected at most 3, got more"))


async def test_ids_beyond_the_limit_are_a_400(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, **limited(ids=3))
    assert len(await api.records("getDataById", id="1,2,3")) == 3
    expected = error(400, "id: expected at most 3 ids, got 4")
    assert await api.get("getDataById", {"id": "1,2,3,3"}) == (400, expected)


# Requests in a while


async def test_user_with_too_many_requests_waits_and_others_do_not(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, **limited(requests_per_user=3, requests_window=3600))
    for _ in range(3):
        assert (await api.get("ping"))[0] == 200
    async with await api.request("ping") as response:
        assert response.status == 429
        wait = response.headers["Retry-After"]
        assert 0 < int(wait) <= 3600
        message = f"Too many requests of this user, at most 3 in 3600 s, try again in {wait} s"
        assert await response.json() == error(429, message)
    api.token = token("morgan")
    assert (await api.get("ping"))[0] == 406  # there is no such user, but she was not put off


async def test_forged_or_revoked_token_is_nobodys_request(
    serve: Serve, sample: DatabaseFixture
) -> None:
    """Nobody can use up what another user may ask for."""
    api = await serve(sample, **limited(requests_per_user=1, requests_window=3600))
    good = api.token
    for bad in (good[:-4] + "AAAA", token("rick", generation=2)):
        api.token = bad
        for _ in range(3):
            assert (await api.get("ping"))[0] == 406
    api.token = good
    assert (await api.get("ping"))[0] == 200


@pytest.mark.parametrize("path", ["/", "/apielec/ping", "/nothing", "/login"])
async def test_address_with_too_many_requests_waits_but_for_health(
    serve: Serve, sample: DatabaseFixture, path: str
) -> None:
    api = await serve(sample, **limited(requests_per_address=2, requests_window=3600))
    for expected in (False, False, True):
        async with await api.client.get(path) as response:
            assert (response.status == 429) is expected
            body = await response.json() if expected else {}
    assert body["message"].startswith("Too many requests from this address, at most 2 in 3600 s, ")
    for health in ("live", "ready"):
        async with await api.client.get(f"/health/{health}") as response:
            assert response.status == 200


async def test_address_is_that_of_the_client_behind_a_proxy(
    serve: Serve, sample: DatabaseFixture
) -> None:
    behind = {"ELECDATA_SERVER__PROXIES": "127.0.0.1"}
    api = await serve(sample, **behind, **limited(requests_per_address=1, requests_window=3600))
    for client, expected in (("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.1", 429)):
        status, _ = await api.get("ping", headers={"X-Forwarded-For": client})
        assert status == expected


def test_window_opens_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    requests = counting(requests_per_user=2, requests_window=10)
    for _ in range(3):
        requests.count_user("rick")
        requests.count_user("rick")
        for seconds, wait in ((4, 6), (5.75, 1)):
            now += seconds
            with pytest.raises(RateLimited) as caught:
                requests.count_user("rick")
            assert caught.value.wait == wait
        now += 0.25


def test_neighbours_in_a_network_of_ipv6_count_as_one() -> None:
    requests = counting(requests_per_address=1)
    requests.count_address("2001:db8:0:1::1")
    requests.count_address("2001:db8:0:2::1")
    requests.count_address("::ffff:192.0.2.1")
    requests.count_address("192.0.2.2")
    for neighbour in ("2001:db8:0:1:ffff::2", "192.0.2.1"):
        with pytest.raises(RateLimited):
            requests.count_address(neighbour)


def test_counts_take_bounded_memory_and_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.security.rate_limits._MAX_KEYS", 100)
    requests = counting(requests_per_address=2, requests_window=3600)
    requests.count_address("192.0.2.1")
    requests.count_address("192.0.2.1")
    refused = 0
    for number in range(1000):
        try:
            requests.count_address(f"198.51.{number // 256}.{number % 256}")
        except RateLimited:
            refused += 1
        assert len(requests._addresses) <= 101
    assert refused == 1000 - 99 - 2
    with pytest.raises(RateLimited):
        requests.count_address("192.0.2.1")


# Answers at a time


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("ttl", ["0", "600"])
async def test_long_answers_of_a_user_at_a_time_are_bounded(
    serve: Serve, sample: DatabaseFixture, ttl: str
) -> None:
    api = await serve(sample, ELECDATA_CACHE__TTL=ttl, **limited(streams_per_user=2))
    under_way = [await stalled(api, api.head("getData")) for _ in range(2)]
    async with await api.request("getData", {"order": "desc"}) as more:
        assert more.status == 429
        assert more.headers["Retry-After"] == "5"
        message = "Too many long answers at a time, at most 2 a user, try again in 5 s"
        assert await more.json() == error(429, message)
    assert len(await api.records("getDataById", id="5,6")) == 2  # a brief one needs no room
    under_way[0].close()
    while sum(api.app[STREAM_LIMITER]._users.values()) == 2:
        await asyncio.sleep(0)
    assert len(await api.records("getData", order="desc")) == 11716
    under_way[1].close()


@pytest.mark.usefixtures("small_buffers")
async def test_long_answers_of_all_users_at_a_time_are_bounded(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, **UNCACHED, **limited(streams=1))
    with await stalled(api, api.head("getData")):
        async with await api.request("getData") as more:
            assert more.status == 503
            assert more.headers["Retry-After"] == "5"
            message = "Too many long answers at a time, try again in 5 s"
            assert await more.json() == error(503, message)


@pytest.mark.usefixtures("small_buffers")
async def test_cached_response_counts_as_a_stream_while_it_is_sent(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, **limited(streams_per_user=1))
    for _ in range(2):
        assert len(await api.records("getData")) == 11716
        await api.settled()
    with await stalled(api, api.head("getData")):
        assert (await api.get("getData"))[0] == 429


@pytest.mark.usefixtures("small_buffers")
async def test_answer_that_is_refused_is_made_no_further(
    serve: Serve, sample: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pages_small(monkeypatch, 50)
    api = await serve(sample, **limited(streams=1))
    with await stalled(api, api.head("getData")):
        await api.settled()
        asked = api.engine.readings_asked
        assert (await api.get("getDataByDate", {"date": "%"}))[0] == 503
        await api.settled()
        assert api.engine.readings_asked < asked + 20  # of 235


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("ttl", ["0", "600"])
async def test_long_answer_that_is_refused_is_not_begun(
    serve: Serve, sample: DatabaseFixture, ttl: str
) -> None:
    api = await serve(sample, ELECDATA_CACHE__TTL=ttl, **limited(streams=1))
    with await stalled(api, api.head("getData")):
        await api.settled()
        asked = api.engine.readings_asked
        for _ in range(3):
            assert (await api.get("getData", {"order": "desc"}))[0] == 503
        await api.settled()
        assert api.engine.readings_asked == asked
