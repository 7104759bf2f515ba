"""A complete response as the cache stores it."""

import json
import re
import struct
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO

from server.transport.content_coding import Chunk, Coding, Gzipped, Identity
from storage.common.deflate import GZIP_HEADER, DeflateBlock, GzipJoiner

SMALL_RESPONSE_BYTES = 2**16
"""Plain bytes up to which a response is stored plain as well, and sent in one block."""

_OVERHEAD = 704
"""Bytes that an entry takes besides its content, measured: its objects, key and slots."""

_BLOCK_OVERHEAD = 320
"""Bytes of the objects of a block, measured."""

_METADATA_OVERHEAD = 64
"""Bytes of a metadata value's object, and its slot."""

_HEAD = struct.Struct("<II")
_BLOCK = struct.Struct("<III")

_METADATA_NAMES = {
    *("X-Next", "X-Quality", "X-Interval", "X-Record-Count"),
    *("X-Left-Out-Readings", "X-Left-Out-Energy"),
    *("X-Implausible-Readings", "X-Implausible-Energy"),
}
"""The headers that an entry may bring along."""

_METADATA_VALUE = re.compile("[A-Za-z0-9_=.-]{1,200}")
_MAX_METADATA_BYTES = 1024
_GZIP_END_BYTES = 10
"""The last block and the trailer of a gzip stream."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A cached response: gzip bytes, and the plain bytes if there is room.

    A small one always has its plain bytes; for a longer one they save inflating it each time.
    """

    gzip: bytes
    blocks: Sequence[DeflateBlock]
    """Views of `gzip`."""
    plain: bytes | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    """See `Payload`."""

    @property
    def stored_bytes(self) -> int:
        """The memory that it takes, its objects included."""
        content = len(self.gzip) + len(self.plain or b"")
        metadata = sum(len(value) + _METADATA_OVERHEAD for value in self.metadata.values())
        return content + metadata + _OVERHEAD + _BLOCK_OVERHEAD * len(self.blocks)

    @property
    def plain_bytes(self) -> int:
        """The size of the plain response."""
        return sum(block.size for block in self.blocks)

    @property
    def is_small(self) -> bool:
        """Whether it is sent at once."""
        return self.plain_bytes <= SMALL_RESPONSE_BYTES

    async def chunks(self) -> AsyncGenerator[Chunk]:
        """Yield the blocks, to be encoded."""
        for block in self.blocks:
            yield block

    def body(self, coding: Coding) -> bytes | None:
        """Return the whole body in a coding, or None if it is not stored in it."""
        if isinstance(coding, Identity):
            return self.plain
        return self.gzip if isinstance(coding, Gzipped) else None

    def length(self, coding: Coding) -> int | None:
        """Return the length of the body in a coding, or None if it is unknown."""
        if isinstance(coding, Identity):
            return self.plain_bytes
        return len(self.gzip) if isinstance(coding, Gzipped) else None

    def inflated(self) -> "CacheEntry":
        """Return the same response, with its plain bytes."""
        plain = BytesIO()
        plain.writelines(block.plain() for block in self.blocks)
        return replace(self, plain=plain.getvalue())

    def without_plain(self) -> "CacheEntry":
        """Return the same response without its plain bytes, unless it is small."""
        return self if self.is_small else replace(self, plain=None)

    def dump(self) -> bytes:
        """Return the response as bytes, for a cache outside this process."""
        metadata = json.dumps(dict(self.metadata)).encode()
        return b"".join(
            [
                _HEAD.pack(len(metadata), len(self.blocks)),
                metadata,
                *(_BLOCK.pack(len(block.deflated), block.size, block.crc) for block in self.blocks),
                self.gzip,
            ]
        )

    @classmethod
    def load(cls, dumped: bytes | memoryview) -> "CacheEntry":
        """Return the response from the bytes of `dump`. Raise ValueError for other bytes."""
        if len(dumped) < _HEAD.size:
            raise ValueError("too short")
        length, count = _HEAD.unpack_from(dumped)
        at = _HEAD.size + length
        start = at + count * _BLOCK.size
        if length > _MAX_METADATA_BYTES or start > len(dumped):
            raise ValueError("too short")
        table = list(_BLOCK.iter_unpack(dumped[at:start]))
        sizes = len(GZIP_HEADER) + sum(length for length, _, _ in table) + _GZIP_END_BYTES
        if start + sizes != len(dumped):
            raise ValueError("blocks of another size")
        metadata = _parse_metadata(bytes(dumped[_HEAD.size : at]))
        return cls._of(bytes(dumped[start:]), table, metadata)

    @classmethod
    def of(cls, blocks: Sequence[DeflateBlock], metadata: Mapping[str, str]) -> "CacheEntry":
        """Return the response that consists of these blocks."""
        joined = GzipJoiner()
        gzip = b"".join([*(joined.add(block) for block in blocks), joined.end()])
        table = [(len(block.deflated), block.size, block.crc) for block in blocks]
        return cls._of(gzip, table, metadata)

    @classmethod
    def _of(
        cls, gzip: bytes, table: Sequence[tuple[int, int, int]], metadata: Mapping[str, str]
    ) -> "CacheEntry":
        blocks = []
        at = len(GZIP_HEADER)
        deflated = memoryview(gzip)
        for length, size, crc in table:
            blocks.append(DeflateBlock(deflated[at : at + length], size, crc))
            at += length
        entry = cls(gzip, blocks, None, metadata)
        return entry.inflated() if entry.is_small else entry


def _parse_metadata(text: bytes) -> dict[str, str]:
    """Return metadata in which nothing can forge a header. Raise ValueError."""
    metadata = json.loads(text)
    if not isinstance(metadata, dict) or not metadata.keys() <= _METADATA_NAMES:
        raise ValueError("other headers")
    for value in metadata.values():
        if not isinstance(value, str) or not _METADATA_VALUE.fullmatch(value):
            raise ValueError("a header's value")
    return metadata
