"""The users of the API, and the tokens that were revoked before they expired."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from storage.backends.base import ReadEngine, WriteEngine
from storage.backends.schema import Feature, SchemaVersion
from storage.common.errors import NotPrepared, Refused
from storage.sessions import UserSession, live_sessions

REVOCATION_GRACE_SECONDS = 86_400
"""Seconds that a revocation outlives its token: the clocks of servers may differ."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in: the password is a hash, argon2id or SHA-256 in hex."""

    name: str
    password: str
    enabled: bool
    role: str
    """What the user may do: read, or admin."""
    generation: int
    """Goes up with each change that ends the user's tokens."""


class UserStore:
    """Reads users and revokes tokens. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine, schema: SchemaVersion) -> None:
        self._engine = engine
        self._schema = schema
        self._placeholder = engine.dialect.placeholder

    async def user(self, name: str) -> User | None:
        """Return the user of exactly this name, if there is one."""
        self._engine.source()
        await self._schema.refresh()
        enabled = "enabled" if self._schema.supports(Feature.INSTANTS) else "1"
        has_roles = self._schema.supports(Feature.AUTH_VERSION)
        newer = "role, generation" if has_roles else "'read', 0"
        rows = await self._fetch(
            "user_by_name",
            f"SELECT user, password, {enabled}, {newer} FROM users"
            f" WHERE user = {self._placeholder}",
            (name,),
        )
        for user, password, may_log_in, role, generation in rows:
            if user == name.encode():
                return User(name, password.decode(), bool(may_log_in), role.decode(), generation)
        return None

    async def role(self, name: str, generation: int, jti: str) -> str | None:
        """Return the role of a token's user, None if the token is revoked."""
        rows = await self._fetch(
            "role_of_bearer",
            f"SELECT user, role FROM users WHERE user = {self._placeholder}"
            f" AND generation = {self._placeholder} AND enabled"
            f" AND NOT EXISTS (SELECT 1 FROM revocations WHERE jti = {self._placeholder})",
            (name, generation, jti),
        )
        return next((role.decode() for user, role in rows if user == name.encode()), None)

    async def revoke(self, jti: str, expires: int) -> None:
        """Revoke a token for all servers."""
        await self._schema.refresh()
        if not self._schema.supports(Feature.AUTH_VERSION):
            raise NotPrepared("the database cannot store revocations yet: run `elecdata load`")
        await self._engine.execute(
            self._engine.dialect.insert("revocations", ("jti", "expires")), (jti, expires)
        )

    async def change_password(self, user: User, password: str) -> User | None:
        """Replace the hash of a user's password; return the user as stored then.

        Return None if another change came first.
        """
        args = (password, user.name, user.password)
        update = (
            f"UPDATE users SET password = {self._placeholder} WHERE user = {self._placeholder}"
            f" AND password = {self._placeholder}"
        )
        call = self._engine.dialect.call("change_password", len(args))
        await self._engine.execute(call or update, args)
        changed = await self.user(user.name)
        return changed if changed is not None and changed.password == password else None

    async def _fetch(
        self, procedure: str, select: str, args: Sequence[object]
    ) -> Sequence[Sequence[Any]]:
        """Return what a procedure gives or, where the account has none yet, the table."""
        call = self._engine.dialect.call(procedure, len(args))
        if call is not None:
            with suppress(Refused, NotPrepared):
                return await self._engine.fetch(call, args, small=True)
        return await self._engine.fetch(select, args, small=True)


class UserAdmin:
    """Adds and changes users. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine

    async def users(self) -> list[User]:
        """Return all users, by name."""
        rows = await self._engine.fetch(
            "SELECT user, password, enabled, role, generation FROM users ORDER BY user"
        )
        return [
            User(name, password, bool(enabled), role, generation)
            for name, password, enabled, role, generation in rows
        ]

    async def add(self, name: str, password: str, *, grants: bool = True) -> bool:
        """Add a user with the hash of a password; return False if the name is taken.

        Without `grants`, the user may see no meter yet; the transaction has to be open.
        """
        dialect = self._engine.dialect
        sql = f"{dialect.insert('users', ('user', 'password'))} {dialect.ignore_taken_user}"
        is_added = await self._engine.execute(sql, (name, password)) == 1
        if is_added and not grants:
            user = f"WHERE user = {dialect.placeholder}"
            await self._engine.execute(f"DELETE FROM grants {user}", (name,))
            # Nobody has seen the number of the one that was there.
            await self._engine.execute(
                f"UPDATE grant_numbers SET last_id = last_id - 1 {user}", (name,)
            )
        return is_added

    async def set_password(self, name: str, password: str) -> bool:
        """Replace the hash of a user's password; return False if there is no such user."""
        return await self._set("password", password, name)

    async def set_enabled(self, name: str, *, enabled: bool) -> bool:
        """Enable or disable a user; return False if there is no such user."""
        return await self._set("enabled", int(enabled), name)

    async def set_role(self, name: str, role: str) -> bool:
        """Set a user's role; return False if there is no such user."""
        return await self._set("role", role, name)

    async def remove(self, name: str) -> bool:
        """Delete a user, whose tokens are revoked; return False if there is no such user."""
        if not await self._exists(name):
            return False
        placeholder = self._engine.dialect.placeholder
        await self._engine.execute(f"DELETE FROM users WHERE user = {placeholder}", (name,))
        await self._engine.execute(f"DELETE FROM sessions WHERE user = {placeholder}", (name,))
        return True

    async def log_out(self, name: str) -> bool:
        """Revoke all tokens of a user; return False if there is no such user."""
        if not await self._exists(name):
            return False
        placeholder = self._engine.dialect.placeholder
        # To set the role makes the trigger of SQLite count the change. A number that was read
        # before could be behind another change by now.
        await self._engine.execute(
            f"UPDATE users SET role = role, generation = generation + 1 WHERE user = {placeholder}",
            (name,),
        )
        return True

    async def sessions(self, name: str) -> list[UserSession] | None:
        """Return the latest sessions of a user; return None if there is no such user."""
        for user in await self.users():
            if user.name == name:
                return await live_sessions(self._engine, name, user.generation)
        return None

    async def forget_revocations(self) -> None:
        """Delete the revocations of tokens that have expired long ago."""
        placeholder = self._engine.dialect.placeholder
        await self._engine.execute(
            f"DELETE FROM revocations WHERE expires < {placeholder}",
            (int(time.time()) - REVOCATION_GRACE_SECONDS,),
        )

    async def _exists(self, name: str) -> bool:
        return any(user.name == name for user in await self.users())

    async def _set(self, column: str, value: object, name: str) -> bool:
        if not await self._exists(name):
            return False
        placeholder = self._engine.dialect.placeholder
        await self._engine.execute(
            f"UPDATE users SET {column} = {placeholder} WHERE user = {placeholder}", (value, name)
        )
        return True
