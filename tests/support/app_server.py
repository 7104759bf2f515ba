"""A test server whose connections are the service's own."""

from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from server.process.listener import Listener


class AppServer(TestServer):
    """Serves an application on a port of its own."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(app)
        self._listener: Listener | None = None

    async def start_server(self, *_: Any, **__: Any) -> None:
        """Listen, once."""
        if self._listener is None:
            self._listener = await Listener.start(self.app, self.host, 0)
            self.port = self._listener.addresses[0][1]

    @property
    def handler(self) -> web.Server:
        """Return what serves the connections."""
        assert self._listener is not None
        server = self._listener._runner.server
        assert server is not None
        return server

    def make_url(self, path: Any) -> URL:
        """Return the address of a path."""
        return URL(f"http://{self.host}:{self.port}").join(URL(path))

    async def close(self) -> None:
        """End the application."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            await listener.close()
