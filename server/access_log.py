"""The log: a line for each request, without query strings, tokens or passwords."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache

from aiohttp.abc import AbstractAccessLogger
from aiohttp.http import HttpProcessingError
from aiohttp.web import BaseRequest, StreamResponse

from server.keys import REQUEST_ID, USER
from server.proxies import address_behind, scheme_behind
from settings import Network

_Answered = tuple[str, str, int, int, float, str | None, str, str, str | None]
"""Method, path, status, bytes, seconds, user, address and scheme of the client, request id."""


class Requests:
    """What is said of requests in one message."""

    def __init__(self, answered: Sequence[_Answered]) -> None:
        self._answered = answered

    def __str__(self) -> str:
        return "\n".join(
            f"{method} {path} {status} {size} bytes {seconds * 1000:.1f} ms"
            f" user={user or '-'} from={client} id={request or '-'}"
            for method, path, status, size, seconds, user, client, _, request in self._answered
        )

    def each(self) -> Iterator[dict[str, object]]:
        """The fields of each."""
        for method, path, status, size, seconds, user, client, scheme, request in self._answered:
            yield {
                "method": method,
                "path": path,
                "status": status,
                "bytes": size,
                "ms": round(seconds * 1000, 2),
                "user": user,
                "client": client,
                "scheme": scheme,
                "request": request,
            }


class AccessLog(AbstractAccessLogger):
    """Writes method, path, status, bytes, milliseconds, user, address and request id."""

    proxies: Sequence[Network] = ()

    def __init__(self, logger: logging.Logger, log_format: str) -> None:
        super().__init__(logger, log_format)
        self._lines = _lines(logger, asyncio.get_running_loop())

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Writes a line."""
        self._lines.add(
            (
                request.method,
                request.rel_url.raw_path,
                response.status,
                response.body_length,
                time,
                request.get(USER),
                address_behind(request, self.proxies),
                scheme_behind(request, self.proxies),
                request.get(REQUEST_ID),
            )
        )


class _Lines:
    """Lines that are written together, as a single message, when the loop turns next."""

    def __init__(self, logger: logging.Logger, loop: asyncio.AbstractEventLoop) -> None:
        self._logger = logger
        self._loop = loop
        self._waiting: list[_Answered] = []

    def add(self, answered: _Answered) -> None:
        if not self._waiting:
            self._loop.call_soon(self._write)
        self._waiting.append(answered)

    def _write(self) -> None:
        answered, self._waiting = self._waiting, []
        self._logger.info(Requests(answered))


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
