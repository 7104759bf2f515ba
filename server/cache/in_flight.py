"""Responses in flight: equal requests that arrive during production share one."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING

from server.transport.content_coding import Chunk
from server.transport.streaming import Payload
from storage.common.deflate import DeflateBlock
from storage.common.errors import Unreachable

if TYPE_CHECKING:
    from server.cache.entry import CacheEntry


class TooLargeError(Exception):
    """A response is too large to be stored, or to be held for its subscribers."""

    def __init__(self, payload: Payload) -> None:
        super().__init__()
        self._payload: Payload | None = payload

    def take_payload(self) -> Payload | None:
        """Return the payload to the first subscriber that asks for it: it can be sent once."""
        payload, self._payload = self._payload, None
        return payload


class InFlightResponse:
    """A response in production; subscribers receive its blocks as they arrive.

    `on_idle` is called when the last subscriber leaves: the memory of a complete response can be
    released, and the production of an incomplete one be cancelled.
    """

    def __init__(self, on_idle: Callable[["InFlightResponse"], None]) -> None:
        self.expected_bytes = 0
        """About how many bytes it will take in memory."""
        self.blocks: list[DeflateBlock] = []
        self.metadata: Mapping[str, str] = {}
        """See `Payload`; set when it begins."""
        self.entry: CacheEntry | None = None
        """The complete response, whose memory subscribers hold."""
        self.is_complete = False
        self.admitted = asyncio.Event()
        """Whether some subscriber may have the response."""
        self._has_begun = False
        self._on_idle = on_idle
        self._error: Exception | None = None
        self._subscribers = 0
        self._arrival = asyncio.Event()

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody still reads it."""
        return self._subscribers > 0

    def begin(self, metadata: Mapping[str, str]) -> None:
        """Tell subscribers what is known before the first block."""
        self.metadata = metadata
        self._has_begun = True
        self._wake()

    def add(self, block: DeflateBlock) -> None:
        """Append a block."""
        self.blocks.append(block)
        self._wake()

    def complete(self) -> None:
        """Mark the response as complete."""
        self.is_complete = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Mark the response as failed; subscribers raise the error."""
        self._error = error
        self.blocks.clear()
        self._wake()

    def abandon(self) -> None:
        """Fail, if production has ended without a result: it was cancelled."""
        if not self.is_complete and self._error is None:
            self.fail(Unreachable("the response was abandoned"))

    def _wake(self) -> None:
        arrival, self._arrival = self._arrival, asyncio.Event()
        arrival.set()

    async def subscribe(self, admit: Callable[[], None]) -> AsyncGenerator[Chunk]:
        """Yield all blocks, as they arrive, if `admit` raises no error before the first."""
        self._subscribers += 1
        position = 0
        try:
            while not self._has_begun and self._error is None:
                await self._arrival.wait()
            if self._error is None:
                admit()
                self.admitted.set()
            while True:
                while position < len(self.blocks):
                    yield self.blocks[position]
                    position += 1
                if self._error is not None:
                    raise self._error
                if self.is_complete:
                    return
                await self._arrival.wait()
        finally:
            self._subscribers -= 1
            if not self._subscribers:
                self._on_idle(self)
