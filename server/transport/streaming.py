"""Streaming responses: sent while they are produced, in bounded memory."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Self

from aiohttp import hdrs, web

from server.context import request_id
from server.transport.connection import reset_connection
from server.transport.content_coding import Chunk, Coding, Identity, encode
from storage.common.errors import StorageError

log = logging.getLogger("server")

JSON_MEDIA_TYPE = "application/json"

_WRITE_BYTES = 2**20
"""Bytes of a complete body that are written at a time."""


@dataclass(slots=True)
class StreamStatistics:
    """How many streamed responses began, and how they ended."""

    begun: int = 0
    complete: int = 0
    left: int = 0
    """The client closed the connection."""
    failed: int = 0
    """The stream failed, and the connection was reset."""

    @property
    def active(self) -> int:
        """Responses being streamed."""
        return self.begun - self.complete - self.left - self.failed


STREAM_STATISTICS = web.AppKey("stream_statistics", StreamStatistics)


@dataclass(frozen=True, slots=True)
class Payload:
    """The content of a response: its chunks, the number of records, and metadata for headers."""

    chunks: AsyncGenerator[Chunk]
    count: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Values for response headers; stored with the content in the cache."""
    deflate: Callable[[], None] | None = None
    """Asks for compressed blocks instead of plain chunks, before the first one is taken."""


def content_type(media_type: str) -> str:
    """Return a media type as a header value, for text with its charset."""
    is_text = media_type == JSON_MEDIA_TYPE or media_type.startswith("text/")
    return f"{media_type}; charset=utf-8" if is_text else media_type


class StreamingResponse(web.StreamResponse):
    """A response produced while it is sent. A failure resets the connection."""

    def __init__(self, media_type: str, coding: Coding) -> None:
        super().__init__(headers={hdrs.CONTENT_TYPE: content_type(media_type)})
        if not isinstance(coding, Identity):
            self.headers[hdrs.CONTENT_ENCODING] = coding.name
        self._coding = coding
        self._encoded: AsyncGenerator[bytes | memoryview] | None = None
        self._first: bytes | memoryview = b""

    async def start(self, chunks: AsyncGenerator[Chunk]) -> Self:
        """Produce the first bytes, so that an early failure precedes the headers."""
        return await self.start_encoded(encode(chunks, self._coding))

    async def start_encoded(self, encoded: AsyncGenerator[bytes | memoryview]) -> Self:
        """Produce the first bytes of a body that is encoded already."""
        self._encoded = encoded
        self._first = await anext(encoded)
        return self

    async def discard(self) -> None:
        """Close a response that was started and will not be sent."""
        encoded, self._encoded = self._encoded, None
        if encoded is not None:
            await encoded.aclose()

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the chunks and the end."""
        encoded, self._encoded = self._encoded, None
        if encoded is not None:
            async with aclosing(encoded):
                await self._send(encoded)
        await super().write_eof(data)

    async def _send(self, encoded: AsyncGenerator[bytes | memoryview]) -> None:
        request = self._req
        assert isinstance(request, web.Request)
        statistics = request.app[STREAM_STATISTICS]
        statistics.begun += 1
        try:
            await self.write(self._first)
            async for part in encoded:
                await self.write(part)
            statistics.complete += 1
        except (ConnectionError, asyncio.CancelledError):
            statistics.left += 1
            raise
        except StorageError as error:
            statistics.failed += 1
            log.error("%s connection reset in mid-response: %s", request_id(request), error)
            raise _reset(request) from error
        except Exception as error:
            statistics.failed += 1
            log.error("%s connection reset in mid-response", request_id(request), exc_info=error)
            raise _reset(request) from error


async def views(body: bytes) -> AsyncGenerator[memoryview]:
    """Yield views of a body, of the size that is written at a time."""
    whole = memoryview(body)
    for start in range(0, len(whole), _WRITE_BYTES):
        yield whole[start : start + _WRITE_BYTES]


def _reset(request: web.BaseRequest) -> ConnectionResetError:
    if request.transport is not None:
        reset_connection(request.transport)
    return ConnectionResetError()
