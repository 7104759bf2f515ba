"""Each answer, counted and logged when its last byte was sent."""

import asyncio
import logging
import time
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from server.context import COUNTERS, SETTINGS, TIMING
from server.observability.access_log import AccessRecords, FinishedRequest

log = logging.getLogger("access")


def access_logger(app: web.Application) -> type[AbstractAccessLogger]:
    """What aiohttp is to call after each answer of an application."""
    return type("Accounting", (_Accounting,), {"ended": _Ended(app)})


class _Ended:
    """Answers that were sent: those of one turn of the loop are counted and logged together."""

    def __init__(self, app: web.Application) -> None:
        self._tally = app[COUNTERS]
        self._proxies = app[SETTINGS].server.proxies
        self._loop = asyncio.get_running_loop()
        self._waiting: list[FinishedRequest] = []

    def add(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        if not self._waiting:
            self._loop.call_soon(self._account)
        self._waiting.append((request, response, time.perf_counter()))

    def _account(self) -> None:
        waiting, self._waiting = self._waiting, []
        answered = [
            (request, response, self._counted(request, response, ended))
            for request, response, ended in waiting
        ]
        if log.isEnabledFor(logging.INFO):
            log.info(AccessRecords(answered, self._proxies))

    def _counted(
        self, request: web.BaseRequest, response: web.StreamResponse, ended: float
    ) -> float:
        """Counts an answer and gives the seconds that it took."""
        timing = request.get(TIMING)
        seconds = first_byte = 0.0
        # What has no route is of one kind, or else a client could make up ever more of them.
        kind = ("", "", response.status)
        if timing is not None:
            seconds = ended - timing.began
            first_byte = timing.first_byte
            resource = cast("web.Request", request).match_info.route.resource
            if resource is not None:
                kind = (resource.canonical, request.method, response.status)
        answers = self._tally.answers[kind]
        answers.bytes += response.body_length
        answers.first_byte.add(first_byte)
        answers.whole.add(seconds)
        return seconds


class _Accounting(AbstractAccessLogger):
    """Counts answers, whether they are logged or not."""

    ended: _Ended

    @property
    def enabled(self) -> bool:
        """Always: aiohttp asks once for a connection, and the level may change meanwhile."""
        return True

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:  # noqa: ARG002 - whose clock is a coarse one
        """Takes note of an answer."""
        self.ended.add(request, response)
