"""Whatever strangers send is refused before it is worked on, and holds nobody else up."""

import asyncio
import json
import logging
import re
import select
from contextlib import ExitStack, suppress

import pytest
from aiohttp import encode_basic_auth

from server.security.connection_limits import CONNECTION_LIMITER, ConnectionLimiter
from tests.server.api.test_request_bodies import used
from tests.server.process.test_server_command import Server, connected
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.dear_requests import BODIES, HEADS, in_chunks, with_body
from tests.support.held_loop import BOUND_SECONDS, HeldLoop
from tests.support.slow_client import limited

pytestmark = [pytest.mark.promise("Getting in"), pytest.mark.one_database]

SECONDS = 30
BEHIND_PROXY = {"ELECDATA_SERVER__PROXIES": "127.0.0.1"}
PUBLIC = [
    *("GET /health/live", "GET /health/ready", "GET /metrics", "GET /", "GET /swagger.json"),
    *("GET /dashboard", "GET /static/swagger/swagger-ui.css"),
]
PRIVATE = ["GET /apielec/ping", "POST /logout"]
CHUNKED = "Transfer-Encoding: chunked"
DATA = "POST /apielec/getDataById"


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


async def answered(api: Api, request: bytes) -> bytes:
    """Return all that the server sends until it ends the connection."""
    reader, writer = await api.raw(request)
    async with asyncio.timeout(SECONDS):
        told = await reader.read()
    writer.close()
    return told


async def begun(api: Api, request: bytes) -> tuple[str, str]:
    """Return status line and body of the first response; the request has no end."""
    reader, writer = await api.raw(request)
    async with asyncio.timeout(SECONDS):
        told = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", told)
        body = await reader.readexactly(int(length[1])) if length else b""
    writer.close()
    return told.partition(b"\r\n")[0].decode(), body.decode()


# Bodies


@pytest.mark.parametrize("line", PUBLIC)
@pytest.mark.parametrize(
    "coming",
    [
        head("", "Content-Length: 1000000"),
        head("", CHUNKED) + b"5",
        head("", CHUNKED, "Expect: 100-continue"),
    ],
    ids=["length", "chunks", "chunks to come"],
)
async def test_body_is_refused_unread_where_none_is_expected(
    api: Api, line: str, coming: bytes
) -> None:
    reader, writer = await api.raw(line.encode() + coming)
    if coming.endswith(b"5"):
        await asyncio.sleep(0)
        writer.write(b"\r\nx")
    async with asyncio.timeout(SECONDS):
        told = await reader.readuntil(b"}")
    assert told.startswith(b"HTTP/1.1 413 ")
    assert b"body: none is expected here" in told
    assert b"Connection: close" in told
    writer.close()


@pytest.mark.parametrize("line", ["GET /login", "POST /login", *PRIVATE])
@pytest.mark.parametrize(
    "coming",
    [
        head("", "Content-Length: 1000000", "Content-Type: application/json") + b'{"x":',
        head("", CHUNKED),
        head("", "Content-Length: 2", "Content-Type: application/json") + b"{}",
    ],
    ids=["length", "chunks", "at once"],
)
async def test_body_is_left_unread_where_the_contract_has_none(
    api: Api, line: str, coming: bytes
) -> None:
    login, token = encode_basic_auth("rick", "morty"), f"SESSION: {api.token}"
    field = f"Authorization: {login}" if "login" in line else token
    request = f"{line} HTTP/1.1\r\n{field}".encode() + coming.removeprefix(b" HTTP/1.1")
    reader, writer = await api.raw(request.replace(b"Host: x", b"Host: localhost"))
    async with asyncio.timeout(SECONDS):
        told = await reader.readuntil(b"}")
    writer.close()
    assert told.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in told


@pytest.mark.parametrize("line", [*PUBLIC, *PRIVATE])
@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "later"])
async def test_chunks_that_are_none_are_no_body(api: Api, line: str, *, is_late: bool) -> None:
    token = f"SESSION: {api.token}"
    reader, writer = await api.raw(head(line, CHUNKED, token)[: None if is_late else -2])
    if is_late:
        for _ in range(20):
            await asyncio.sleep(0)
    writer.write((b"" if is_late else b"\r\n") + b"0\r\n\r\n")
    async with asyncio.timeout(SECONDS):
        assert (await reader.readline()).startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 403 "))
    writer.close()


@pytest.mark.parametrize("environ", [{}, BEHIND_PROXY], ids=["directly", "behind a proxy"])
async def test_body_is_not_waited_for_from_who_may_not_ask(
    serve: Serve, sample: DatabaseFixture, environ: dict[str, str]
) -> None:
    """Without a token, with a forged or a revoked one; nor is its sender told to go on."""
    api = await serve(sample, **environ)
    revoked = api.token
    async with api.client.post("/logout", headers={"SESSION": revoked}) as response:
        assert response.status == 200
    forwarded = "X-Forwarded-For: 192.0.2.1"
    for token, status in (
        ([], 405),
        ([f"SESSION: {revoked[:-4]}AAAA"], 406),
        ([f"SESSION: {revoked}"], 406),
    ):
        for line in (DATA, "GET /apielec/getDataById?id=5", *PRIVATE):
            request = head(line, "Content-Length: 9", "Expect: 100-continue", forwarded, *token)
            first, _ = await begun(api, request)
            assert first.startswith(f"HTTP/1.1 {status} ")


async def test_body_is_invited_from_who_may_ask(api: Api) -> None:
    headers = [f"SESSION: {api.token}", "Content-Type: application/json", "Content-Length: 11"]
    reader, writer = await api.raw(head(DATA, *headers, "Expect: 100-continue"))
    async with asyncio.timeout(SECONDS):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b'{"id": "5"}')
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_rest_of_a_body_is_discarded_up_to_a_bound(
    serve: Serve, sample: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    api = await serve(sample, **limited(body="64KiB"))
    reader, writer = await api.raw(head("POST /nothing", "Content-Length: 1000000000"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
    sent = 0
    while not writer.is_closing() and sent < 2**28:
        writer.write(bytes(2**16))
        async with asyncio.timeout(SECONDS):
            with suppress(ConnectionError):
                await writer.drain()
        await asyncio.sleep(0)
        sent += 2**16
    writer.close()
    assert sent < 2**25  # what is on its way, in the buffers of both sides
    await reached(api.app[CONNECTION_LIMITER], 0)
    assert "Traceback" not in caplog.text


async def test_trailers_that_are_too_large_end_a_body_that_is_discarded(
    serve: Serve, sample: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    api = await serve(sample, **limited(head="16KiB"))
    reader, writer = await api.raw(head("POST /nothing", CHUNKED))
    await reader.readuntil(b"}")
    writer.write(b"1\r\nx\r\n0\r\n" + LARGE)
    async with asyncio.timeout(SECONDS):
        with suppress(ConnectionError):
            await reader.read()
    writer.close()
    await reached(api.app[CONNECTION_LIMITER], 0)
    assert "Traceback" not in caplog.text


async def test_small_body_that_nobody_read_ends_no_connection(api: Api) -> None:
    request = with_body(b"id=5", b"text/plain", b"POST /apielec/ping HTTP/1.1")
    told = await answered(api, request + head("GET /nothing", "Connection: close"))
    assert re.findall(rb"HTTP/1\.1 (\d+)", told) == [b"405", b"404"]


# Work


def dear(api: Api) -> dict[str, bytes]:
    token = b"SESSION: " + api.token.encode()
    data, health = b"POST /apielec/getDataById HTTP/1.1", b"GET /health/live HTTP/1.1"
    requests = {}
    for who, line, headers in (("user", data, [token]), ("stranger", health, [])):
        for name, (media_type, body) in BODIES.items():
            requests[f"{name}, {who}"] = with_body(body, media_type, line, *headers)
        requests[f"chunks, {who}"] = in_chunks(b"id=5" + b",5" * 40_000, 1, line, *headers)
    for name, start in HEADS.items():
        requests[name] = start + b"\r\n".join([b"Host: x", token, b"", b""])
    return requests


async def test_no_request_holds_the_loop(
    serve: Serve, sample: DatabaseFixture, held_loop: HeldLoop
) -> None:
    api = await serve(sample, **BEHIND_PROXY)
    held = {}
    for name, request in dear(api).items():
        seconds = []
        for _ in range(2):  # what is done once for all requests is no request's fault
            held_loop.reset()
            first, _ = await begun(api, request)
            assert first.split(" ")[1] in {"200", "400", "404", "405", "413", "414", "416", "431"}
            seconds.append(held_loop.seconds)
        held[name] = min(seconds)
    held_loop.reset()
    assert {name: seconds for name, seconds in held.items() if seconds > BOUND_SECONDS} == {}


# Heads


async def test_path_longer_than_any_route_is_a_414(api: Api) -> None:
    for path in ("/" * 1025, "/apielec/ping" + "/" * 1025, "/" + "%2f" * 400 + "?x"):
        first, body = await begun(api, head(f"GET {path}"))
        assert first.startswith(("HTTP/1.1 414 ", "HTTP/1.0 414 "))
        assert json.loads(body)["message"] == "path: expected at most 1024 characters"
    first, _ = await begun(api, head("GET " + "/" * 1024))
    assert first.startswith("HTTP/1.1 404 ")
    first, _ = await begun(api, head("GET /health/live?" + "x" * 2000))
    assert first.startswith("HTTP/1.1 400 ")


WEBSOCKET = ("Connection: Upgrade", "Upgrade: WebSocket")


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (head("GET /health/live", *WEBSOCKET), b"200"),
        (
            with_body(
                b"id=5", b"text/plain", b"POST /nothing HTTP/1.1", *map(str.encode, WEBSOCKET)
            ),
            b"404",
        ),
        (head("CONNECT x:1"), b"404"),
        (head("GET /health/live", "Connection: Upgrade", "Upgrade: h2c"), b"200"),
    ],
    ids=["websocket", "websocket with a body", "CONNECT", "HTTP/2"],
)
@pytest.mark.parametrize("is_slow", [False, True], ids=["at once", "bit by bit"])
async def test_nothing_is_parsed_behind_a_request_to_upgrade(
    api: Api, held_loop: HeldLoop, first: bytes, status: bytes, *, is_slow: bool
) -> None:
    """Which is answered, and ends the connection."""
    held_loop.reset()
    reader, writer = await api.raw(b"")
    for byte in first[:-1] if is_slow else b"":
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    writer.write(first[-1:] if is_slow else first)
    writer.write(head("GET " + "/" * 60_000) + head("GET /health/live"))
    told = b""
    async with asyncio.timeout(SECONDS):
        with suppress(ConnectionError):  # what was not read resets the connection
            while part := await reader.read(2**16):
                told += part
    writer.close()
    assert re.findall(rb"HTTP/1\.1 (\d+)", told) == [status]
    assert b"Connection: close" in told
    assert held_loop.seconds < BOUND_SECONDS


LARGE = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(60))


@pytest.mark.parametrize(
    ("before", "size", "sent"),
    [(b"", 100, 2**14 + 100), (b"", 2**20, 2**20), (head("GET /health/live"), 2**20, 2**20)],
    ids=["bit by bit", "at once", "with an earlier request"],
)
async def test_head_that_is_too_large_in_all_is_a_431(
    serve: Serve, sample: DatabaseFixture, before: bytes, size: int, sent: int
) -> None:
    """However it arrives."""
    api = await serve(sample, **limited(head="16KiB"))
    request = (before + head("GET /health/live")[:-2] + LARGE)[:sent]
    reader, writer = await api.raw(b"")
    for start in range(0, len(request), size):
        writer.write(request[start : start + size])
        await asyncio.sleep(0)
    async with asyncio.timeout(SECONDS):
        told = await reader.read()
    writer.close()
    assert re.findall(rb"HTTP/1\.[01] (\d+)", told) == [*([b"200"] if before else []), b"431"]
    assert b"head: expected at most 16384 bytes in all" in told


async def test_trailers_count_as_a_head(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, **limited(head="16KiB"))
    headers = [f"SESSION: {api.token}", "Transfer-Encoding: chunked"]
    told = await answered(api, head(DATA, *headers) + b"4\r\nid=5\r\n0\r\n" + LARGE)
    assert told.startswith(b"HTTP/1.1 400 ")


async def test_body_in_tiny_chunks_is_not_read_to_its_end(
    api: Api, held_loop: HeldLoop, caplog: pytest.LogCaptureFixture
) -> None:
    body, token = b"id=5" + b",5" * 200_000, b"SESSION: " + api.token.encode()
    for line, status in ((DATA, "400"), ("POST /nothing", "404")):
        held_loop.reset()
        request = in_chunks(body, 1, f"{line} HTTP/1.1".encode(), token)
        first, answer = await begun(api, request)
        assert first.startswith(f"HTTP/1.1 {status} ")
        assert "malformed" in answer or status == "404"
        await reached(api.app[CONNECTION_LIMITER], 0)
        assert held_loop.seconds < BOUND_SECONDS
    assert "Traceback" not in caplog.text


async def test_large_bodies_and_many_requests_are_no_head(
    serve: Serve, sample: DatabaseFixture
) -> None:
    """On one connection, in one go."""
    api = await serve(sample, **limited(head="16KiB"))
    token = b"SESSION: " + api.token.encode()
    line, form = b"POST /apielec/getDataById HTTP/1.1", b"application/x-www-form-urlencoded"
    posted = with_body(b"id=5" + b",5" * 40_000, form, line, token)
    chunked = in_chunks(b"id=5" + b",5" * 20_000, 999, line, token)
    pinged = api.head("ping")
    last = api.head("ping", "1.1", "Connection: close")
    told = await answered(api, (posted + pinged * 100 + chunked) * 3 + last)
    assert re.findall(rb"HTTP/1\.1 (\d+)", told) == [b"200"] * 307


async def test_unfinished_heads_take_little_memory(sample: DatabaseFixture) -> None:
    clients = 300
    start = head("GET /health/live")[:-2]
    part = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 7_000) for number in range(11))
    with Server(sample.config, **limited(connections_per_address=clients + 10)) as server:
        port = server.port()
        before = used(server)
        with ExitStack() as stack:
            for _ in range(clients):
                client = stack.enter_context(connected(port))
                client.sendall(start + part)
            with connected(port) as client:
                client.sendall(head("GET /health/live", "Connection: close"))
                assert client.recv(15) == b"HTTP/1.1 200 OK"
            after = used(server)
        assert server.stop() == 0
    assert after.kibibytes - before.kibibytes < 100 * 1024


async def test_requests_that_wait_for_earlier_ones_take_little_memory(
    sample: DatabaseFixture,
) -> None:
    """The earlier one is answered with a file that its client does not read."""
    first = head("GET /static/swagger/swagger-ui-bundle.js")
    fields = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 7_000) for number in range(10))
    requests = first + (head("GET /health/live")[:-2] + fields + b"\r\n") * 40
    with Server(sample.config) as server:
        port = server.port()
        before = used(server)
        with ExitStack() as stack:
            clients = [stack.enter_context(connected(port)) for _ in range(30)]
            left = dict.fromkeys(clients, requests)
            while writable := select.select([], left, [], 0.5)[1]:  # the server takes some more
                for client in writable:
                    left[client] = left[client][client.send(left[client][: 2**16]) :]
                left = {client: rest for client, rest in left.items() if rest}
            after = used(server)
        assert server.stop() == 0
    assert after.kibibytes - before.kibibytes < 64 * 1024


# Connections


async def refused(api: Api) -> bool:
    """Return whether one more connection is refused."""
    reader, writer = await api.raw(b"")
    writer.write(api.head("ping", "1.1", "Connection: close"))
    async with asyncio.timeout(SECONDS):
        try:
            told = await reader.read()
        except ConnectionError:
            told = b""
    writer.close()
    if told.startswith(b"HTTP/1.1 200 "):
        return False
    assert not told or b'"message": "Too many connections, try again in 5 s"' in told
    return True


async def reached(limiter: ConnectionLimiter, connections: int) -> None:
    """Wait until so many connections are open."""
    async with asyncio.timeout(SECONDS):
        while limiter.open != connections:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        (limited(connections=5), "limits.connections: 5 are open"),
        (
            limited(connections_per_address=5),
            "limits.connections_per_address: it has 5 open",
        ),
        (limited(connections=5, connections_per_address=1) | BEHIND_PROXY, "limits.connections: 5"),
    ],
)
async def test_connections_above_a_limit_are_refused_until_others_end(
    serve: Serve,
    sample: DatabaseFixture,
    caplog: pytest.LogCaptureFixture,
    environ: dict[str, str],
    key: str,
) -> None:
    """In all, and of one address; those of a configured proxy are of many clients."""
    api = await serve(sample, **environ)
    limiter = api.app[CONNECTION_LIMITER]
    with caplog.at_level(logging.WARNING):
        kept = [await api.raw(b"") for _ in range(5)]
        await reached(limiter, 5)
        assert [await refused(api) for _ in range(3)] == [True] * 3
    (warning,) = [record.getMessage() for record in caplog.records]  # for any number of them
    assert warning.startswith("127.0.0.1 is refused a connection")
    assert key in warning
    assert limiter.refused == 3
    for _, writer in kept:
        writer.close()
    await reached(limiter, 0)
    assert not await refused(api)
