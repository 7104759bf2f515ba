"""An answer that is being made, for all who asked for it."""

import asyncio
from collections.abc import AsyncGenerator, Callable


class TooLargeError(Exception):
    """An answer is too large to be kept."""


class Filling:
    """An answer that is being made: its parts so far, for all who follow it."""

    def __init__(self, abandon: Callable[[], None]) -> None:
        self.size = 0
        self._abandon = abandon
        self._parts: list[bytes] = []
        self._complete = False
        self._error: Exception | None = None
        self._followers = 0
        self._news = asyncio.Event()

    def add(self, part: bytes) -> None:
        """A further part is there."""
        self._parts.append(part)
        self._tell()

    def end(self) -> bytes:
        """All parts are there; gives them as one."""
        self._complete = True
        self._tell()
        return b"".join(self._parts)

    def fail(self, error: Exception) -> None:
        """There will be no further part."""
        self._error = error
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self) -> AsyncGenerator[bytes]:
        """All parts, as they come; an incomplete answer is given up once nobody follows it."""
        self._followers += 1
        place = 0
        try:
            while True:
                while place < len(self._parts):
                    yield self._parts[place]
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
