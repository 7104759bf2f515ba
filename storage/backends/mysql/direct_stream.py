"""A socket that is read and written in this thread."""

import asyncio
import select
import socket
from os import dup

_ANSWER_MILLISECONDS = 10
"""Time for an answer, after which the event loop is to wait for it, and others can run."""

_PIECE_BYTES = 2**18


class DirectStream:
    """Takes the place of both streams of a connection without TLS, once nothing is on its way.

    For the event loop, a quick answer takes several times as long as for the server. What is
    written is sent before something is read, or by `drain`.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        transport.pause_reading()
        self.transport = transport
        self._socket = socket.socket(fileno=dup(transport.get_extra_info("socket").fileno()))
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._received = bytearray()
        self._unsent = bytearray()

    def write(self, data: bytes) -> None:
        """Take data to be sent."""
        self._unsent += data

    async def drain(self) -> None:
        """Send what was written."""
        if self._unsent:
            data, self._unsent = self._unsent, bytearray()
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            if sent < len(data):
                await asyncio.get_running_loop().sock_sendall(self._socket, data[sent:])

    async def readexactly(self, size: int) -> bytes:
        """Return so many bytes; raises IncompleteReadError if the server hangs up before."""
        received = self._received
        if len(received) < size:
            await self.drain()
            while len(received) < size:
                if self._poll.poll(_ANSWER_MILLISECONDS):
                    data = self._socket.recv(_PIECE_BYTES)
                else:
                    loop = asyncio.get_running_loop()
                    data = await loop.sock_recv(self._socket, _PIECE_BYTES)
                if not data:
                    raise asyncio.IncompleteReadError(bytes(received), size)
                received += data
        wanted = bytes(received[:size])
        del received[:size]
        return wanted

    def close(self) -> None:
        """Close the socket; the transport is closed apart."""
        self._socket.close()
