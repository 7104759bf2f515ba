"""A complete answer as the cache keeps it."""

import struct
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from server.coding import Coding, Gzipped, Identity, Part
from storage.pieces import Gzip, Piece

_BRIEF = 2**16
"""Plain bytes up to which an answer is kept ready to be sent, plain and as gzip."""

_HEAD = struct.Struct("<III")


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, compressed once; a brief one is ready in both forms that clients ask for."""

    pieces: Sequence[Piece]
    plain: bytes | None
    gzip: bytes | None

    @property
    def stored_bytes(self) -> int:
        """The memory that it takes."""
        ready = len(self.plain or b"") + len(self.gzip or b"")
        return ready + sum(len(piece.deflated) for piece in self.pieces)

    async def parts(self) -> AsyncGenerator[Part]:
        """The answer, to be coded."""
        for piece in self.pieces:
            yield piece

    def ready(self, coding: Coding) -> bytes | None:
        """The whole body in a coding, if it is kept in that form."""
        if isinstance(coding, Identity):
            return self.plain
        return self.gzip if isinstance(coding, Gzipped) else None

    def dump(self) -> bytes:
        """The answer as bytes, for a cache outside this process."""
        return b"".join(
            _HEAD.pack(len(piece.deflated), piece.size, piece.crc) + piece.deflated
            for piece in self.pieces
        )

    @classmethod
    def load(cls, dumped: bytes) -> "Kept":
        """The answer that `dump` gave the bytes of."""
        pieces = []
        at = 0
        while at < len(dumped):
            length, size, crc = _HEAD.unpack_from(dumped, at)
            at += _HEAD.size
            pieces.append(Piece(dumped[at : at + length], size, crc))
            at += length
        return cls.of(pieces)

    @classmethod
    def of(cls, pieces: Sequence[Piece]) -> "Kept":
        """The answer that pieces make."""
        if sum(piece.size for piece in pieces) > _BRIEF:
            return cls(pieces, None, None)
        joined = Gzip()
        body = b"".join(joined.add(piece) for piece in pieces) + joined.end()
        return cls(pieces, b"".join(piece.plain() for piece in pieces), body)
