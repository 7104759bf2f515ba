"""The watchdog of the event loop: measures how long the loop lets others wait, and tells where."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType

from aiohttp import web

from server.observability.counters import Histogram

log = logging.getLogger("server")

INTERVAL_SECONDS = 0.1
"""Seconds between two measurements."""

WARNING_SECONDS = 0.1
"""The lag above which a warning is logged."""

_WARNING_INTERVAL = 30.0
"""Seconds in which one warning is logged for any number of lags."""

_MAX_CALLS = 5
"""Calls, the innermost ones, that a warning names."""


class LoopWatchdog:
    """Measures the lag of the event loop from a thread of its own.

    The lag is the time that a callback waits for its turn: because another one holds the loop, or
    because the machine gives the process no time. In the first case, the thread sees where.
    """

    def __init__(self) -> None:
        self.lag = Histogram()
        self._warned = -_WARNING_INTERVAL
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Measure the running loop."""
        loop, owner = asyncio.get_running_loop(), threading.get_ident()
        self._thread = threading.Thread(
            target=self._measure, args=(loop, owner), name="watchdog", daemon=True
        )
        self._thread.start()

    async def stop(self) -> None:
        """Measure no longer."""
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _measure(self, loop: asyncio.AbstractEventLoop, owner: int) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            turn = _Turn()
            loop.call_soon_threadsafe(turn.take)
            where = ""
            if not turn.taken.wait(WARNING_SECONDS):
                where = _where(sys._current_frames().get(owner))
                if turn.taken.is_set():
                    where = ""  # it is another callback by now
                turn.taken.wait()
            self._add(turn, where)

    def _add(self, turn: "_Turn", where: str) -> None:
        self.lag.add(turn.lag)
        now = time.monotonic()
        if turn.lag >= WARNING_SECONDS and now - self._warned >= _WARNING_INTERVAL:
            self._warned = now
            log.warning(
                "the event loop was %.0f ms late, and served nobody meanwhile%s",
                *(turn.lag * 1000, where and f"; it was in {where}"),
            )


class _Turn:
    """A callback that waits for its turn."""

    def __init__(self) -> None:
        self.taken = threading.Event()
        self.lag = 0.0
        self._asked = time.perf_counter()

    def take(self) -> None:
        self.lag = time.perf_counter() - self._asked
        self.taken.set()


def _where(frame: FrameType | None) -> str:
    """Return the innermost calls of a thread, the last one first."""
    calls: list[str] = []
    while frame is not None and len(calls) < _MAX_CALLS:
        code = frame.f_code
        file = "/".join(Path(code.co_filename).parts[-2:])
        calls.append(f"{code.co_name} ({file}:{frame.f_lineno})")
        frame = frame.f_back
    return " < ".join(calls)


LOOP_WATCHDOG = web.AppKey("loop_watchdog", LoopWatchdog)


@asynccontextmanager
async def watch_loop(app: web.Application) -> AsyncIterator[None]:
    """Measure the loop as long as the application runs."""
    watchdog = app[LOOP_WATCHDOG]
    watchdog.start()
    yield
    await watchdog.stop()
