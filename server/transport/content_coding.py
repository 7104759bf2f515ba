"""Content codings: how the parts of an answer become the bytes of a body."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from aiohttp import hdrs, web
from backports import zstd

from storage.common.deflate import DeflateBlock, GzipJoiner, deflate_block

Chunk = bytes | DeflateBlock

SLICE_BYTES = 2**18
"""Plain bytes that are made at a time from a page that is kept compressed."""

_BRIEF = 2**15
"""Bytes that are quicker to work on than to hand to a thread, and to copy than to send alone."""

_TEXT = 2**8
"""Bytes of what stands around pages, at most."""

_ZSTD_LEVEL = 1


class Coding(Protocol):
    """A content coding, for one body."""

    name: str
    """As in Content-Encoding."""
    takes_pieces: bool
    """Whether parts had better be compressed pieces."""

    def add(self, part: Chunk) -> bytes:
        """The next bytes of the body."""

    def end(self) -> bytes:
        """Its last bytes."""


class Identity:
    """No coding at all."""

    name = "identity"
    takes_pieces = False

    def add(self, part: Chunk) -> bytes:
        """The part itself."""
        return part.plain() if isinstance(part, DeflateBlock) else part

    def end(self) -> bytes:
        """Nothing."""
        return b""


class Gzipped:
    """gzip, joined from pieces."""

    name = "gzip"
    takes_pieces = True

    def __init__(self) -> None:
        self._gzip = GzipJoiner()

    def add(self, part: Chunk) -> bytes:
        """A piece, compressed now if it wasn't before."""
        return self._gzip.add(part if isinstance(part, DeflateBlock) else deflate_block(part))

    def end(self) -> bytes:
        """The trailer."""
        return self._gzip.end()


class Zstandard:
    """Zstandard, for clients that want it rather than gzip."""

    name = "zstd"
    takes_pieces = False

    def __init__(self) -> None:
        self._packer = zstd.ZstdCompressor(level=_ZSTD_LEVEL)

    def add(self, part: Chunk) -> bytes:
        """A block, complete so that it can be read at once."""
        plain = part.plain() if isinstance(part, DeflateBlock) else part
        return self._packer.compress(plain, mode=zstd.ZstdCompressor.FLUSH_BLOCK)

    def end(self) -> bytes:
        """The end of the frame."""
        return self._packer.flush()


_CODINGS: dict[str, type[Coding]] = {"gzip": Gzipped, "zstd": Zstandard, "identity": Identity}


def negotiate_coding(request: web.Request) -> Coding:
    """The coding that a client likes best; of those it likes equally, gzip comes first."""
    header = request.headers.get(hdrs.ACCEPT_ENCODING)
    if not header:
        return Identity()
    weights = dict(_weighted(item) for item in header.lower().split(","))
    rest = weights.get("*", 0.0)
    weights.setdefault("identity", rest or 0.001)
    best = max(_CODINGS, key=lambda name: weights.get(name, rest))
    return _CODINGS[best]()


def _weighted(item: str) -> tuple[str, float]:
    name, _, parameters = item.partition(";")
    _, _, weight = parameters.partition("q=")
    try:
        return name.strip(), float(weight) if weight else 1.0
    except ValueError:
        return name.strip(), 0.0


async def encode(parts: AsyncGenerator[Chunk], coding: Coding) -> AsyncGenerator[bytes]:
    """The body that the parts make; what stands between pages is sent with the next one."""
    waiting = b""
    if not coding.takes_pieces:
        parts = _inflated(parts)
    async with aclosing(parts):
        async for part in parts:
            if (
                isinstance(part, DeflateBlock)
                or len(part) <= _BRIEF
                or isinstance(coding, Identity)
            ):
                coded = coding.add(part)
            else:
                coded = await asyncio.to_thread(coding.add, part)
            if _size(part) <= _TEXT:
                waiting += coded
            elif len(coded) <= _BRIEF:
                yield waiting + coded
                waiting = b""
            else:
                if waiting:
                    yield waiting
                    waiting = b""
                yield coded
    yield waiting + coding.end()


async def _inflated(parts: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
    """The parts, plain, in slices: a client that reads slowly is no reason to hold a page."""
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part, bytes):
                yield part
            else:
                for inflated in part.slices(SLICE_BYTES):
                    yield inflated


def _size(part: Chunk) -> int:
    return part.size if isinstance(part, DeflateBlock) else len(part)
