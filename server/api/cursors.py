"""Cursors: sealed positions in a result, for clients that fetch it page by page.

All pages are of the state of the data of which the first one was: a cursor names it, so that later
readings are left out, and what can no longer be told is refused.
"""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256

from aiohttp import web

from server.security.signing_keys import SigningKeys
from storage.database import DataState

_POSITION = struct.Struct(">qqq8s")
_SIGNATURE_BYTES = 10


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next page begins, and of which state of the data all pages are."""

    after: int
    """The id after which it begins."""
    corrections: int
    """See `DataState`."""
    last_id: int
    """The largest id of that state, 0 if it is not known."""
    source: bytes
    """The `source_digest` of the meter."""

    def is_of(self, state: DataState) -> bool:
        """Return whether the readings of earlier pages are as they were."""
        return (self.corrections, self.source) == (state.corrections, source_digest(state))


class ExpiredCursorError(Exception):
    """A cursor of an earlier release, which does not name a state of the data."""


class Cursors:
    """Makes cursors, opaque to clients, and reads those that it made."""

    def __init__(self, keys: SigningKeys) -> None:
        self.use(keys)

    def use(self, keys: SigningKeys) -> None:
        """Sign and verify with these keys from now on."""
        derived = {
            name: hmac.digest(secret.encode(), b"places in answers", sha256)
            for name, secret in keys.secrets.items()
        }
        self._signs = derived[keys.sign_with]
        self.name = hmac.digest(self._signs, b"name", sha256)[:_SIGNATURE_BYTES].hex()
        """Differs between signing keys: part of the cache key of responses that contain cursors."""
        self._known = tuple(derived.values())

    def make(self, query: str, position: Position) -> str:
        """Return the cursor of a position in the result of a query."""
        packed = _POSITION.pack(
            position.after, position.corrections, position.last_id, position.source
        )
        signature = _signature(self._signs, query, packed)
        return urlsafe_b64encode(_masked(self._signs, packed, signature) + signature).decode()

    def read(self, query: str, text: str) -> Position:
        """Return the position of a cursor of this query. Raise ValueError, ExpiredCursorError."""
        decoded = urlsafe_b64decode(text)
        if urlsafe_b64encode(decoded).decode() != text:
            raise ValueError(text)
        masked, signature = decoded[:-_SIGNATURE_BYTES], decoded[-_SIGNATURE_BYTES:]
        for key in self._known:
            if len(masked) == _POSITION.size:
                packed = _masked(key, masked, signature)
                if hmac.compare_digest(signature, _signature(key, query, packed)):
                    return Position(*_POSITION.unpack(packed))
            if hmac.compare_digest(signature, _signature(key, query, masked)):
                raise ExpiredCursorError
        raise ValueError(text)


def source_digest(state: DataState) -> bytes:
    """Return what tells a meter from others, also from those of another database."""
    return meter_digest(state, None if state.table is None else state.table.meter_id)


def meter_digest(state: DataState, meter_id: int | None) -> bytes:
    """Return the `source_digest` of a meter of the database that a state is of."""
    return sha256(f"{state.source.suffix} {meter_id}".encode()).digest()[:8]


CURSORS = web.AppKey("cursors", Cursors)


def _signature(key: bytes, query: str, packed: bytes) -> bytes:
    return hmac.digest(key, packed + query.encode(), sha256)[:_SIGNATURE_BYTES]


def _masked(key: bytes, packed: bytes, signature: bytes) -> bytes:
    """Return a position that cannot be read without the key, or one that was masked so.

    Its signature takes part: two positions have one mask only if they are the same.
    """
    mask = hmac.digest(key, b"mask" + signature, sha256)
    return bytes(one ^ other for one, other in zip(packed, mask, strict=True))
