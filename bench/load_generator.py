"""A load generator: many connections that repeat one request, from one thread."""

import math
import re
import selectors
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.http_client import ResponseEnd, request
from bench.paths import MissingError, program
from bench.process import HOST, FailedError

CONNECTIONS = 32
_BUFFER = 1024 * 1024
_TIMEOUT = 60.0
# A server accepts so many connections at a time; those above would be tried again a second later.
_BACKLOG = 64
_BACKLOG_PAUSE = 0.005


class Caller:
    """A connection that repeats a request."""

    def __init__(self, connection: socket.socket, message: bytes) -> None:
        self.connection = connection
        self._message = message
        self._response_end = ResponseEnd()

    def ask(self) -> None:
        """Send the request."""
        self._response_end = ResponseEnd()
        self.connection.send(self._message)

    def read(self, buffer: memoryview) -> bool:
        """Read what has arrived; return whether the response is complete."""
        count = self.connection.recv_into(buffer)
        if not count:
            raise FailedError("a connection was closed")
        self._response_end.take(buffer[:count])
        if self._response_end.complete and self._response_end.status not in (200, 304):
            raise FailedError(f"HTTP {self._response_end.status}")
        return self._response_end.complete


def rate(port: int, message: bytes, seconds: float, connections: int = CONNECTIONS) -> float:
    """Return the responses per second of connections that repeat a request for some seconds."""
    with ExitStack() as stack:
        selector, callers = _connected(stack, port, message, connections)
        buffer = memoryview(bytearray(_BUFFER))
        answers = 0
        waiting = len(callers)
        started = time.perf_counter()
        for caller in callers:
            caller.ask()
        # Wait for responses under way at the end, or large ones would hardly count.
        while waiting:
            over = time.perf_counter() - started > seconds
            for caller in _ready(selector, started):
                if caller.read(buffer):
                    answers += 1
                    if over:
                        waiting -= 1
                    else:
                        caller.ask()
        return answers / (time.perf_counter() - started)


def program_name() -> str:
    """Return the name of the cheapest load generator that is installed."""
    try:
        return Path(program("wrk")).name
    except MissingError:
        return "this program"


def efficient_rate(port: int, path: str, headers: Mapping[str, str], seconds: float) -> float:
    """Return the same rate, from wrk if it is installed: it leaves more CPU to the server."""
    try:
        wrk = program("wrk")
    except MissingError:
        return rate(port, request(path, headers), seconds)
    fields = [option for name, value in headers.items() for option in ("-H", f"{name}: {value}")]
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{math.ceil(seconds)}s", *fields]
    said = subprocess.run(
        [*command, f"http://{HOST}:{port}{path}"], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"Requests/sec: +([0-9.]+)", said)
    if found is None or "Non-2xx" in said:
        raise FailedError(f"wrk: {said}")
    return float(found[1])


def burst(port: int, message: bytes, connections: int) -> None:
    """Send a request on all connections at once, and return when all have their responses."""
    with ExitStack() as stack:
        selector, callers = _connected(stack, port, message, connections)
        buffer = memoryview(bytearray(_BUFFER))
        waiting = len(callers)
        started = time.perf_counter()
        for caller in callers:
            caller.ask()
        while waiting:
            waiting -= sum(caller.read(buffer) for caller in _ready(selector, started))


def _ready(selector: selectors.BaseSelector, started: float) -> list[Caller]:
    """Return the connections on which bytes have arrived."""
    if time.perf_counter() - started > _TIMEOUT:
        raise FailedError(f"answers are still missing after {_TIMEOUT:g} s")
    return [key.data for key, _ in selector.select(0.1)]


def _connected(
    stack: ExitStack, port: int, message: bytes, connections: int
) -> tuple[selectors.BaseSelector, list[Caller]]:
    selector = stack.enter_context(selectors.DefaultSelector())
    callers = []
    for number in range(connections):
        if number % _BACKLOG == _BACKLOG - 1:
            time.sleep(_BACKLOG_PAUSE)
        connection = stack.enter_context(socket.create_connection((HOST, port), 30))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        caller = Caller(connection, message)
        selector.register(connection, selectors.EVENT_READ, caller)
        callers.append(caller)
    return selector, callers
