"""Content codings: gzip, Zstandard, identity."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from storage.common.deflate import DeflateBlock, GzipJoiner, deflate_block
from storage.common.zstandard import zstd

Chunk = bytes | DeflateBlock

SLICE_BYTES = 2**18
"""Plain bytes that are inflated at a time."""

SMALL_CHUNK_BYTES = 2**15
"""Bytes up to which compressing beats handing over to a thread, and copying beats sending twice."""

_SEPARATOR_BYTES = 2**8
"""The largest chunk that is a separator between pages."""

_ZSTD_LEVEL = 1


class Coding(Protocol):
    """A content coding, for one body."""

    name: str
    """As in Content-Encoding."""
    takes_blocks: bool
    """Whether compressed blocks are cheaper for it than plain bytes."""

    def add(self, chunk: Chunk) -> bytes:
        """Return the next bytes of the body."""

    def end(self) -> bytes:
        """Return the last bytes of the body."""


class Identity:
    """No coding at all."""

    name = "identity"
    takes_blocks = False

    def add(self, chunk: Chunk) -> bytes:
        """Return the chunk, plain."""
        return chunk.plain() if isinstance(chunk, DeflateBlock) else chunk

    def end(self) -> bytes:
        """Return nothing."""
        return b""


class Gzipped:
    """gzip, joined from deflate blocks."""

    name = "gzip"
    takes_blocks = True

    def __init__(self) -> None:
        self._gzip = GzipJoiner()

    def add(self, chunk: Chunk) -> bytes:
        """Return a block, compressed now if it was plain."""
        return self._gzip.add(chunk if isinstance(chunk, DeflateBlock) else deflate_block(chunk))

    def end(self) -> bytes:
        """Return the trailer."""
        return self._gzip.end()


class Zstandard:
    """Zstandard, for clients that prefer it to gzip."""

    name = "zstd"
    takes_blocks = False

    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor(level=_ZSTD_LEVEL)

    def add(self, chunk: Chunk) -> bytes:
        """Return a complete block, which can be read at once."""
        plain = chunk.plain() if isinstance(chunk, DeflateBlock) else chunk
        return self._compressor.compress(plain, mode=zstd.ZstdCompressor.FLUSH_BLOCK)

    def end(self) -> bytes:
        """Return the end of the frame."""
        return self._compressor.flush()


CODINGS: dict[str, type[Coding]] = {"gzip": Gzipped, "zstd": Zstandard, "identity": Identity}


async def encode(chunks: AsyncGenerator[Chunk], coding: Coding) -> AsyncGenerator[bytes]:
    """Yield the encoded body; separators are sent with the next page."""
    pending = b""
    if not coding.takes_blocks:
        chunks = _inflated(chunks)
    async with aclosing(chunks):
        async for chunk in chunks:
            if (
                isinstance(chunk, DeflateBlock)
                or len(chunk) <= SMALL_CHUNK_BYTES
                or isinstance(coding, Identity)
            ):
                coded = coding.add(chunk)
            else:
                coded = await asyncio.to_thread(coding.add, chunk)
            if _size(chunk) <= _SEPARATOR_BYTES:
                pending += coded
            elif len(coded) <= SMALL_CHUNK_BYTES:
                yield pending + coded
                pending = b""
            else:
                if pending:
                    yield pending
                    pending = b""
                yield coded
    yield pending + coding.end()


async def _inflated(chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
    """Yield the chunks plain, in slices, so that a slow client doesn't hold a whole page."""
    async with aclosing(chunks):
        async for chunk in chunks:
            if isinstance(chunk, bytes):
                yield chunk
            else:
                for inflated in chunk.slices(SLICE_BYTES):
                    yield inflated


def _size(chunk: Chunk) -> int:
    return chunk.size if isinstance(chunk, DeflateBlock) else len(chunk)
