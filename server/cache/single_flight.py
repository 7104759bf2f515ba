"""An answer that is being made, for all who asked for it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping

from server.transport.content_coding import Chunk
from storage.common.deflate import DeflateBlock


class TooLargeError(Exception):
    """An answer is too large to be kept."""


class InFlightResponse:
    """An answer that is being made: its pieces so far, for all who follow it."""

    def __init__(self, abandon: Callable[[], None]) -> None:
        self.expected = 0
        """About how many bytes it will take."""
        self.pieces: list[DeflateBlock] = []
        self.notes: Mapping[str, str] = {}
        """See `Streamed`; there before the first piece is."""
        self._abandon = abandon
        self._complete = False
        self._error: Exception | None = None
        self._followers = 0
        self._news = asyncio.Event()

    def add(self, piece: DeflateBlock) -> None:
        """A further piece is there."""
        self.pieces.append(piece)
        self._tell()

    def end(self) -> None:
        """All pieces are there."""
        self._complete = True
        self._settle()
        self._tell()

    def fail(self, error: Exception) -> None:
        """There will be no further piece."""
        self._error = error
        self._settle()
        self._tell()

    def _settle(self) -> None:
        # What gives up this answer holds it in turn, and pieces would wait for the collector.
        self._abandon = _nothing

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self) -> AsyncGenerator[Chunk]:
        """All pieces, as they come; an incomplete answer is given up once nobody follows it."""
        self._followers += 1
        place = 0
        try:
            while True:
                while place < len(self.pieces):
                    yield self.pieces[place]
                    place += 1
                if self._error is not None:
                    raise self._error
                if self._complete:
                    return
                await self._news.wait()
        finally:
            self._followers -= 1
            if not self._followers and not self._complete:
                self._abandon()


def _nothing() -> None:
    pass
