"""A complete answer as the cache keeps it."""

import json
import struct
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO

from server.transport.content_coding import Chunk, Coding, Gzipped, Identity
from storage.common.deflate import GZIP_HEADER, DeflateBlock, GzipJoiner

SMALL_RESPONSE_BYTES = 2**16
"""Plain bytes up to which an answer is kept plain as well, and sent in one go."""

_HEAD = struct.Struct("<II")
_PIECE = struct.Struct("<III")


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """An answer, compressed once, ready to be sent as gzip, and plain where it is kept so too.

    A brief one always is; a longer one may be, which saves inflating it for each who asks.
    """

    gzip: bytes
    pieces: Sequence[DeflateBlock]
    """Parts of `gzip`."""
    plain: bytes | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    """See `Streamed`."""

    @property
    def stored_bytes(self) -> int:
        """The memory that it takes."""
        return len(self.gzip) + len(self.plain or b"")

    @property
    def plain_bytes(self) -> int:
        """The size of the plain answer."""
        return sum(piece.size for piece in self.pieces)

    @property
    def is_brief(self) -> bool:
        """Whether it is sent in one go."""
        return self.plain_bytes <= SMALL_RESPONSE_BYTES

    async def parts(self) -> AsyncGenerator[Chunk]:
        """The answer, to be coded."""
        for piece in self.pieces:
            yield piece

    def ready(self, coding: Coding) -> bytes | None:
        """The whole body in a coding, if it is kept in that form."""
        if isinstance(coding, Identity):
            return self.plain
        return self.gzip if isinstance(coding, Gzipped) else None

    def length(self, coding: Coding) -> int | None:
        """The bytes of the body in a coding, where they are known beforehand."""
        if isinstance(coding, Identity):
            return self.plain_bytes
        return len(self.gzip) if isinstance(coding, Gzipped) else None

    def inflated(self) -> "CacheEntry":
        """The same answer, kept plain as well."""
        plain = BytesIO()
        plain.writelines(piece.plain() for piece in self.pieces)
        return replace(self, plain=plain.getvalue())

    def without_plain(self) -> "CacheEntry":
        """The same answer, inflated for each who wants it plain, unless it is brief."""
        return self if self.is_brief else replace(self, plain=None)

    def dump(self) -> bytes:
        """The answer as bytes, for a cache outside this process."""
        notes = json.dumps(dict(self.notes)).encode()
        return b"".join(
            [
                _HEAD.pack(len(notes), len(self.pieces)),
                notes,
                *(_PIECE.pack(len(piece.deflated), piece.size, piece.crc) for piece in self.pieces),
                self.gzip,
            ]
        )

    @classmethod
    def load(cls, dumped: bytes) -> "CacheEntry":
        """The answer that `dump` gave the bytes of."""
        length, count = _HEAD.unpack_from(dumped)
        at = _HEAD.size + length
        notes = json.loads(dumped[_HEAD.size : at])
        table = dumped[at : at + count * _PIECE.size]
        gzip = dumped[at + len(table) :]
        return cls._of(gzip, list(_PIECE.iter_unpack(table)), notes)

    @classmethod
    def of(cls, pieces: Sequence[DeflateBlock], notes: Mapping[str, str]) -> "CacheEntry":
        """The answer that pieces make."""
        joined = GzipJoiner()
        gzip = b"".join([*(joined.add(piece) for piece in pieces), joined.end()])
        table = [(len(piece.deflated), piece.size, piece.crc) for piece in pieces]
        return cls._of(gzip, table, notes)

    @classmethod
    def _of(
        cls, gzip: bytes, table: Sequence[tuple[int, int, int]], notes: Mapping[str, str]
    ) -> "CacheEntry":
        pieces = []
        at = len(GZIP_HEADER)
        deflated = memoryview(gzip)
        for length, size, crc in table:
            pieces.append(DeflateBlock(deflated[at : at + length], size, crc))
            at += length
        kept = cls(gzip, pieces, None, notes)
        return kept.inflated() if kept.is_brief else kept
