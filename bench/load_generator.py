"""Many connections that ask the same, from one thread."""

import math
import re
import selectors
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.http_client import Ending, request
from bench.paths import MissingError, program
from bench.process import HOST, FailedError

CONNECTIONS = 32
_BUFFER = 1024 * 1024
_PATIENCE = 60.0
# A server accepts so many connections at a time; those above would be tried again a second later.
_BACKLOG = 64
_BREATH = 0.005


class Caller:
    """A connection that asks again and again."""

    def __init__(self, connection: socket.socket, message: bytes) -> None:
        self.connection = connection
        self._message = message
        self._ending = Ending()

    def ask(self) -> None:
        """Sends the request."""
        self._ending = Ending()
        self.connection.send(self._message)

    def read(self, buffer: memoryview) -> bool:
        """Reads what is there; tells whether the answer is complete."""
        count = self.connection.recv_into(buffer)
        if not count:
            raise FailedError("a connection was closed")
        self._ending.take(buffer[:count])
        if self._ending.complete and self._ending.status not in (200, 304):
            raise FailedError(f"HTTP {self._ending.status}")
        return self._ending.complete


def rate(port: int, message: bytes, seconds: float, connections: int = CONNECTIONS) -> float:
    """Answers a second: for some seconds every connection asks again once it is answered."""
    with ExitStack() as stack:
        selector, callers = _connected(stack, port, message, connections)
        buffer = memoryview(bytearray(_BUFFER))
        answers = 0
        waiting = len(callers)
        started = time.perf_counter()
        for caller in callers:
            caller.ask()
        # What was asked for in time is waited for, or large answers would hardly count.
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


def lean() -> str:
    """Who asks where little of the processor may go to asking."""
    try:
        return Path(program("wrk")).name
    except MissingError:
        return "this program"


def lean_rate(port: int, path: str, headers: Mapping[str, str], seconds: float) -> float:
    """The same through wrk where it is installed, which leaves more of the cores to the server."""
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
    """Returns once each connection has its answer, all having asked at once."""
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
    """The connections on which something has come."""
    if time.perf_counter() - started > _PATIENCE:
        raise FailedError(f"answers are still missing after {_PATIENCE:g} s")
    return [key.data for key, _ in selector.select(0.1)]


def _connected(
    stack: ExitStack, port: int, message: bytes, connections: int
) -> tuple[selectors.BaseSelector, list[Caller]]:
    selector = stack.enter_context(selectors.DefaultSelector())
    callers = []
    for number in range(connections):
        if number % _BACKLOG == _BACKLOG - 1:
            time.sleep(_BREATH)
        connection = stack.enter_context(socket.create_connection((HOST, port), 30))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        caller = Caller(connection, message)
        selector.register(connection, selectors.EVENT_READ, caller)
        callers.append(caller)
    return selector, callers
