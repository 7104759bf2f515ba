"""The keys that sign tokens: one signs, all verify, so that they can be replaced one by one."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from settings import Settings, signing_secret


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """Secrets by the name that a token gives in its header, `kid`."""

    secrets: Mapping[str, str] = field(repr=False)
    sign_with: str
    without_kid: str | None = field(default=None, repr=False)
    """Verifies tokens that name no key, as they were issued once."""

    @classmethod
    def single(cls, secret: str) -> Self:
        """One secret, named by its digest."""
        return cls({_digest(secret): secret}, _digest(secret), secret)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The keys of auth.keys and the one of auth.secret, which is made where there is none."""
        auth = settings.auth
        named = {name: secret.get_secret_value() for name, secret in auth.keys.items()}
        needs_no_other = named and not auth.secret and not auth.secret_store.exists()
        secret = None if needs_no_other else signing_secret(settings)
        unnamed = {} if secret is None else {_digest(secret): secret}
        keys = unnamed | named
        return cls(keys, auth.sign_with or next(iter(keys)), secret)


def _digest(secret: str) -> str:
    return hashlib.sha256(b"kid " + secret.encode()).hexdigest()[:16]
