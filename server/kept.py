"""A complete answer as the cache keeps it."""

import json
import struct
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO

from server.coding import SLICE, Coding, Gzipped, Identity, Part
from storage.pieces import GZIP_BYTES, Gzip, Piece

_BRIEF = 2**16
"""Plain bytes up to which an answer is kept ready to be sent, plain and as gzip."""

_HEAD = struct.Struct("<III")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, compressed once; a brief one is ready in both forms that clients ask for.

    A longer one may be kept plain as well, which saves inflating it for each of them.
    """

    pieces: Sequence[Piece]
    plain: bytes | None
    gzip: bytes | None
    notes: Mapping[str, str] = field(default_factory=dict)
    """See `Streamed`."""

    @property
    def stored_bytes(self) -> int:
        """The memory that it takes."""
        ready = len(self.plain or b"") + len(self.gzip or b"")
        return ready + self._deflated

    @property
    def plain_bytes(self) -> int:
        """The size of the plain answer."""
        return sum(piece.size for piece in self.pieces)

    @property
    def _deflated(self) -> int:
        return sum(len(piece.deflated) for piece in self.pieces)

    async def parts(self, coding: Coding) -> AsyncGenerator[Part]:
        """The answer, to be coded; plain in slices, as those who read slowly hold no more."""
        if self.plain is None or coding.takes_pieces:
            for piece in self.pieces:
                yield piece
        else:
            for at in range(0, len(self.plain), SLICE):
                yield self.plain[at : at + SLICE]

    def ready(self, coding: Coding) -> bytes | None:
        """The whole body in a coding, if the answer is brief and kept in that form."""
        if self.gzip is None:
            return None
        if isinstance(coding, Identity):
            return self.plain
        return self.gzip if isinstance(coding, Gzipped) else None

    def length(self, coding: Coding) -> int | None:
        """The bytes of the body in a coding, where they are known beforehand."""
        if isinstance(coding, Identity):
            return self.plain_bytes
        return self._deflated + GZIP_BYTES if isinstance(coding, Gzipped) else None

    def inflated(self) -> "Kept":
        """The same answer, kept plain as well."""
        plain = BytesIO()
        plain.writelines(piece.plain() for piece in self.pieces)
        return replace(self, plain=plain.getvalue())

    def without_plain(self) -> "Kept":
        """The same answer, inflated for each who wants it plain."""
        return replace(self, plain=None)

    def dump(self) -> bytes:
        """The answer as bytes, for a cache outside this process."""
        notes = json.dumps(dict(self.notes)).encode()
        return (_LENGTH.pack(len(notes)) + notes) + b"".join(
            _HEAD.pack(len(piece.deflated), piece.size, piece.crc) + piece.deflated
            for piece in self.pieces
        )

    @classmethod
    def load(cls, dumped: bytes) -> "Kept":
        """The answer that `dump` gave the bytes of."""
        pieces = []
        (length,) = _LENGTH.unpack_from(dumped)
        at = _LENGTH.size + length
        notes = json.loads(dumped[_LENGTH.size : at])
        while at < len(dumped):
            length, size, crc = _HEAD.unpack_from(dumped, at)
            at += _HEAD.size
            pieces.append(Piece(dumped[at : at + length], size, crc))
            at += length
        return cls.of(pieces, notes)

    @classmethod
    def of(cls, pieces: Sequence[Piece], notes: Mapping[str, str]) -> "Kept":
        """The answer that pieces make."""
        long = cls(pieces, None, None, notes)
        if long.plain_bytes > _BRIEF:
            return long
        joined = Gzip()
        body = b"".join(joined.add(piece) for piece in pieces) + joined.end()
        return cls(pieces, b"".join(piece.plain() for piece in pieces), body, notes)
