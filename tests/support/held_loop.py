"""How long callbacks of the server hold the event loop, in processor time of the loop's thread.

Processor time, so that a machine that is busy with other things does no harm. What the collector
of garbage takes is left out: its work grows with what the tests hold. So is whatever is no part of
the service: a test and its client run in the same loop.
"""

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.paths import ROOT

_OWN = tuple(str(ROOT / folder) + "/" for folder in ("server", "storage", "domain", "settings"))
_AIOHTTP = str(Path(web.__file__).with_name("web_"))


BOUND_SECONDS = 0.05
"""The goal is 20 ms. Processor time of the same work varies by a factor of two on a machine whose
cores and caches are shared, so that a bound at the goal would fail at random."""


@dataclass
class HeldLoop:
    """The longest time that a callback of the server has held the loop, and which one did."""

    seconds: float = 0.0
    callback: str = ""
    _collecting: float = 0.0
    _began: float = 0.0
    _handles: Any = field(default=asyncio.events.Handle)

    def reset(self) -> None:
        """Forget what was measured so far."""
        self.seconds, self.callback = 0.0, ""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Measure the callbacks of all loops of asyncio."""
        run = self._handles._run

        def measured(handle: asyncio.Handle) -> None:
            self._collecting = 0.0
            began = time.thread_time()
            # The callback may leave nothing of itself behind.
            callback = handle._callback  # type: ignore[attr-defined]  # of asyncio's own
            run(handle)
            seconds = time.thread_time() - began - self._collecting
            if seconds > self.seconds and _is_of_server(callback):
                self.seconds, self.callback = seconds, _described(callback)

        self._handles._run = measured
        gc.callbacks.append(self._collected)
        try:
            yield
        finally:
            gc.callbacks.remove(self._collected)
            self._handles._run = run

    def _collected(self, phase: str, _: object) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self._collecting += time.thread_time() - self._began


def _is_of_server(callback: Any) -> bool:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return _code(owner).startswith((*_OWN, _AIOHTTP))
    protocol = getattr(owner, "_protocol", owner)
    protocol = getattr(protocol, "_app_protocol", protocol)  # below TLS
    if isinstance(protocol, web.RequestHandler):
        return True
    function = getattr(callback, "__func__", callback)
    return getattr(getattr(function, "__code__", None), "co_filename", "").startswith(_OWN)


def _code(task: asyncio.Task[Any]) -> str:
    """Return the file of a task's coroutine."""
    coroutine: Any = task.get_coro()
    code = getattr(coroutine, "cr_code", None)
    return "" if code is None else code.co_filename


def _described(callback: Any) -> str:
    owner = getattr(callback, "__self__", None)
    return repr(owner if isinstance(owner, asyncio.Task) else callback)
