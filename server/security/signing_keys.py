"""The signing keys of tokens: one signs at a time and all verify, so that keys can be rotated."""

import hashlib
import hmac
import math
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from settings import Settings, ed25519_key, signing_secret

_CLOCK_TOLERANCE = 60
"""Seconds by which the clocks of servers may differ when a key ends."""


@dataclass(frozen=True, slots=True)
class SigningPeriod:
    """When a key signs, in seconds since 1970."""

    begins: float = -math.inf
    ends: float = math.inf


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and the only algorithm that it is used with."""

    algorithm: str
    signs: str | Ed25519PrivateKey = field(repr=False)
    verifies: str | Ed25519PublicKey = field(repr=False)

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the key that a text is: Ed25519 in PEM, or a secret."""
        private = ed25519_key(text)
        if private is None:
            return cls("HS256", text, text)
        return cls("EdDSA", private, private.public_key())

    def to_jwk(self, kid: str) -> dict[str, str] | None:
        """Return the public key as a JSON Web Key (RFC 8037), None for a secret."""
        if isinstance(self.verifies, str):
            return None
        x = urlsafe_b64encode(self.verifies.public_bytes_raw()).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": "EdDSA"}


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Keys by key id, the `kid` of a token's header: a secret, or an Ed25519 key in PEM."""

    secrets: Mapping[str, str] = field(repr=False)
    sign_with: str
    """Signs while no key with a period does; if it has a period itself, then none does."""
    without_kid: str | None = field(default=None, repr=False)
    """Verifies tokens without a `kid`, as earlier versions issued them."""
    periods: Mapping[str, SigningPeriod] = field(default_factory=dict)
    """Of the keys that sign by schedule; of those whose period has begun, the latest one."""

    @classmethod
    def single(cls, secret: str) -> Self:
        """Return keys of one secret, whose id is its digest."""
        return cls({_digest(secret): secret}, _digest(secret), secret)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the keys of auth.keys and of auth.secret, which is created if there is none."""
        auth = settings.auth
        named = {name: key.secret.get_secret_value() for name, key in auth.keys.items()}
        needs_no_other = named and not auth.secret and not auth.secret_store.exists()
        secret = None if needs_no_other else signing_secret(settings)
        unnamed = {} if secret is None else {_digest(secret): secret}
        keys = unnamed | named
        periods = {
            name: SigningPeriod(
                key.begins.timestamp() if key.begins else -math.inf,
                key.ends.timestamp() if key.ends else math.inf,
            )
            for name, key in auth.keys.items()
            if key.begins or key.ends
        }
        unscheduled = [kid for kid in keys if kid not in periods]
        return cls(keys, auth.sign_with or (unscheduled or list(keys))[0], secret, periods)

    def signer(self, now: float) -> str | None:
        """Return the id of the key that signs, None if there is none."""
        begun = [(period.begins, kid) for kid, period in self.periods.items()]
        begun = [each for each in begun if each[0] <= now]
        if begun and now < self.periods[latest := max(begun)[1]].ends:
            return latest
        return None if self.sign_with in self.periods else self.sign_with

    def verifies_until(self, kid: str, lifetime: float) -> float:
        """Return when a key's last tokens have expired, in seconds since 1970."""
        return self._ends(kid) + lifetime + _CLOCK_TOLERANCE

    def signing_ends(self, now: float) -> float:
        """Return from when on no key will sign, infinity if one always will."""
        moment = now
        while moment < math.inf and (kid := self.signer(moment)) is not None:
            moment = self._ends(kid)
        return moment

    def _ends(self, kid: str) -> float:
        """Return when a key ceases to sign: at its end, or when the next one begins."""
        own = self.periods.get(kid)
        if own is None:
            return math.inf
        later = [
            period.begins
            for name, period in self.periods.items()
            if (period.begins, name) > (own.begins, kid)
        ]
        return min(own.ends, *later) if later else own.ends

    @property
    def for_cache(self) -> bytes:
        """The key that seals the entries of the cache, derived from the secret that signs."""
        secret = self.secrets[self.sign_with].encode()
        return hmac.digest(secret, b"entries of the cache", hashlib.sha256)


def _digest(secret: str) -> str:
    return hashlib.sha256(b"kid " + secret.encode()).hexdigest()[:16]
