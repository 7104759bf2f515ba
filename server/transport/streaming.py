"""An answer on its way out, page by page, in memory that does not grow with it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Self

from aiohttp import hdrs, web

from server.context import COUNTERS, REQUEST_ID
from server.transport.connection import reset_connection
from server.transport.content_coding import Chunk, Coding, Identity, encode
from storage.common.errors import StorageError

log = logging.getLogger("server")

JSON_MEDIA_TYPE = "application/json"

_AT_ONCE = 2**20
"""Bytes of a body, ready in memory, that are written at a time."""


def content_type(media_type: str) -> str:
    """A media type as a header has it: texts name their encoding."""
    is_text = media_type == JSON_MEDIA_TYPE or media_type.startswith("text/")
    return f"{media_type}; charset=utf-8" if is_text else media_type


class StreamingResponse(web.StreamResponse):
    """A response that is made while it is sent; one that fails is cut off, never ended well."""

    def __init__(
        self,
        parts: AsyncGenerator[Chunk],
        count: int = 0,
        *,
        media_type: str = JSON_MEDIA_TYPE,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(headers={hdrs.CONTENT_TYPE: content_type(media_type)})
        self.parts = parts
        self.count = count
        """The number of records."""
        self.notes = notes or {}
        """What its headers have to tell of it; kept with it in the cache."""
        self._coded: AsyncGenerator[bytes | memoryview] | None = None
        self._first: bytes | memoryview = b""

    async def begin(self, coding: Coding, body: bytes | None = None) -> Self:
        """Makes the first bytes, so that what fails at once fails before the head is sent.

        Where the whole body is there in that coding, it is sent and no part asked for.
        """
        if not isinstance(coding, Identity):
            self.headers[hdrs.CONTENT_ENCODING] = coding.name
        self._coded = encode(self.parts, coding) if body is None else _views(memoryview(body))
        self._first = await anext(self._coded)
        return self

    async def drop(self) -> None:
        """Ends what was begun, where it is not going to be sent."""
        coded, self._coded = self._coded, None
        if coded is not None:
            await coded.aclose()

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends the parts and the end."""
        coded, self._coded = self._coded, None
        if coded is not None:
            async with aclosing(coded):
                await self._send(coded)
        await super().write_eof(data)

    async def _send(self, coded: AsyncGenerator[bytes | memoryview]) -> None:
        request = self._req
        assert isinstance(request, web.Request)
        tally = request.app[COUNTERS]
        tally.streams_begun += 1
        try:
            await self.write(self._first)
            async for part in coded:
                await self.write(part)
            tally.streams_complete += 1
        except ConnectionError:
            tally.streams_left += 1
            raise
        except StorageError as error:
            tally.streams_failed += 1
            log.error("%s answer cut off: %s", request.get(REQUEST_ID), error)
            raise _cut_off(request) from error
        except Exception as error:
            tally.streams_failed += 1
            log.error("%s answer cut off", request.get(REQUEST_ID), exc_info=error)
            raise _cut_off(request) from error
        except asyncio.CancelledError:
            tally.streams_left += 1
            _cut_off(request)
            raise


async def _views(body: memoryview) -> AsyncGenerator[memoryview]:
    for at in range(0, len(body), _AT_ONCE):
        yield body[at : at + _AT_ONCE]


def _cut_off(request: web.BaseRequest) -> ConnectionResetError:
    if request.transport is not None:
        reset_connection(request.transport)
    return ConnectionResetError()
