"""The signing keys of tokens: one signs and all verify, so that keys can be rotated."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from settings import Settings, signing_secret


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Secrets by key id, the `kid` of a token's header."""

    secrets: Mapping[str, str] = field(repr=False)
    sign_with: str
    without_kid: str | None = field(default=None, repr=False)
    """Verifies tokens without a `kid`, as earlier versions issued them."""

    @classmethod
    def single(cls, secret: str) -> Self:
        """Return keys of one secret, whose id is its digest."""
        return cls({_digest(secret): secret}, _digest(secret), secret)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the keys of auth.keys and of auth.secret, which is created if there is none."""
        auth = settings.auth
        named = {name: secret.get_secret_value() for name, secret in auth.keys.items()}
        needs_no_other = named and not auth.secret and not auth.secret_store.exists()
        secret = None if needs_no_other else signing_secret(settings)
        unnamed = {} if secret is None else {_digest(secret): secret}
        keys = unnamed | named
        return cls(keys, auth.sign_with or next(iter(keys)), secret)

    @property
    def for_cache(self) -> bytes:
        """The key that seals the entries of the cache, derived from the secret that signs."""
        secret = self.secrets[self.sign_with].encode()
        return hmac.digest(secret, b"entries of the cache", hashlib.sha256)


def _digest(secret: str) -> str:
    return hashlib.sha256(b"kid " + secret.encode()).hexdigest()[:16]
