"""A minimal HTTP client whose own cost doesn't distort the measurements."""

import base64
import json
import re
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

from bench.process import HOST, FailedError

TIMEOUT = 240.0
_BUFFER = 1024 * 1024
# With the end of the chunk before it: a chunk of CSV may itself end with 0 and an empty line.
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Transfer:
    """An answer: its size as sent, and the seconds from the request on."""

    status: int
    size: int
    first_byte: float
    seconds: float
    head: bytes = b""


def request(path: str, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a GET request."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {HOST}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


class ResponseEnd:
    """Finds the end of a response in its bytes as they arrive."""

    def __init__(self) -> None:
        self.head = b""
        self.status = 0
        self.size = 0
        self.complete = False
        self._length: int | None = None
        self._chunked = False
        self._tail = b"\r\n"

    def take(self, data: memoryview) -> None:
        """Take further bytes."""
        if self.status:
            self._take_body(data)
            return
        self.head += bytes(data)
        end = self.head.find(b"\r\n\r\n")
        if end >= 0:
            body, self.head = memoryview(self.head)[end + 4 :], self.head[: end + 2]
            self.status = int(self.head.split(b" ", 2)[1])
            length = _LENGTH.search(self.head)
            self._length = int(length[1]) if length else None
            self._chunked = bool(_CHUNKED.search(self.head))
            self._take_body(body)
            if self.status in (204, 304):
                self.complete = True

    def finish(self) -> None:
        """Take the end of the connection; raise FailedError if the response is incomplete."""
        if not self.complete and (not self.status or self._chunked or self._length is not None):
            raise FailedError(f"the answer was cut off after {self.size} bytes")

    def _take_body(self, data: memoryview) -> None:
        self.size += len(data)
        if self._length is not None:
            self.complete = self.size >= self._length
        elif self._chunked:
            self._tail = (self._tail + bytes(data[-len(_LAST_CHUNK) :]))[-len(_LAST_CHUNK) :]
            self.complete = self._tail == _LAST_CHUNK


class Connection:
    """A connection for several requests, one after the other."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(_BUFFER))

    def exchange(self, message: bytes) -> Transfer:
        """Send a request and read the whole response."""
        response_end = ResponseEnd()
        first_byte = 0.0
        started = time.perf_counter()
        self._socket.sendall(message)
        while not response_end.complete:
            count = self._socket.recv_into(self._buffer)
            if not count:
                response_end.finish()
                break
            response_end.take(self._buffer[:count])
            if not first_byte and response_end.size:
                first_byte = time.perf_counter() - started
        return Transfer(
            response_end.status,
            response_end.size,
            first_byte,
            time.perf_counter() - started,
            response_end.head,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def fetch(port: int, path: str, headers: Mapping[str, str]) -> Transfer:
    """GET on a new connection; raise FailedError unless it succeeds."""
    with Connection(port) as connection:
        transfer = connection.exchange(request(path, headers))
    if transfer.status != 200:
        raise FailedError(f"{path}: HTTP {transfer.status}")
    return transfer


def save(port: int, path: str, headers: Mapping[str, str], file: Path) -> dict[str, str]:
    """Write the body of a response to a file; return its headers by lowercase names."""
    connection = HTTPConnection(HOST, port, timeout=TIMEOUT)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        if response.status != 200:
            raise FailedError(f"{path}: HTTP {response.status}")
        with file.open("wb") as target:
            shutil.copyfileobj(response, target, _BUFFER)
        return {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


def post(port: int, path: str, data: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """The body of the answer to a POST; raises FailedError unless it succeeds."""
    connection = HTTPConnection(HOST, port, timeout=TIMEOUT)
    try:
        connection.request("POST", path, data, dict(headers or {}))
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise FailedError(f"{path.partition('?')[0]}: HTTP {response.status}: {answer[:500]!r}")
    return answer


def token(port: int, user: str, password: str) -> str:
    """Logs in."""
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    answer = json.loads(post(port, "/login", b"", {"Authorization": f"Basic {login}"}))
    return str(answer["value_token"])
