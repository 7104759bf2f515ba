"""Tokens: signed statements of who somebody is, good for a while."""

import secrets
import time
from collections import OrderedDict

import jwt

ALGORITHM = "HS256"
_REQUIRED = ["sub", "iat", "exp", "jti"]
_REMEMBERED = 4096
_LONGEST = 4096


class InvalidTokenError(Exception):
    """A token is forged, expired or none at all; the text says which."""


class Tokens:
    """Issues and checks tokens; what was checked once is remembered until it expires."""

    def __init__(self, secret: str, lifetime: float) -> None:
        self._secret = secret
        self._lifetime = lifetime
        self._checked: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def issue(self, user: str) -> str:
        """A token for a user."""
        now = time.time()
        claims = {
            "sub": user,
            "iat": int(now),
            "exp": int(now + self._lifetime),
            "jti": secrets.token_urlsafe(16),
        }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def user(self, token: str) -> str:
        """The user that a token was issued to; raises InvalidTokenError."""
        user, expires = self._checked.get(token) or self._check(token)
        if expires <= time.time():
            raise InvalidTokenError("The token has expired, log in again")
        return user

    def _check(self, token: str) -> tuple[str, float]:
        if len(token) > _LONGEST:
            raise InvalidTokenError("The token is too long")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError:
            raise InvalidTokenError("The token has expired, log in again") from None
        # Where a header is no text at all, the token cannot even be encoded.
        except (jwt.InvalidTokenError, UnicodeError):
            raise InvalidTokenError("The token was not issued here, log in again") from None
        checked = (str(claims["sub"]), float(claims["exp"]))
        self._checked[token] = checked
        if len(self._checked) > _REMEMBERED:
            self._checked.popitem(last=False)
        return checked
