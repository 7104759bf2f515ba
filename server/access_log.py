"""The log: a line for each request, without query strings, tokens or passwords."""

import logging

from aiohttp.abc import AbstractAccessLogger
from aiohttp.web import BaseRequest, StreamResponse

from server.keys import REQUEST_ID, USER


class AccessLog(AbstractAccessLogger):
    """Writes method, path, status, bytes, milliseconds, user and request id."""

    @property
    def enabled(self) -> bool:
        """Whether lines are wanted."""
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Writes a line."""
        self.logger.info(
            "%s %s %d %d bytes %.1f ms user=%s id=%s",
            request.method,
            request.rel_url.raw_path,
            response.status,
            response.body_length,
            time * 1000,
            request.get(USER, "-"),
            request.get(REQUEST_ID, "-"),
        )
