"""JSON Web Tokens: issued, verified, and cached until they expire."""

import json
import logging
import re
import secrets
import time
from base64 import urlsafe_b64decode
from collections import OrderedDict
from typing import Any

import jwt
from aiohttp import web

from server.context import Token
from server.errors import ApiError
from server.security.signing_keys import SigningKey, SigningKeys
from settings import is_published

log = logging.getLogger("server")

_REQUIRED = ["sub", "iat", "exp", "jti"]
_MAX_ENTRIES = 4096
_MAX_CHARACTERS = 4096
_JTI = re.compile("[A-Za-z0-9_.-]{1,64}")
_COUNTS = range(2**63)

CLOCK_LEEWAY = 10.0
"""Seconds by which the clock of the server that issued a token may be ahead of this one's.

Servers that a time server sets differ by milliseconds, and by a few seconds after an outage of it.
The leeway lets no token live longer: `exp` is checked without any.
"""


class InvalidTokenError(Exception):
    """A token is forged, expired or malformed; the text says which."""


class TokenService:
    """Issues and verifies tokens; verified ones are cached until they expire."""

    def __init__(self, keys: SigningKeys, lifetime: float) -> None:
        self._lifetime = lifetime
        self._keys = keys
        self.may_be_forged = _include_published(keys)
        """Whether anybody can sign tokens: with the demonstration's published secret."""
        self._by_id = _by_id(keys)
        self._verified: OrderedDict[str, Token] = OrderedDict()

    def use(self, keys: SigningKeys) -> None:
        """Sign and verify with these keys from now on; tokens signed by others are refused."""
        if keys != self._keys:
            self._keys = keys
            self.may_be_forged = _include_published(keys)
            self._by_id = _by_id(keys)
            self._verified.clear()

    def public_keys(self) -> list[dict[str, str]]:
        """Return the public keys whose tokens may be valid now or later, as JSON Web Keys."""
        now = time.time()
        return [
            jwk
            for kid, key in self._by_id.items()
            if now < self._keys.verifies_until(kid, self._lifetime) and (jwk := key.to_jwk(kid))
        ]

    def signing_ends(self) -> float:
        """Return from when on no key will sign, infinity if one always will."""
        return self._keys.signing_ends(time.time())

    def issue(self, user: str, generation: int) -> str:
        """Return a token for a user, valid while the user's generation is this one.

        Raise ApiError while no key signs.
        """
        return self.issue_with_claims(user, generation)[0]

    def issue_with_claims(self, user: str, generation: int) -> tuple[str, Token]:
        """Return a token and its claims, see `issue`."""
        now = time.time()
        token = Token(user, generation, secrets.token_urlsafe(16), int(now + self._lifetime))
        claims = {
            "sub": user,
            "gen": generation,
            "iat": int(now),
            "exp": token.expires,
            "jti": token.jti,
        }
        kid = self._signer(now)
        key = self._by_id[kid]
        text = jwt.encode(claims, key.signs, algorithm=key.algorithm, headers={"kid": kid})
        return text, token

    def require_signer(self) -> None:
        """Raise ApiError while no key signs: ask before work that ends with a new token."""
        self._signer(time.time())

    def _signer(self, now: float) -> str:
        kid = self._keys.signer(now)
        if kid is None:
            log.error("no key of auth.keys signs now: add one, then send SIGHUP")
            raise ApiError(503, "No tokens can be signed now, the operator has to add a key")
        return kid

    def verify(self, text: str) -> Token:
        """Return the claims of a token. Raise InvalidTokenError."""
        token = self._verified.get(text) or self._check(text)
        if token.expires <= time.time():
            raise InvalidTokenError("The token has expired, log in again")
        return token

    def _check(self, text: str) -> Token:
        if len(text) > _MAX_CHARACTERS:
            raise InvalidTokenError("The token is too long")
        try:
            kid, key = self._key(text)
            claims = jwt.decode(
                text,
                key.verifies,
                algorithms=[key.algorithm],  # never the token's own choice
                # For iat and nbf; `verify` is strict about exp.
                leeway=CLOCK_LEEWAY,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
            _require_plain(text)
        except jwt.ExpiredSignatureError:
            raise InvalidTokenError("The token has expired, log in again") from None
        except jwt.ImmatureSignatureError:
            raise InvalidTokenError(
                "The token is not valid yet: the clocks of the servers differ"
            ) from None
        # A header value that is not text cannot even be encoded.
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise _not_issued_here() from None
        # Tokens of earlier versions have no generation; it was 0.
        generation = claims.get("gen", 0)
        counts = (generation, claims["iat"], claims["exp"])
        if not all(type(count) is int and count in _COUNTS for count in counts):
            raise _not_issued_here()
        if not _JTI.fullmatch(claims["jti"]):
            raise _not_issued_here()
        expires = float(claims["exp"])
        if kid is not None:
            expires = min(expires, self._keys.verifies_until(kid, self._lifetime))
        token = Token(claims["sub"], generation, claims["jti"], expires)
        self._verified[text] = token
        if len(self._verified) > _MAX_ENTRIES:
            self._verified.popitem(last=False)
        return token

    def _key(self, text: str) -> tuple[str | None, SigningKey]:
        """Return the key id in a token's header, and its key."""
        kid = jwt.get_unverified_header(text).get("kid")
        if kid is None and self._keys.without_kid is not None:
            return None, SigningKey.of(self._keys.without_kid)
        if kid not in self._by_id:
            raise _not_issued_here()
        return kid, self._by_id[kid]


TOKENS = web.AppKey("tokens", TokenService)


def _include_published(keys: SigningKeys) -> bool:
    return any(map(is_published, keys.secrets.values()))


def _by_id(keys: SigningKeys) -> dict[str, SigningKey]:
    return {kid: SigningKey.of(text) for kid, text in keys.secrets.items()}


def _require_plain(text: str) -> None:
    """Raise ValueError for an alternative spelling of a token, or one that is ambiguous."""
    if "=" in text:
        raise ValueError(text)
    for part in text.split(".")[:2]:
        decoded = urlsafe_b64decode(part + "=" * (-len(part) % 4))
        json.loads(decoded, object_pairs_hook=_unique_members).get("sub", "").encode()


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, Any]:
    """Return the members of an object. Raise ValueError for a repeated name."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError(pairs)
    return members


def _not_issued_here() -> InvalidTokenError:
    return InvalidTokenError("The token was not issued here, log in again")
