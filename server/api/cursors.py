"""Places in an answer, for clients that fetch it part by part."""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from server.security.signing_keys import SigningKeys

_PLACE = struct.Struct(">q")
_SIGNED = 10


class Cursors:
    """Writes places as texts that say nothing to a client, and knows those it wrote."""

    def __init__(self, keys: SigningKeys) -> None:
        self.use(keys)

    def use(self, keys: SigningKeys) -> None:
        """Signs and checks with these keys from now on."""
        derived = {
            name: hmac.digest(secret.encode(), b"places in answers", sha256)
            for name, secret in keys.secrets.items()
        }
        self._signs = derived[keys.sign_with]
        self.name = hmac.digest(self._signs, b"name", sha256)[:_SIGNED].hex()
        """Differs where places are written otherwise, so that answers with them do, too."""
        self._known = tuple(derived.values())

    def written(self, question: str, after: int) -> str:
        """The place behind an id in the answer to a question."""
        place = _PLACE.pack(after)
        return urlsafe_b64encode(place + _signature(self._signs, question, place)).decode()

    def read(self, question: str, text: str) -> int:
        """The id that the place in the answer to a question is behind; raises ValueError."""
        decoded = urlsafe_b64decode(text)
        place, signature = decoded[: _PLACE.size], decoded[_PLACE.size :]
        if not any(
            hmac.compare_digest(signature, _signature(key, question, place)) for key in self._known
        ):
            raise ValueError(text)
        after: int
        (after,) = _PLACE.unpack(place)
        return after


def _signature(key: bytes, question: str, place: bytes) -> bytes:
    return hmac.digest(key, place + question.encode(), sha256)[:_SIGNED]
