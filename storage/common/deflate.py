"""Compressed pieces that can be kept one by one and joined into one gzip stream.

A piece is raw DEFLATE without a last block, ending on a byte boundary, so that pieces may stand
one behind the other (RFC 1951); gzip's trailer wants the CRC-32 of the whole, which the pieces'
own combine into (RFC 1952).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from isal import isal_zlib

_LEVEL = 1
_RAW = -15
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"
_TRAILER = struct.Struct("<II")


class DeflateBlock(NamedTuple):
    """Compressed bytes; the size and CRC-32 are those of the plain ones."""

    deflated: bytes | memoryview
    size: int
    crc: int

    def plain(self) -> bytes:
        """The bytes that were compressed."""
        inflated: bytes = isal_zlib.decompressobj(_RAW).decompress(self.deflated)
        return inflated

    def slices(self, size: int) -> Iterator[bytes]:
        """The bytes that were compressed, so many at a time."""
        inflater = isal_zlib.decompressobj(_RAW)
        waiting = self.deflated
        given = 0
        while given < self.size:
            inflated = inflater.decompress(waiting, size)
            waiting = inflater.unconsumed_tail
            given += len(inflated)
            yield inflated


def deflate_block(plain: bytes) -> DeflateBlock:
    """Compresses bytes."""
    packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
    deflated = packer.compress(plain) + packer.flush(isal_zlib.Z_FULL_FLUSH)
    return DeflateBlock(deflated, len(plain), isal_zlib.crc32(plain))


class GzipJoiner:
    """Joins pieces into one gzip stream."""

    def __init__(self) -> None:
        self._size = 0
        self._crc = 0

    def add(self, part: DeflateBlock) -> bytes:
        """The bytes of the next piece, the first one with gzip's head."""
        head = b"" if self._size else GZIP_HEADER
        self._crc = isal_zlib.crc32_combine(self._crc, part.crc, part.size)
        self._size += part.size
        return head + bytes(part.deflated)

    def end(self) -> bytes:
        """What stands behind the pieces."""
        return _LAST_BLOCK + _TRAILER.pack(self._crc, self._size & 0xFFFFFFFF)
