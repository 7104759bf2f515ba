"""Name and password with each request (HTTP Basic), for programs that know nothing else.

A password is checked like that of a login, once: the result is kept until the user's tokens end.
"""

import asyncio
import hashlib
import hmac
import math
import secrets
from collections import OrderedDict
from collections.abc import Hashable
from weakref import WeakValueDictionary

from aiohttp import BasicAuth, web

from server.context import CONTEXT, DATABASE, Token
from server.security.login import authenticate_password, basic_credentials
from settings import is_demonstration

_MAX_KNOWN = 1024
"""Names with their passwords that are kept, as digests."""

_EVENT = "basic login"


class BasicLogins:
    """The names and passwords that this process has found to be right."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, Token] = OrderedDict()
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def token(self, request: web.Request) -> Token:
        """Return what stands for a token where a request carries name and password.

        Raises ApiError as a login does, or a StorageError.
        """
        credentials = basic_credentials(request, _EVENT)
        digest = self._digest(credentials)
        if is_demonstration(credentials.login, credentials.password):
            # Whether it is good depends on where each request comes from.
            return await self._check(request)
        token = self._known.get(digest)
        if token is None:
            async with self._lock(digest):
                token = self._known.get(digest)
                if token is None:
                    token = await self._check(request)
                    self._keep(digest, token)
        return token

    async def renew(self, request: web.Request, token: Token, auth_version: Hashable) -> None:
        """Look up a known user again, and check the password if the user's tokens have ended.

        Raises ApiError as a login does, or a StorageError.
        """
        users = request.app[DATABASE].users
        async with self._lock(self._digest(basic_credentials(request, _EVENT))):
            if token.auth_version == auth_version:
                return
            role = await users.role(token.user, token.generation, token.jti)
            if role is None:
                user = await authenticate_password(request, _EVENT)
                token.generation, role = user.generation, user.role
            token.admit(role, auth_version)

    async def _check(self, request: web.Request) -> Token:
        # Before the user is looked up: what is changed in between is noticed then.
        state = await request.app[DATABASE].state(request[CONTEXT].meter)
        user = await authenticate_password(request, _EVENT)
        token = Token(user.name, user.generation, "", math.inf, is_basic=True)
        token.admit(user.role, state.auth_version)
        return token

    def _keep(self, digest: bytes, token: Token) -> None:
        # Without a version, nothing would tell that the password was changed.
        if token.auth_version is not None:
            self._known[digest] = token
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)

    def _lock(self, digest: bytes) -> asyncio.Lock:
        """Let a program that sends several requests at once have its password checked once."""
        return self._locks.setdefault(digest, asyncio.Lock())

    def _digest(self, credentials: BasicAuth) -> bytes:
        """Return what a name and its password are known by: it is of no use to anybody else."""
        text = f"{len(credentials.login)}:{credentials.login}:{credentials.password}"
        encoded = text.encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, encoded, hashlib.sha256)


BASIC_LOGINS = web.AppKey("basic_logins", BasicLogins)
