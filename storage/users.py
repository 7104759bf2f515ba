"""Who may ask: the users, and the tokens that were revoked before their time."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from storage.backends.base import ReadEngine
from storage.common.errors import NotPrepared

REVOCATION_GRACE_SECONDS = 86_400
"""Seconds that a revocation outlives its token: the clocks of servers may differ."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in: the password is a hash, argon2id or SHA-256 in hex."""

    name: str
    password: str
    enabled: bool
    role: str = "read"
    """What the user may do: read, or admin."""
    generation: int = 0
    """Goes up with each change that ends the user's tokens."""


class UserStore:
    """Users and revocations. Every call raises a StorageError where the database fails."""

    def __init__(self, engine: ReadEngine, tables: Callable[[], Awaitable[set[bytes]]]) -> None:
        self._engine = engine
        self._place = engine.dialect.place
        self._tables = tables

    async def user(self, name: str) -> User | None:
        """The user of exactly this name, if there is one."""
        tables = await self._tables()
        enabled = "enabled" if b"pages" in tables else "1"
        newer = "role, generation" if b"access" in tables else "'read', 0"
        rows = await self._engine.fetch(
            f"SELECT user, password, {enabled}, {newer} FROM users WHERE user = {self._place}",
            (name,),
        )
        for user, password, may, role, generation in rows:
            if user == name.encode():
                return User(name, password.decode(), bool(may), role.decode(), generation)
        return None

    async def role(self, name: str, generation: int, jti: str) -> str | None:
        """What the holder of a token may do; None where the token is revoked."""
        rows = await self._engine.fetch(
            f"SELECT user, role FROM users WHERE user = {self._place}"
            f" AND generation = {self._place} AND enabled"
            f" AND NOT EXISTS (SELECT 1 FROM revocations WHERE jti = {self._place})",
            (name, generation, jti),
        )
        return next((role.decode() for user, role in rows if user == name.encode()), None)

    async def revoke(self, jti: str, expires: int) -> None:
        """Revokes a token for all servers, and forgets those that have long expired."""
        if b"access" not in await self._tables():
            raise NotPrepared("the database cannot store revocations yet: run `elecdata load`")
        await self._engine.execute(
            f"DELETE FROM revocations WHERE expires < {self._place}",
            (int(time.time()) - REVOCATION_GRACE_SECONDS,),
        )
        await self._engine.execute(
            f"INSERT INTO revocations (jti, expires) VALUES ({self._place}, {self._place})",
            (jti, expires),
        )
