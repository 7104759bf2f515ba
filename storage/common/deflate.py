"""DEFLATE blocks that can be stored one by one and joined into one gzip stream.

A block is raw DEFLATE without an end, on a byte boundary, so that blocks may follow each other
(RFC 1951); the gzip trailer has the CRC-32 of the whole, which combines those of the blocks
(RFC 1952).
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
    """Compressed bytes, and the size and CRC-32 of the plain ones."""

    deflated: bytes | memoryview
    size: int
    crc: int

    def plain(self) -> bytes:
        """Return the plain bytes. Raise ValueError if they are not `size` bytes."""
        try:
            # One byte more shows whether there are more than `size`.
            inflated: bytes = isal_zlib.decompressobj(_RAW).decompress(self.deflated, self.size + 1)
        except isal_zlib.error:  # type: ignore[misc]  # isal declares an instance, not a class
            raise ValueError("damaged") from None
        if len(inflated) != self.size:
            raise ValueError("a block of another size")
        return inflated

    def slices(self, size: int) -> Iterator[bytes]:
        """Yield the plain bytes, at most `size` at a time. Raise ValueError if some are missing."""
        inflater = isal_zlib.decompressobj(_RAW)
        rest = self.deflated
        yielded = 0
        while yielded < self.size:
            inflated = inflater.decompress(rest, size)
            rest = inflater.unconsumed_tail
            if not inflated:
                raise ValueError("a block of another size")
            yielded += len(inflated)
            yield inflated


def deflate_block(plain: bytes) -> DeflateBlock:
    """Compress bytes."""
    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
    deflated = compressor.compress(plain) + compressor.flush(isal_zlib.Z_FULL_FLUSH)
    return DeflateBlock(deflated, len(plain), isal_zlib.crc32(plain))


class GzipJoiner:
    """Joins blocks into one gzip stream."""

    def __init__(self) -> None:
        self._size = 0
        self._crc = 0

    def add(self, block: DeflateBlock) -> bytes:
        """Return the bytes of the next block, the first one with the gzip header."""
        header = b"" if self._size else GZIP_HEADER
        self._crc = isal_zlib.crc32_combine(self._crc, block.crc, block.size)
        self._size += block.size
        return header + bytes(block.deflated)

    def end(self) -> bytes:
        """Return the bytes after the last block."""
        return _LAST_BLOCK + _TRAILER.pack(self._crc, self._size & 0xFFFFFFFF)
