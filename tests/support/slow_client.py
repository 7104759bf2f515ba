"""Slow clients, and settings with low limits."""

import asyncio
import socket

import pytest

from server.transport.connection import ConnectionGuard
from tests.support.app_client import Api


def limited(**limits: object) -> dict[str, str]:
    """Return the environment that sets keys of the section `limits`."""
    return {f"ELECDATA_LIMITS__{name.upper()}": str(value) for name, value in limits.items()}


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the kernel's send buffers smaller than a response with the sample's readings."""
    made = ConnectionGuard.connection_made

    def connection_made(self: ConnectionGuard, transport: asyncio.BaseTransport) -> None:
        client = transport.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
        made(self, transport)

    monkeypatch.setattr(ConnectionGuard, "connection_made", connection_made)


async def stalled(api: Api, request: bytes) -> socket.socket:
    """Return a client that has sent a request and read the first bytes of the response."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", api.port))
    await loop.sock_sendall(client, request)
    assert (await loop.sock_recv(client, 12))[8:] == b" 200"
    return client


async def rest(client: socket.socket) -> bytes:
    """Return what else arrives until the connection ends; raise if it is reset."""
    loop, received = asyncio.get_running_loop(), b""
    while chunk := await loop.sock_recv(client, 65536):
        received += chunk
    return received
