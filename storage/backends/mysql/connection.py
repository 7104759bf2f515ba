"""A connection to MySQL or MariaDB that a report is sent through."""

import asyncio
from collections.abc import Iterable

import aiomysql
import aiomysql.connection

from storage.backends.mysql.tls import SecuredConnection

_PACKET = 2**18


class _Sender:
    """Sends blocks where LOAD DATA LOCAL asks for a file.

    Whatever file the server names, it gets what the connection has at hand for it and nothing
    else, a packet at a time and no faster than it reads.
    """

    def __init__(self, _filename: str, connection: "WritingConnection") -> None:
        self._connection = connection

    async def send_data(self) -> None:
        connection = self._connection
        try:
            for block in connection.blocks:
                for at in range(0, len(block), _PACKET):
                    connection.write_packet(block[at : at + _PACKET])
                    await connection.writer.drain()
                # Where the writer has room, drain() doesn't let a cancellation in.
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            # Half a report must not look like a whole one.
            connection.close()
            raise
        except BaseException:
            connection.write_packet(b"")
            raise
        connection.write_packet(b"")


# aiomysql's own sender reads a whole file into memory, faster than the server takes it.
aiomysql.connection.LoadLocalFile = _Sender


class QuietCursor(aiomysql.Cursor):  # type: ignore[misc]  # aiomysql comes without types
    """A cursor that leaves the server's warnings to whoever asks for them."""

    async def _show_warnings(self, _connection: aiomysql.Connection) -> None:
        pass


class WritingConnection(SecuredConnection):
    """A connection that can send blocks."""

    blocks: Iterable[bytes] = ()

    @property
    def writer(self) -> asyncio.StreamWriter:
        writer: asyncio.StreamWriter = self._writer
        return writer
