"""Cursors: signed positions in a result, for clients that fetch it page by page."""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from aiohttp import web

from server.security.signing_keys import SigningKeys

_POSITION = struct.Struct(">q")
_SIGNATURE_BYTES = 10


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

    def make(self, query: str, after: int) -> str:
        """Return the cursor after an id in the result of a query."""
        position = _POSITION.pack(after)
        return urlsafe_b64encode(position + _signature(self._signs, query, position)).decode()

    def read(self, query: str, text: str) -> int:
        """Return the id that a cursor of this query comes after. Raise ValueError."""
        decoded = urlsafe_b64decode(text)
        position, signature = decoded[: _POSITION.size], decoded[_POSITION.size :]
        if not any(
            hmac.compare_digest(signature, _signature(key, query, position)) for key in self._known
        ):
            raise ValueError(text)
        after: int
        (after,) = _POSITION.unpack(position)
        return after


CURSORS = web.AppKey("cursors", Cursors)


def _signature(key: bytes, query: str, position: bytes) -> bytes:
    return hmac.digest(key, position + query.encode(), sha256)[:_SIGNATURE_BYTES]
