"""Bodies that are no parameters: each gets an answer at once, in little memory."""

import os
import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.common.zstandard import zstd
from tests.server.process.test_server_command import Server
from tests.support.app_client import Api, Document, token
from tests.support.databases import DatabaseFixture

pytestmark = [
    pytest.mark.one_database,
    pytest.mark.promise("Bad input"),
    # The server leaves these out by itself, and pytest puts them in again.
    pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader"),
    pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionParam"),
]

MEBIBYTE = 2**20
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=x"
NAME = 'Content-Disposition: form-data; name="id"'
MALFORMED = "body: expected a JSON object or a form, this is malformed"
NO_OBJECT = "body: expected a JSON object, this is malformed"


async def answered(api: Api, body: bytes, **headers: str) -> tuple[int, Document]:
    """What getDataById makes of a body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.get("getDataById", method="POST", data=body, headers=named)


def part(*head: str, body: bytes = b"5", end: bytes = b"--x--\r\n") -> bytes:
    """A form of one part."""
    return b"--x\r\n" + "\r\n".join(head).encode() + b"\r\n\r\n" + body + b"\r\n" + end


def form(charset: str, body: bytes = b"id=5") -> tuple[bytes, str]:
    return body, f"{FORM}; charset={charset}"


ACCEPTED = {
    "JSON": (b'{"id": "5"}', JSON),
    "a number": (b'{"id": 5}', JSON),
    "a name twice, with the same value": (b'{"id": "5", "id": 5}', JSON),
    "JSON in UTF-16": ('{"id": "5"}'.encode("utf-16"), JSON),
    "JSON with a byte order mark": (b'\xef\xbb\xbf{"id": "5"}', JSON),
    "JSON whose charset is wrong, which JSON does not have": (b'{"id": 5}', f"{JSON}; charset=x"),
    "a form": form("utf-8"),
    "a form in Latin-1": form("latin-1"),
    "parts": (part(NAME), PARTS),
    "parts in ASCII": (part(NAME, "Content-Type: text/plain; charset=us-ascii"), PARTS),
}
REFUSED = {
    "nested deeply": (b'{"id":' + b"[" * 400_000, JSON, "'id': expected text"),
    "objects nested deeply": (b'{"id":' * 100_000, JSON, "'id': expected text"),
    "nested deeply in place of a name": (b"{" + b"[" * 400_000, JSON, NO_OBJECT),
    "a name twice": (b'{"id": 5, "id": 6}', JSON, "id: given twice with different values"),
    "a number of 5,000 digits": (b'{"id":' + b"1" * 5000 + b"}", JSON, NO_OBJECT),
    "a number of 900,000 digits": (b'{"id":' + b"1" * 900_000 + b"}", JSON, NO_OBJECT),
    "NaN": (b'{"id": NaN}', JSON, NO_OBJECT),
    "infinity": (b'{"id": -Infinity}', JSON, NO_OBJECT),
    "a number without end": (b'{"id": 1e999}', JSON, "'id': expected text"),
    "a fraction": (b'{"id": 5.0}', JSON, "'id': expected text"),
    "true": (b'{"id": true}', JSON, "'id': expected text"),
    "null": (b'{"id": null}', JSON, "'id': expected text"),
    "a list": (b'{"id": ["five"]}', JSON, "'id': expected text"),
    "a list for an object": (b'[{"id": "5"}]', JSON, "body: expected a JSON object"),
    "half a character": (
        b'{"id": "\\ud800"}',
        JSON,
        r"id: expected ids like 5 or 5,100, got '\ud800'",
    ),
    "half a character in a name": (b'{"\\udfff": "5"}', JSON, r"'\udfff': unknown parameter"),
    "NUL": (b'{"id": "5\\u0000"}', JSON, r"id: expected ids like 5 or 5,100, got '5\x00'"),
    "Latin-1": (b'{"id": "\xe9"}', f"{JSON}; charset=latin-1", NO_OBJECT),
    "cut off": (b'{"id": "5', JSON, NO_OBJECT),
    "more behind it": (b'{"id": "5"} {"id": "6"}', JSON, NO_OBJECT),
    "text": (b"five", JSON, "body: expected a JSON object"),
    "a form in UTF-8 that is none": (*form("utf-8", b"id=\xff"), MALFORMED),
    "a form in an unknown charset": (*form("nonsense"), MALFORMED),
    # The first takes minutes for a megabyte, and so do others of them.
    "a form in Punycode": (*form("punycode", b"xn--" + b"a" * 900_000), "body: expected UTF-8"),
    "a form in IDNA": (*form("idna"), "body: expected UTF-8"),
    "a form in UTF-7": (*form("utf-7"), "body: expected UTF-8"),
    "a form in EBCDIC": (*form("cp037"), "body: expected UTF-8"),
    "a form with escapes": (*form("unicode_escape"), "body: expected UTF-8"),
    "a form in a charset that is a compression": (*form("zip"), "body: expected UTF-8"),
    "no form at all": (b"five", FORM, "'five': unknown parameter"),
    "a part without a name": (part("X: y"), PARTS, MALFORMED),
    "a part whose name cannot be read": (part("Content-Disposition: ;=;"), PARTS, MALFORMED),
    "a part that is a file": (
        part(f'{NAME}; filename="a"'),
        PARTS,
        "'id': expected text, not a file",
    ),
    "a part that is JSON": (
        part(NAME, f"Content-Type: {JSON}"),
        PARTS,
        "'id': expected text, not a file",
    ),
    "parts within a part": (
        part(NAME, "Content-Type: multipart/mixed; boundary=y"),
        PARTS,
        "'id': expected text, not a file",
    ),
    "a part in Punycode": (
        part(NAME, "Content-Type: text/plain; charset=punycode", body=b"a" * 900_000),
        PARTS,
        "body: expected UTF-8",
    ),
    "a part that names all parts' charset": (
        part('Content-Disposition: form-data; name="_charset_"', body=b"punycode"),
        PARTS,
        "'_charset_': unknown parameter",
    ),
    "a part that is coded in an unknown way": (
        part(NAME, "Content-Transfer-Encoding: x"),
        PARTS,
        MALFORMED,
    ),
    "a part in compressed form": (
        part(NAME, "Content-Encoding: gzip", body=zlib.compress(b"5", wbits=31)),
        PARTS,
        MALFORMED,
    ),
    "a part with a line for a head": (b"--x\r\nNone--x--\r\n", PARTS, MALFORMED),
    "a part with a long head": (part("A" * 100_000), PARTS, MALFORMED),
    "a part with many lines of head": (part(*["A: b"] * 5000), PARTS, MALFORMED),
    "a part without an end": (part(NAME, end=b""), PARTS, MALFORMED),
    "parts without a boundary": (part(NAME), "multipart/form-data", MALFORMED),
    "parts with a long boundary": (
        part(NAME),
        f"multipart/form-data; boundary={'x' * 100}",
        MALFORMED,
    ),
}


@pytest.mark.parametrize(("body", "media_type"), ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_body_that_can_be_read_is_answered(api: Api, body: bytes, media_type: str) -> None:
    status, answer = await answered(api, body, Content_Type=media_type)
    assert (status, answer["values"]["numrecs"]) == (200, 1)


@pytest.mark.parametrize(("body", "media_type", "message"), REFUSED.values(), ids=REFUSED.keys())
async def test_body_that_is_none_is_a_400_at_once(
    api: Api, body: bytes, media_type: str, message: str
) -> None:
    began = time.process_time()
    status, answer = await answered(api, body, Content_Type=media_type)
    assert time.process_time() - began < 1
    assert status == 400
    assert answer.pop("message").startswith(message)
    assert answer == {"status": "ERROR", "statusCode": "400"}


async def test_half_a_character_is_refused_in_every_parameter(api: Api) -> None:
    for path, needed in (
        ("getDataByDate", '"date": "2019%"'),
        ("getAggregate", '"interval": "day"'),
    ):
        for name in ("timezone", "columns", "format", "after", "quality"):
            body = f'{{{needed}, "{name}": "\\ud800"}}'.encode()
            status, answer = await api.get(
                path, method="POST", data=body, headers={"Content-Type": JSON}
            )
            assert status == 400
            assert answer["message"].startswith((f"{name}: ", f"'{name}': "))


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(b"--x\r\n", b"--x--\r\n", b"\r\n", b"\n", b"\r\n\r\n", b"--x", b"--", b"5"),
                *(NAME.encode(), b"Content-Disposition: form-data; name=", b"Content-Type: "),
                *(b"text/plain; charset=", b"multipart/mixed; boundary=x", b"Content-Length: 3"),
                *(b"Content-Transfer-Encoding: base64", b"quoted-printable", b"; filename*=x''"),
                *(b'"id"', b"\0", b"=", b";", b'"', b"\xff", b"{", b"[", b"id=5", b"&", b"%"),
            ]
        ),
        st.binary(max_size=20),
    ),
    max_size=20,
).map(b"".join)
TYPES = st.one_of(
    st.sampled_from([JSON, FORM, PARTS, "multipart/form-data", f"{FORM}; charset=utf-16", "", "/"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
async def test_any_body_is_answered_or_refused(api: Api, data: st.DataObject) -> None:
    """Whatever its media type says."""
    await _tried(api, data)


@pytest.mark.trust
@settings(
    max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
async def test_thousands_of_bodies_are_answered_or_refused(api: Api, data: st.DataObject) -> None:
    """The same at length."""
    await _tried(api, data)


async def _tried(api: Api, data: st.DataObject) -> None:
    body, media_type = data.draw(PIECES), data.draw(TYPES)
    status, answer = await answered(api, body, Content_Type=media_type)
    assert status in (200, 400, 413)
    if status == 400:
        assert answer["message"]


# Compressed bodies


def zeros(pack: Callable[[bytes], bytes], end: Callable[[], bytes], mebibytes: int) -> bytes:
    """So many mebibytes of nothing, packed."""
    return b"".join(pack(bytes(MEBIBYTE)) for _ in range(mebibytes)) + end()


_gzip, _deflate, _zstd = zlib.compressobj(9, wbits=31), zlib.compressobj(9), zstd.ZstdCompressor()
BOMBS = {
    "gzip": zeros(_gzip.compress, _gzip.flush, 64),
    "deflate": zeros(_deflate.compress, _deflate.flush, 64),
    "zstd": zeros(_zstd.compress, _zstd.flush, 512),
}
PACKED = {
    **BOMBS,
    "GZIP": zlib.compress(b'{"id": "5"}', wbits=31),
    "gzip, gzip": zlib.compress(zlib.compress(b'{"id": "5"}', wbits=31), wbits=31),
    "br": b'\x8b\x05\x80{"id": "5"}\x03',
    "x": b'{"id": "5"}',
}


@pytest.mark.parametrize("coding", PACKED)
async def test_compressed_body_is_a_400(api: Api, coding: str) -> None:
    headers = {"Content-Encoding": coding, "Content-Type": JSON}
    async with await api.request(
        "getDataById", method="POST", data=PACKED[coding], headers=headers
    ) as response:
        assert response.status == 400
        assert await response.json() == {
            "message": "body: expected a JSON object or a form that is not compressed",
            "status": "ERROR",
            "statusCode": "400",
        }


async def test_body_that_says_it_is_not_compressed_is_read(api: Api) -> None:
    status, _ = await answered(api, b'{"id": "5"}', Content_Encoding="Identity", Content_Type=JSON)
    assert status == 200


class Used(NamedTuple):
    """Time on a processor, and the most memory at a time."""

    seconds: float
    kibibytes: int


def used(server: Server) -> Used:
    """What a server has needed so far."""
    folder = Path(f"/proc/{server.process.pid}")
    ticks = folder.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]
    peak = re.search(r"VmHWM:\s+(\d+)", folder.joinpath("status").read_text())
    assert peak is not None
    return Used(sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), int(peak[1]))


async def test_body_that_swells_costs_nothing_on_any_route(sample: DatabaseFixture) -> None:
    """Neither what is read of it nor what is thrown away is ever inflated."""
    with Server(sample.config) as server:
        url = f"http://127.0.0.1:{server.port()}"
        async with ClientSession() as client:
            before = used(server)
            for path in ("/login", "/logout", "/nothing", "/health/live", "/apielec/getData"):
                for coding, body in BOMBS.items():
                    headers = {"Content-Encoding": coding, "SESSION": token()}
                    async with client.post(url + path, data=body, headers=headers) as response:
                        assert response.status in (200, 400, 401, 404, 405, 413)
            after = used(server)
        assert after.seconds - before.seconds < 1
        assert after.kibibytes - before.kibibytes < 16 * 1024
        assert server.stop() == 0


@pytest.mark.parametrize(
    "ids", ["[5, 100]", '["5","100"]', "[ 100 ,\n5,5 ]", "[5,100]", '"5,100"', '[5,"100"]']
)
async def test_json_list_of_ids_is_taken(api: Api, ids: str) -> None:
    for method in ("GET", "POST"):
        document = f'{{"columns": "id", "id": {ids}}}'.encode()
        status, body = await api.get("getDataById", method=method, data=document)
        assert (status, body["values"]["records"]) == (200, [{"id": "5"}, {"id": "100"}])


@pytest.mark.parametrize(
    ("route", "document", "message"),
    [
        ("getDataById", '{"id": []}', "id: expected ids like 5 or 5,100, got ''"),
        ("getDataById", '{"id": [[5]]}', "'id': expected text"),
        ("getDataById", '{"id": [5, 1.5]}', "'id': expected text"),
        ("getDataById", '{"id": 5, "idd": 6}', "'idd': unknown parameter, expected id, and any of"),
        ("getDataByDate", '{"date": 20190911}', 'date: expected text like "2019-09-11 10:45:00"'),
        ("getSummary", '{"end_date": 2019}', 'end_date: expected text like "2019-09-11 10:45:00"'),
    ],
)
async def test_member_of_another_type_or_name_is_named_with_what_is_expected(
    api: Api, route: str, document: str, message: str
) -> None:
    status, body = await api.get(route, method="POST", data=document.encode())
    assert status == 400
    assert body["message"].startswith(message)


@pytest.mark.parametrize("body", [{"json": {"user": "rick"}}, {"data": {"user": "rick"}}])
async def test_login_by_a_body_is_told_of_basic_authentication(
    api: Api, body: dict[str, Any]
) -> None:
    async with api.client.post("/login", **body) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")
        told = await response.json()
    assert told["message"] == (
        "Invalid user and/or password: send them by Basic authentication, a body is not read"
    )
