"""Each answer, counted when its last byte was sent."""

import logging
import time
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from server import logs
from server.access_log import AccessLog
from server.keys import REQUEST_ID, TALLY, TIMING, USER
from server.proxies import client_address, client_scheme
from server.tally import Kind, Tally


def accounting(app: web.Application) -> type[AbstractAccessLogger]:
    """What aiohttp is to call after each answer of an application."""
    return type("Accounting", (_Accounting,), {"tally": app[TALLY]})


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
        whole = first_byte = 0.0
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
        if not self.logger.isEnabledFor(logging.INFO):
            return
        if logs.is_json():
            self.logger.info("request", extra={"fields": _fields(request, response, whole)})
        else:
            super().log(request, response, time_)


def _fields(
    request: web.BaseRequest, response: web.StreamResponse, seconds: float
) -> dict[str, object]:
    return {
        "method": request.method,
        "path": request.rel_url.raw_path,
        "status": response.status,
        "bytes": response.body_length,
        "ms": round(seconds * 1000, 2),
        "user": request.get(USER),
        "client": client_address(request),
        "scheme": client_scheme(request),
        "request": request.get(REQUEST_ID),
    }
