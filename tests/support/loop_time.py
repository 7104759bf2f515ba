"""How long callbacks hold the event loop."""

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class LongestCallback:
    """The callback that took the most time of its thread, whatever else the machine does."""

    seconds: float = 0.0
    name: str = ""


@contextmanager
def longest_callback() -> Iterator[LongestCallback]:
    """Measure the callbacks of asyncio's own event loop."""
    longest = LongestCallback()
    run = asyncio.Handle._run

    def measured(self: asyncio.Handle) -> None:
        began = time.thread_time()
        run(self)
        seconds = time.thread_time() - began
        if seconds > longest.seconds:
            longest.seconds, longest.name = seconds, repr(self)

    asyncio.Handle._run = measured  # type: ignore[method-assign] # put back below
    # As in the server: what the tests have made is not looked through for cycles.
    gc.collect()
    gc.freeze()
    try:
        yield longest
    finally:
        gc.unfreeze()
        asyncio.Handle._run = run  # type: ignore[method-assign] # see above
