"""API keys: looked up once, and kept until what the database says of them may have changed."""

import re
import time
from collections import OrderedDict
from collections.abc import Hashable

from aiohttp import web

from server.context import CONTEXT, DATABASE, Token
from server.errors import ApiError, TokenError
from server.security.audit_log import audit
from server.security.login import throttled
from server.security.login_throttle import LOGIN_THROTTLE
from server.transport.client_address import client_address
from storage.access.api_keys import API_KEY_PREFIX, ApiKey, hash_api_key
from storage.common.errors import StorageError

_MAX_KNOWN = 4096
"""Keys that are kept, good ones and refused ones each."""

_KEY = re.compile(rf"{API_KEY_PREFIX}[A-Za-z0-9_-]{{43}}")
_EVENT = "API key"


class ApiKeys:
    """The API keys that this process has seen, by their hashes."""

    def __init__(self) -> None:
        self._good: OrderedDict[str, Token] = OrderedDict()
        self._refused: OrderedDict[str, Hashable] = OrderedDict()

    async def token(self, request: web.Request, text: str) -> Token:
        """Return what stands for a token where a request carries a key.

        Raises ApiError for a key that is not good: 406, or 429 if too many of those that came from
        the address were unknown; or a StorageError. A known one is not looked up again.
        """
        if not _KEY.fullmatch(text):
            raise TokenError("The API key is malformed")
        hashed = hash_api_key(text)
        token = self._good.get(hashed)
        if token is None:
            token = await self._look_up(request, hashed)
            self._good[hashed] = token
            if len(self._good) > _MAX_KNOWN:
                self._good.popitem(last=False)
        return token

    async def renew(self, request: web.Request, token: Token, auth_version: Hashable) -> None:
        """Look up a known key again; raise ApiError if it is good no more, or a StorageError."""
        assert token.key is not None
        key = await request.app[DATABASE].api_keys.key(token.key.hash)
        if key is None:
            self._good.pop(token.key.hash, None)
            self._refuse(token.key.hash, auth_version)
            raise _refused(request, token, "ended", _ENDED)
        token.key, token.generation, token.expires = key, key.generation, key.expires
        token.admit(key.role, auth_version)

    async def _look_up(self, request: web.Request, hashed: str) -> Token:
        throttle, address = request.app[LOGIN_THROTTLE], client_address(request)
        if wait := throttle.wait_of_address(address):
            raise throttled(request, _EVENT, None, 429, wait)
        # Before the key is looked up: what is changed in between is noticed then.
        state = await request.app[DATABASE].state(request[CONTEXT].meter)
        if hashed in self._refused and self._refused[hashed] == state.auth_version:
            raise TokenError(_ENDED)
        attempt = throttle.begin_of_address(address)
        try:
            key = await request.app[DATABASE].api_keys.key(hashed)
        except StorageError:
            attempt.cancel()
            raise
        if key is None:
            self._refuse(hashed, state.auth_version)
            audit(request, f"{_EVENT} refused", None, reason="unknown")
            raise TokenError(_ENDED)
        attempt.cancel()
        return _token(key, state.auth_version)

    def _refuse(self, hashed: str, auth_version: Hashable) -> None:
        """Note that a key is not good, so that it takes no statement until something changes."""
        self._refused[hashed] = auth_version
        self._refused.move_to_end(hashed)
        if len(self._refused) > _MAX_KNOWN:
            self._refused.popitem(last=False)


def require_unexpired(request: web.Request, token: Token) -> None:
    """Raise ApiError for a token that stands for an API key which has expired."""
    if token.key is not None and token.expires <= time.time():
        raise _refused(request, token, "expired", "The API key has expired")


API_KEYS = web.AppKey("api_keys", ApiKeys)

_ENDED = "The API key is unknown, or it or its user was disabled"


def _token(key: ApiKey, auth_version: Hashable) -> Token:
    token = Token(key.user, key.generation, "", key.expires, key=key)
    token.admit(key.role, auth_version)
    return token


def _refused(request: web.Request, token: Token, reason: str, message: str) -> ApiError:
    audit(request, f"{_EVENT} refused", token.user, reason=reason, **token.named)
    return TokenError(message)
