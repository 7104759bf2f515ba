"""Each answer, counted when its last byte was sent."""

import logging
import time
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from server.access_log import AccessLog
from server.keys import SETTINGS, TALLY, TIMING
from server.tally import Kind, Tally


def accounting(app: web.Application) -> type[AbstractAccessLogger]:
    """What aiohttp is to call after each answer of an application."""
    known = {"tally": app[TALLY], "proxies": app[SETTINGS].server.proxies}
    return type("Accounting", (_Accounting,), known)


class _Accounting(AccessLog):
    """Counts answers, whether they are logged or not."""

    tally: Tally

    @property
    def enabled(self) -> bool:
        """Always: aiohttp asks once for a connection, and the level may change meanwhile."""
        return True

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time_: float) -> None:
        """Counts an answer, and writes its line where lines are wanted."""
        timing = request.get(TIMING)
        whole, first_byte = time_, 0.0
        # What has no route is of one kind, or else a client could make up ever more of them.
        kind: Kind = ("", "", response.status)
        if timing is not None:
            whole = time.perf_counter() - timing.began
            first_byte = timing.first_byte
            resource = cast("web.Request", request).match_info.route.resource
            if resource is not None:
                kind = (resource.canonical, request.method, response.status)
        answers = self.tally.answers[kind]
        answers.bytes += response.body_length
        answers.first_byte.add(first_byte)
        answers.whole.add(whole)
        if self.logger.isEnabledFor(logging.INFO):
            super().log(request, response, whole)
