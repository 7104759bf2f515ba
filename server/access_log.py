"""The log: a line for each request, without query strings, tokens or passwords."""

import logging

from aiohttp.abc import AbstractAccessLogger
from aiohttp.http import HttpProcessingError
from aiohttp.web import BaseRequest, StreamResponse

from server.keys import REQUEST_ID, USER
from server.proxies import client_address


class AccessLog(AbstractAccessLogger):
    """Writes method, path, status, bytes, milliseconds, user, address and request id."""

    @property
    def enabled(self) -> bool:
        """Whether lines are wanted."""
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Writes a line."""
        self.logger.info(
            "%s %s %d %d bytes %.1f ms user=%s from=%s id=%s",
            request.method,
            request.rel_url.raw_path,
            response.status,
            response.body_length,
            time * 1000,
            request.get(USER, "-"),
            client_address(request),
            request.get(REQUEST_ID, "-"),
        )


def _without_request(record: logging.LogRecord) -> bool:
    """Takes out of a line of aiohttp's what it quotes of a request that is not HTTP."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "malformed request: %s", (type(error).__name__,)
        record.exc_info = None
    return True


logging.getLogger("aiohttp.server").addFilter(_without_request)
