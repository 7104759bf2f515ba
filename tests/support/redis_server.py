"""A private Redis server that stores nothing on disk."""

import socket
from pathlib import Path

from tests.support.live_server import LiveServer, find_program


def find_redis() -> Path | None:
    return find_program("redis-server")


class Redis(LiveServer):
    """A Redis server without a password."""

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def command(self) -> list[str]:
        return [
            str(self.program),
            *("--bind", self.host),
            *("--port", str(self.port)),
            *("--unixsocket", str(self.socket)),
            *("--dir", str(self.folder)),
            *("--save", ""),
        ]

    def is_ready(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        return connection.recv(5) == b"+PONG"
