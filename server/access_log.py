"""The log: a line for each request, without query strings, tokens or passwords."""

import asyncio
import logging
from functools import lru_cache

from aiohttp.abc import AbstractAccessLogger
from aiohttp.http import HttpProcessingError
from aiohttp.web import BaseRequest, StreamResponse

from server.keys import REQUEST_ID, USER


class EachLine(logging.Formatter):
    """Begins every line of a message with its time and level."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The lines of a record."""
        text = super().formatMessage(record)
        return text.replace("\n", "\n" + text[: len(text) - len(record.message)])


class AccessLog(AbstractAccessLogger):
    """Writes method, path, status, bytes, milliseconds, user and request id."""

    def __init__(self, logger: logging.Logger, log_format: str) -> None:
        super().__init__(logger, log_format)
        self._lines = _lines(logger, asyncio.get_running_loop())

    @property
    def enabled(self) -> bool:
        """Whether lines are wanted."""
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Writes a line."""
        self._lines.add(
            f"{request.method} {request.rel_url.raw_path} {response.status}"
            f" {response.body_length} bytes {time * 1000:.1f} ms"
            f" user={request.get(USER, '-')} id={request.get(REQUEST_ID, '-')}"
        )


class _Lines:
    """Lines that are written together, as a single message, when the loop turns next."""

    def __init__(self, logger: logging.Logger, loop: asyncio.AbstractEventLoop) -> None:
        self._logger = logger
        self._loop = loop
        self._waiting: list[str] = []

    def add(self, line: str) -> None:
        if not self._waiting:
            self._loop.call_soon(self._write)
        self._waiting.append(line)

    def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        self._logger.info("\n".join(lines))


@lru_cache(1)
def _lines(logger: logging.Logger, loop: asyncio.AbstractEventLoop) -> _Lines:
    """The same for all connections, each of which has an AccessLog of its own."""
    return _Lines(logger, loop)


def _without_request(record: logging.LogRecord) -> bool:
    """Takes out of a line of aiohttp's what it quotes of a request that is not HTTP."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "malformed request: %s", (type(error).__name__,)
        record.exc_info = None
    return True


logging.getLogger("aiohttp.server").addFilter(_without_request)
