"""A server that speaks MySQL's protocol and wants passwords and files of its clients."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pymysql.constants import CLIENT

CAPABILITIES = (
    CLIENT.LONG_PASSWORD
    | CLIENT.LONG_FLAG
    | CLIENT.CONNECT_WITH_DB
    | CLIENT.LOCAL_FILES
    | CLIENT.PROTOCOL_41
    | CLIENT.TRANSACTIONS
    | CLIENT.SECURE_CONNECTION
    | CLIENT.MULTI_STATEMENTS
    | CLIENT.MULTI_RESULTS
    | CLIENT.PLUGIN_AUTH
    | CLIENT.PLUGIN_AUTH_LENENC_CLIENT_DATA
)
SALT = b"a salt of twenty byt"
OK = b"\x00\x00\x00\x02\x00\x00\x00"
QUERY, QUIT = 3, 1


@dataclass
class HostileMysql:
    """What it wants, what its greeting says, and all that its clients sent."""

    port: int = 0
    greets_with: str = "mysql_native_password"
    switches_to: str | None = None
    """The login method that it asks for after the client's first answer."""
    question: bytes = b""
    """What comes with it."""
    file: str | None = None
    """What it asks for in answer to every statement."""
    refusal: bytes | None = None
    """The error that it greets with."""
    capabilities: int = CAPABILITIES
    received: bytearray = field(default_factory=bytearray)
    logins: list[bytes] = field(default_factory=list)
    """What clients sent when it had asked for its own login method."""
    statements: list[bytes] = field(default_factory=list)

    def greeting(self) -> bytes:
        if self.refusal is not None:
            return b"\xff" + struct.pack("<H", 1045) + b"#28000" + self.refusal
        low, high = self.capabilities & 0xFFFF, self.capabilities >> 16
        return (
            b"\x0a5.5.5-10.11.19-MariaDB\x00"
            + struct.pack("<I", 7)
            + SALT[:8]
            + b"\x00"
            + struct.pack("<HBHHB", low, 45, 2, high, 21)
            + bytes(10)
            + SALT[8:]
            + b"\x00"
            + self.greets_with.encode()
            + b"\x00"
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0

        def send(packet: bytes) -> None:
            writer.write(len(packet).to_bytes(3, "little") + bytes([number]) + packet)

        async def receive() -> bytes:
            nonlocal number
            head = await reader.readexactly(4)
            number = (head[3] + 1) % 256
            packet = await reader.readexactly(int.from_bytes(head[:3], "little"))
            self.received += packet
            return packet

        try:
            send(self.greeting())
            if self.refusal is None:
                await receive()
                if self.switches_to is not None:
                    plugin = self.switches_to.encode()
                    data = self.question or SALT + b"\x00"
                    send(b"\xfe" + (plugin + b"\x00" + data if plugin else b""))
                    self.logins.append(await receive())
                send(OK)
                while (packet := await receive())[0] != QUIT:
                    self.statements.append(packet[1:])
                    if self.file is not None and packet[0] == QUERY:
                        send(b"\xfb" + os.fsencode(self.file))
                        while await receive():
                            pass
                    send(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(hostile: HostileMysql) -> AsyncIterator[HostileMysql]:
    """Runs it on a free port."""
    async with await asyncio.start_server(hostile.serve, "127.0.0.1", 0) as server:
        hostile.port = server.sockets[0].getsockname()[1]
        yield hostile
