"""An answer on its way out, page by page, in memory that does not grow with it."""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from server.keys import REQUEST_ID
from storage.errors import StorageError
from storage.reader import Answer

log = logging.getLogger("server")

JSON = "application/json"
TAIL = b"]}}"

_RESET = struct.pack("ii", 1, 0)
"""Closes a socket by breaking its connection."""


def head(count: int, message: str) -> bytes:
    """How an answer begins that holds so many records."""
    return b'{"message":"%b","status":"OK","statusCode":200,"values":{"numrecs":%d,"records":[' % (
        message.encode(),
        count,
    )


async def envelope(answer: Answer) -> AsyncGenerator[bytes]:
    """An answer as the contract has it, a part for each page."""
    before = head(answer.count, "" if answer.count else "No data found")
    async with aclosing(answer.pages) as pages:
        async for page in pages:
            yield before + page
            before = b","
    yield TAIL if before == b"," else before + TAIL


class Streamed(web.StreamResponse):
    """A response that is made while it is sent; one that fails is cut off, never ended well."""

    def __init__(self, parts: AsyncGenerator[bytes], *, size: int = 0) -> None:
        super().__init__()
        self.content_type = JSON
        self.charset = "utf-8"
        self.size = size
        """About how many bytes there will be."""
        self.parts = parts
        self._first: bytes | None = None

    async def begin(self) -> None:
        """Fetches the first part, so that what fails at once fails before the head is sent."""
        self._first = await anext(self.parts)

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends the parts and the end."""
        async with aclosing(self.parts):
            if self._first is not None:
                await self._send()
        await super().write_eof(data)

    async def _send(self) -> None:
        assert self._first is not None
        request = self._req
        assert request is not None
        try:
            await self.write(self._first)
            async for part in self.parts:
                await self.write(part)
        except ConnectionError:
            raise  # the client has left
        except StorageError as error:
            log.error("%s answer cut off: %s", request.get(REQUEST_ID), error)
            raise _cut_off(request) from error
        except Exception as error:
            log.error("%s answer cut off", request.get(REQUEST_ID), exc_info=error)
            raise _cut_off(request) from error
        except asyncio.CancelledError:
            _cut_off(request)
            raise


def _cut_off(request: web.BaseRequest) -> ConnectionResetError:
    """Breaks the connection; to HTTP/1.0 clients one that merely ends would end a whole answer."""
    if request.transport is not None:
        client = request.transport.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        request.transport.abort()
    return ConnectionResetError()
