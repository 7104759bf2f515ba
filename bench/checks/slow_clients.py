"""Item 3: clients that read slowly, or not at all."""

import socket
import time
from contextlib import ExitStack

from bench.contenders.service import ALL, ONE, UNCACHED, Service
from bench.datasets import Dataset
from bench.http_client import fetch, request
from bench.process import HOST, Server
from bench.targets import Check
from bench.workspace import Workspace

MANY = 50
SECONDS = 3.0
_RECEIVE_BUFFER = 64 * 1024
_READ_BYTES = 16 * 1024
_PAUSE = 0.05


def slow_clients(workspace: Workspace, dataset: Dataset) -> list[Check]:
    """Measure the memory of many slow clients, and whether they occupy database connections."""
    with Service(workspace, "mariadb", dataset) as server:
        one, _ = _read_slowly(workspace, server, 1)
    with Service(workspace, "mariadb", dataset) as server:
        many, busy = _read_slowly(workspace, server, MANY)
    return [
        Check(3, f"peak memory, {MANY} slow clients - one", 64, many - one, " MiB"),
        Check(3, f"database connections busy for {MANY} clients that read nothing", 0, busy),
    ]


def _read_slowly(workspace: Workspace, server: Server, clients: int) -> tuple[float, int]:
    """Return the peak memory, and the connections in use after all clients stopped reading."""
    message = request(ALL, {**server.headers, **UNCACHED})
    with ExitStack() as stack:
        connections = []
        for _ in range(clients):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            connection.connect((HOST, server.port))
            connection.sendall(message)
            connections.append(connection)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for connection in connections:
                connection.recv(_READ_BYTES)
            time.sleep(_PAUSE)
        time.sleep(_PAUSE)
        busy = workspace.mariadb.busy()
        # Whoever comes now is served all the same.
        fetch(server.port, ONE, {**server.headers, **UNCACHED})
        return server.peak, busy
