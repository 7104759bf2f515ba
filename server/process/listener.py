"""The listening sockets of an application, and its graceful shutdown."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Self

from aiohttp import web

from server.context import SETTINGS, SHUTTING_DOWN
from server.observability.access_log import ACCESS_LOG
from server.observability.counters import COUNTERS
from server.security.connection_limits import CONNECTION_LIMITER
from server.transport.connection import connection_factory

BACKLOG = 1024
"""Connections that the kernel holds until they are accepted."""

DRAIN_SECONDS = 1.0
"""Seconds for which clients that keep a connection open may still send a request on it."""

_HANDSHAKE_SECONDS = 10.0
"""Seconds that a TLS handshake may take."""

_POLL_SECONDS = 0.02


class Listener:
    """A running application: listens until `stop_accepting`, and ends with `close`."""

    def __init__(
        self,
        runner: web.AppRunner,
        server: asyncio.Server,
        factory: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._runner = runner
        self._server = server
        self._factory = factory
        self._tls = tls
        self.addresses = [each.getsockname()[:2] for each in server.sockets]
        """Host and port of each socket."""

    @classmethod
    async def start(
        cls,
        app: web.Application,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> Self:
        """Set the application up and listen. Raise OSError or UnicodeError if that fails."""
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        try:
            assert runner.server is not None
            factory = connection_factory(
                runner.server,
                app[SETTINGS].limits,
                app[CONNECTION_LIMITER],
                on_finished=app[ACCESS_LOG].add,
                on_dropped=app[COUNTERS].count_client_let_go,
            )
            server = await asyncio.get_running_loop().create_server(
                factory,
                host,
                port,
                backlog=BACKLOG,
                reuse_port=reuse_port,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
            )
        except BaseException:
            await runner.cleanup()
            raise
        return cls(runner, server, factory, tls)

    @property
    def app(self) -> web.Application:
        """The application."""
        return self._runner.app

    async def stop_accepting(self) -> None:
        """Accept the connections made so far, and no later ones.

        Further responses carry `Connection: close`.
        """
        self.app[SHUTTING_DOWN].set()
        with ExitStack() as stack:
            handles = [
                stack.enter_context(socket.socket(fileno=os.dup(each.fileno())))
                for each in self._server.sockets
            ]
            self._server.close()
            # The kernel resets what was not accepted when the last handle closes.
            accepted = [client for handle in handles for client in _backlog(handle)]
        connect = asyncio.get_running_loop().connect_accepted_socket
        timeout = None if self._tls is None else DRAIN_SECONDS
        # A client that has gone, or that does not speak TLS, is no reason to lose the others.
        await asyncio.gather(
            *(
                connect(self._factory, client, ssl=self._tls, ssl_handshake_timeout=timeout)
                for client in accepted
            ),
            return_exceptions=True,
        )

    async def drain(self) -> None:
        """Wait until no client keeps a connection, for `DRAIN_SECONDS` at most.

        A client may be sending its next request just when an idle connection is closed.
        """
        assert self._runner.server is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DRAIN_SECONDS
        while self._runner.server.connections and loop.time() < deadline:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(_POLL_SECONDS)

    async def close(self) -> None:
        """Finish running requests and release everything that the application holds."""
        self._server.close()
        await self._runner.cleanup()


def _backlog(handle: socket.socket) -> Iterator[socket.socket]:
    """Yield the connections that were made and not accepted yet."""
    while True:
        try:
            yield handle.accept()[0]
        except ConnectionAbortedError:
            continue
        except OSError:  # none is left, or no descriptor for one more
            return
