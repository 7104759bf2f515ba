"""Places in an answer, for clients that fetch it part by part."""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

_PLACE = struct.Struct(">q")
_SIGNED = 10


class Cursors:
    """Writes places as texts that say nothing to a client, and knows those it wrote."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"places in answers", sha256)

    def written(self, question: str, after: int) -> str:
        """The place behind an id in the answer to a question."""
        place = _PLACE.pack(after)
        return urlsafe_b64encode(place + self._signature(question, place)).decode()

    def read(self, question: str, text: str) -> int:
        """The id that the place in the answer to a question is behind; raises ValueError."""
        decoded = urlsafe_b64decode(text)
        place, signature = decoded[: _PLACE.size], decoded[_PLACE.size :]
        if not hmac.compare_digest(signature, self._signature(question, place)):
            raise ValueError(text)
        after: int
        (after,) = _PLACE.unpack(place)
        return after

    def _signature(self, question: str, place: bytes) -> bytes:
        return hmac.digest(self._key, place + question.encode(), sha256)[:_SIGNED]
