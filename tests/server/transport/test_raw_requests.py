"""Requests that two readers could take for different ones, byte by byte on a raw socket."""

import asyncio
import logging
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.docs.test_deploy import behind_nginx, in_front, nginx_program
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture

__all__ = ["nginx_program"]

pytestmark = [pytest.mark.promise("Bad input"), pytest.mark.one_database]

SECONDS = 30
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
CHUNKS = b"4\r\nid=5\r\n0\r\n\r\n"
LINE = b"POST /apielec/getDataById HTTP/1.1"
LENGTH = b"Content-Length: 4\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


class Request:
    """A request whose body may be taken to end where another one begins."""

    def __init__(
        self, head: bytes, body: bytes = b"id=5", line: bytes = LINE, host: bytes = b"Host: x\r\n"
    ) -> None:
        self._start = line + b"\r\n" + host
        self._rest = (
            b"Content-Type: application/x-www-form-urlencoded\r\n" + head + b"\r\n" + body + HIDDEN
        )

    def bytes(self, token: str) -> bytes:
        return self._start + b"SESSION: " + token.encode() + b"\r\n" + self._rest


def chunked(body: bytes) -> Request:
    return Request(CHUNKED, body)


def line(text: bytes) -> Request:
    return Request(b"", b"", text)


CLEAR = {
    "length": Request(LENGTH),
    "length with zeros before it": Request(b"Content-Length: 0004\r\n"),
    "length between blanks": Request(b"Content-Length: \t4 \r\n"),
    "chunks": Request(CHUNKED, CHUNKS),
    "chunks in capitals": Request(b"transfer-encoding: CHUNKED\r\n", CHUNKS),
    "chunks with an extension": chunked(b"4;a=b\r\nid=5\r\n0\r\n\r\n"),
    "chunks with a trailer": chunked(b"4\r\nid=5\r\n0\r\nSESSION: x\r\n\r\n"),
    "a name that only looks like the other": Request(b"Transfer_Encoding: chunked\r\n" + LENGTH),
}
UNCLEAR = {
    "length and chunks": Request(LENGTH + CHUNKED, CHUNKS),
    "chunks and length": Request(CHUNKED + LENGTH, CHUNKS),
    "two lengths": Request(LENGTH + b"Content-Length: 40\r\n"),
    "two equal lengths": Request(LENGTH + LENGTH),
    "a list of lengths": Request(b"Content-Length: 4, 4\r\n"),
    "length with a plus": Request(b"Content-Length: +4\r\n"),
    "length with a minus": Request(b"Content-Length: -4\r\n"),
    "length in hex": Request(b"Content-Length: 0x4\r\n"),
    "length with an underscore": Request(b"Content-Length: 0_4\r\n"),
    "length with a blank": Request(b"Content-Length: 4 0\r\n"),
    "length of nothing": Request(b"Content-Length: \r\n"),
    "length beyond all": Request(b"Content-Length: 99999999999999999999999\r\n"),
    "length in Arabic": Request("Content-Length: \u0664\r\n".encode()),
    "another coding": Request(b"Transfer-Encoding: xchunked\r\n", CHUNKS),
    "identity": Request(b"Transfer-Encoding: identity\r\n", CHUNKS),
    "chunks, then identity": Request(b"Transfer-Encoding: chunked, identity\r\n", CHUNKS),
    "chunks of chunks": Request(b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS),
    "chunks twice": Request(CHUNKED + CHUNKED, CHUNKS),
    "chunks and identity": Request(CHUNKED + b"Transfer-Encoding: identity\r\n", CHUNKS),
    "chunks behind a tab that is none": Request(b"Transfer-Encoding: \x0bchunked\r\n", CHUNKS),
    "chunks before a colon": Request(b"Transfer-Encoding : chunked\r\n", CHUNKS),
    "chunks with a parameter": Request(b"Transfer-Encoding: chunked;q=1\r\n", CHUNKS),
    "chunks in quotes": Request(b'Transfer-Encoding: "chunked"\r\n', CHUNKS),
    "chunks in the next line": Request(b"Transfer-Encoding:\r\n chunked\r\n", CHUNKS),
    "chunks before two returns": Request(b"Transfer-Encoding: chunked\r\r\n", CHUNKS),
    "chunks in HTTP/1.0": Request(CHUNKED, CHUNKS, b"POST /apielec/getDataById HTTP/1.0"),
    "a folded line": Request(b"X: a\r\n b\r\n" + LENGTH),
    "a folded length": Request(b"X: a\r\n\tContent-Length: 40\r\n" + LENGTH),
    "a line that ends with a feed": Request(b"X: a\n" + LENGTH),
    "a line with a return": Request(b"X: a\rContent-Length: 40\r\n" + LENGTH),
    "NUL in a value": Request(b"X: a\0b\r\n" + LENGTH),
    "NUL in a name": Request(b"X\0: a\r\n" + LENGTH),
    "a control character": Request(b"X: a\x01b\r\n" + LENGTH),
    "no colon": Request(b"X\r\n" + LENGTH),
    "no name": Request(b": a\r\n" + LENGTH),
    "a name with a blank": Request(b"X Y: a\r\n" + LENGTH),
    "a name with a bracket": Request(b"X(: a\r\n" + LENGTH),
    "a name that is no ASCII": Request("\u00dc: a\r\n".encode() + LENGTH),
    "a chunk in C's hex": chunked(b"0x4\r\nid=5\r\n0\r\n\r\n"),
    "a chunk with a plus": chunked(b"+4\r\nid=5\r\n0\r\n\r\n"),
    "a chunk with a minus": chunked(b"-4\r\nid=5\r\n0\r\n\r\n"),
    "a chunk with an underscore": chunked(b"0_4\r\nid=5\r\n0\r\n\r\n"),
    "a chunk behind a blank": chunked(b" 4\r\nid=5\r\n0\r\n\r\n"),
    "a chunk before a blank": chunked(b"4 \r\nid=5\r\n0\r\n\r\n"),
    "a chunk beyond 64 bits": chunked(b"10000000000000004\r\nid=5\r\n0\r\n\r\n"),
    "a chunk of no length": chunked(b"\r\nid=5\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": chunked(b"3\r\nid=5\r\n0\r\n\r\n"),
    "a chunk without an end": chunked(b"4\r\nid=5XX0\r\n\r\n"),
    "chunks that end with feeds": chunked(b"4\nid=5\n0\n\n"),
    "an extension with a feed": chunked(b"4;a\nb\r\nid=5\r\n0\r\n\r\n"),
    "a trailer with a length": chunked(b"4\r\nid=5\r\n0\r\nContent-Length: 50\r\n\r\n"),
    "no host": Request(LENGTH, host=b""),
    "two hosts": Request(LENGTH, host=b"Host: x\r\nHost: y\r\n"),
    "a first line that is folded": Request(LENGTH, host=b" Host: x\r\n"),
    "a request line with tabs": line(b"GET\t/apielec/ping\tHTTP/1.1"),
    "a path with a blank": line(b"GET /apielec/ ping HTTP/1.1"),
    "a path with a return": line(b"GET /apielec/ping\rX HTTP/1.1"),
    "a path with NUL": line(b"GET /apielec/ping\0 HTTP/1.1"),
    "a star for a path": line(b"GET * HTTP/1.1"),
    "a method in small letters": line(b"get /apielec/ping HTTP/1.1"),
    "HTTP/2 without a word before": line(b"GET /apielec/ping HTTP/2.0"),
    "HTTP/1.2": line(b"GET /apielec/ping HTTP/1.2"),
    "no version": line(b"GET /apielec/ping"),
}


async def statuses(reader: asyncio.StreamReader) -> list[bytes]:
    """Those of all answers until the server ends the connection."""
    async with asyncio.timeout(SECONDS):
        try:
            told = await reader.read()
        except ConnectionResetError:
            return []
    return re.findall(rb"HTTP/1\.[01] (\d+)", told)


async def asked(api: Api, request: bytes) -> list[bytes]:
    reader, writer = await api.raw(request)
    found = await statuses(reader)
    writer.close()
    return found


@pytest.mark.parametrize("name", CLEAR)
async def test_clear_request_ends_where_it_says(api: Api, name: str) -> None:
    """And the one behind it is another."""
    assert await asked(api, CLEAR[name].bytes(api.token)) == [b"200", b"404"]


@pytest.mark.parametrize("name", UNCLEAR)
async def test_unclear_request_is_a_400_and_nothing_behind_it_is_read(
    api: Api, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert await asked(api, UNCLEAR[name].bytes(api.token)) == [b"400"]
    assert "/hidden" not in caplog.text


async def test_request_whose_lines_end_with_feeds_is_a_400(api: Api) -> None:
    request = CLEAR["length"].bytes(api.token).replace(b"\r\n", b"\n")
    assert await asked(api, request) == [b"400"]


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(b"Content-Length", b"Transfer-Encoding", b": ", b":", b"4", b"chunked", b"0"),
                *(b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b"\r\n\r\n", b"GET ", b"POST "),
                *(b"/apielec/ping", b" HTTP/1.1\r\n", b" HTTP/1.0", b"Host: x\r\n", b"Upgrade: x"),
                *(b"Connection: ", b"Expect: 100-continue", b"SESSION: ", b"a", b",", b";", b"%"),
            ]
        ),
        st.binary(max_size=8),
    ),
    max_size=30,
).map(b"".join)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(PIECES)
async def test_any_bytes_are_answered_or_cut_off(api: Api, request_: bytes) -> None:
    await _tried(api, request_)


@pytest.mark.trust
@settings(
    max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(PIECES)
async def test_thousands_of_bytes_are_answered_or_cut_off(api: Api, request_: bytes) -> None:
    """The same at length."""
    await _tried(api, request_)


async def _tried(api: Api, request: bytes) -> None:
    reader, writer = await api.raw(request)
    writer.write_eof()
    found = await statuses(reader)
    assert set(found) <= {b"100", b"200", b"400", b"404", b"405", b"417"}
    writer.close()


# What a client says and is told again

KNOWN_HEADERS = re.compile(
    rb"(Content-(Type|Length|Encoding|Disposition)|Date|Server|ETag|Cache-Control|Vary|Link|Allow"
    rb"|Transfer-Encoding|X-(Next|Request-ID|Left-Out-(Readings|Energy)|Content-Type-Options)"
    rb"|Server-Timing|WWW-Authenticate|Connection|Retry-After|Referrer-Policy"
    rb"|Cross-Origin-[A-Za-z-]+|Strict-Transport-Security|X-Frame-Options"
    rb"|Content-Security-Policy): [\x20-\x7e]*"
)


@pytest.mark.parametrize(
    "path",
    [
        "getDataById?id=1,2,3&limit=1&{name}={value}",
        "getDataById?id=1,2,3{value}&limit=1",
        "getDataByDate?date=2019%25{value}&limit=1",
        "getData?limit=1&columns=date{value}",
        "getData?limit=1&format=csv{value}",
        "getAggregate?interval=day&format=csv&timezone=Europe/Madrid{value}",
        "nothing{value}",
        "ping{value}?{name}={value}",
    ],
)
async def test_no_part_of_a_url_becomes_a_header(api: Api, path: str) -> None:
    for value in ("%0d%0aX-Evil:%20yes", "%0aX-Evil:%20yes", "%E5%98%8A%E5%98%8DX-Evil:%20yes"):
        for name in ("columns", "X-Evil%0d%0aX-Evil", "order"):
            asks = path.format(value=value, name=name)
            reader, writer = await api.raw(api.head(asks, "1.1", "Connection: close"))
            head, _, _ = (await reader.read()).partition(b"\r\n\r\n")
            for header in head.split(b"\r\n")[1:]:
                assert KNOWN_HEADERS.fullmatch(header), header
            writer.close()


async def test_request_id_with_the_end_of_a_line_is_a_400(api: Api) -> None:
    for end in ("\r", "\n", "\0"):
        request = api.head("ping", "1.1", f"X-Request-ID: a{end}X-Evil: yes", "Connection: close")
        reader, writer = await api.raw(request)
        answer = await reader.read()
        assert b" 400 " in answer.split(b"\r\n")[0] or end == "\n"
        assert b"X-Evil" not in answer.partition(b"\r\n\r\n")[0]
        writer.close()


# Behind nginx


async def test_nginx_and_the_service_agree_where_requests_end(
    nginx_program: Path,
    serve: Serve,
    sample: DatabaseFixture,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A request that the service sees has an answer that its client sees."""
    caplog.set_level(logging.INFO)
    api = await behind_nginx(serve, sample)
    answered = 0
    with in_front(nginx_program, tmp_path, api) as nginx:
        await nginx.up()
        for request in (*CLEAR.values(), *UNCLEAR.values()):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", nginx.secure, ssl=nginx.trust
            )
            writer.write(request.bytes(api.token))
            found = await statuses(reader)
            assert len(found) <= 2  # to HTTP/0.9 nginx answers without a status
            answered += len(found) == 2
            writer.close()
    assert answered >= len(CLEAR)
    async with asyncio.timeout(SECONDS):
        while caplog.text.count("GET /hidden 404") < answered:
            await asyncio.sleep(0)
    assert caplog.text.count("/hidden") == answered


async def test_unclear_request_of_a_proxy_is_logged_as_the_proxys(
    serve: Serve, sample: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    api = await behind_nginx(serve, sample)
    assert await asked(api, UNCLEAR["no host"].bytes(api.token)) == [b"400"]
    async with asyncio.timeout(SECONDS):
        while "UNKNOWN / 400" not in caplog.text:
            await asyncio.sleep(0)
    assert "from=127.0.0.1" in caplog.text


async def test_no_spelling_of_metrics_passes_nginx(
    nginx_program: Path,
    serve: Serve,
    sample: DatabaseFixture,
    tmp_path: Path,
) -> None:
    api = await behind_nginx(serve, sample)
    spellings = ["/metrics", "/%6detrics", "//metrics", "/./metrics", "/x/../metrics", "/metrics/"]
    spellings += ["/x%2f..%2fmetrics", "/METRICS", "/metrics;x", "/metrics%00", "/metrics%20"]
    spellings += ["/metrics?x", "/%2e/metrics", "/\\metrics", "/metrics#x", "/%252e/metrics"]
    with in_front(nginx_program, tmp_path, api) as nginx:
        await nginx.up()
        for path in spellings:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", nginx.secure, ssl=nginx.trust
            )
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            (status,) = await statuses(reader)
            assert status in (b"400", b"403", b"404"), path
            writer.close()
