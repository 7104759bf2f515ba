"""API keys: looked up by the server, managed by commands, stored as hashes."""

import hashlib
import math
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from domain.access import PERMISSIONS, Permission
from storage.access.targets import (
    PAGE_ROWS,
    Target,
    TargetDirectory,
    assignments,
    begin_access_change,
    count_access_change,
    permission_of,
    require_user,
)
from storage.access.viewer import KeyScope
from storage.backends.base import ReadEngine, WriteEngine
from storage.backends.schema import Feature, SchemaVersion
from storage.common.errors import Conflict, NotPrepared, Refused

API_KEY_PREFIX = "elecdata_"
"""How all API keys begin, so that they are recognized wherever they turn up."""

_SECRET_BYTES = 32


def new_api_key() -> str:
    """Return a key that nobody can guess."""
    return f"{API_KEY_PREFIX}{secrets.token_urlsafe(_SECRET_BYTES)}"


def hash_api_key(key: str) -> str:
    """Return what is stored of a key: it is random, so that a quick hash tells nothing of it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that is good, and its user."""

    hash: str = field(repr=False)
    user: str
    name: str
    permission: Permission
    """The most that it is good for, if its user may do that."""
    expires: float
    """Seconds since 1970."""
    role: str
    """Of the user."""
    generation: int
    """Of the user's tokens."""
    scope: KeyScope | None
    """None if it is good for all that its user may see."""


class KeyStore:
    """Looks up API keys by their hashes. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine, schema: SchemaVersion) -> None:
        self._engine = engine
        self._schema = schema

    async def key(self, hashed: str) -> ApiKey | None:
        """Return the key of a hash; None if there is none, it was revoked or its user disabled."""
        if not self._schema.supports(Feature.API_KEYS):
            return None
        rows = await self._rows(hashed)
        if not rows:
            return None
        user, name, words, expires, role, generation, *_ = rows[0]
        permissions = [PERMISSIONS[word] for word in words.decode().split() if word in PERMISSIONS]
        if not permissions:
            return None
        scope = None
        if rows[0][6] is not None:
            scope = KeyScope(
                frozenset(row[7] for row in rows if row[7] is not None),
                frozenset(row[8] for row in rows if row[8] is not None),
            )
        return ApiKey(
            hashed,
            user.decode(),
            name.decode(),
            max(permissions),
            math.inf if expires is None else expires,
            role.decode(),
            generation,
            scope,
        )

    async def _rows(self, hashed: str) -> Sequence[Sequence[Any]]:
        """Return a row for each scope of a key, from a procedure or the tables.

        An account that may use neither is that of an older loader, which made no keys.
        """
        dialect = self._engine.dialect
        call = dialect.call("key_by_hash", 1)
        if call is not None:
            with suppress(Refused, NotPrepared):
                return await self._engine.fetch(call, (hashed,), small=True)
        select = (
            "SELECT k.user, k.name, k.permissions, k.expires, u.role, u.generation,"
            " s.id, s.meter_id, s.group_id"
            " FROM api_keys AS k JOIN users AS u ON u.user = k.user"
            " LEFT JOIN api_key_scopes AS s ON s.hash = k.hash"
            f" WHERE k.hash = {dialect.placeholder} AND k.revoked IS NULL AND u.enabled"
        )
        try:
            return await self._engine.fetch(select, (hashed,), small=True)
        except (Refused, NotPrepared):
            if call is None:
                raise
            return []


@dataclass(frozen=True, slots=True)
class KeyProperties:
    """What is on record of an API key."""

    name: str
    permission: Permission = Permission.READ
    expires: int | None = None
    """Seconds since 1970, None for never."""
    targets: Sequence[Target] = ()
    """The meters and groups that it is good for; without any, for all that its user may see."""
    removed_targets: int = 0
    """How many more it was good for, which were removed."""

    @property
    def is_narrowed(self) -> bool:
        """Whether it is good for some meters and groups only."""
        return bool(self.targets or self.removed_targets)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as it is stored."""

    hash: str
    user: str
    properties: KeyProperties
    created: int
    """Seconds since 1970."""
    revoked: int | None
    """Likewise, None if it was not."""


class KeyAdmin:
    """Lists and changes API keys, in the transaction that is open.

    Every call raises a StorageError if the database fails.
    """

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine
        self._targets = TargetDirectory(engine)
        self._mark = engine.dialect.placeholder

    async def keys(self, user: str | None = None) -> AsyncGenerator[KeyRecord]:
        """Yield the keys by user and name, in bounded memory."""
        mark = self._mark
        condition = f"(user > {mark} OR (user = {mark} AND name > {mark}))"
        args: tuple[object, ...] = ()
        if user is not None:
            condition += f" AND user = {mark}"
            args = (user,)
        last: tuple[str, str] | None = ("", "")
        while last is not None:
            page = await self._select(
                f"{condition} ORDER BY user, name LIMIT {PAGE_ROWS}", (last[0], *last, *args)
            )
            for key in page:
                yield key
            last = (page[-1].user, page[-1].properties.name) if len(page) == PAGE_ROWS else None

    async def begin(self) -> None:
        """Keep others from changing keys until the transaction ends."""
        await begin_access_change(self._engine)

    async def known(self, user: str, name: str) -> KeyRecord | None:
        """Return the key of a name that a user has, if there is one."""
        found = await self._select(f"user = {self._mark} AND name = {self._mark}", (user, name))
        return found[0] if found else None

    async def add(self, user: str, key: KeyProperties, hashed: str) -> KeyRecord:
        """Add the key of a hash; raise Conflict if its name or hash is taken, or one is unknown."""
        await begin_access_change(self._engine)
        await require_user(self._engine, user)
        await self._require_free(user, key.name)
        taken = await self._select(f"hash = {self._mark}", (hashed,))
        if taken:
            raise Conflict(
                f"the key {key.name} of {user} is there already, as {taken[0].properties.name}"
                f" of {taken[0].user}"
            )
        record = KeyRecord(hashed, user, key, int(time.time()), None)
        values = {"hash": hashed, "user": user, **_columns(key), "created": record.created}
        await self._insert("api_keys", values)
        await self._narrow(hashed, key.targets)
        await count_access_change(self._engine)
        return record

    async def change(self, user: str, name: str, changes: Mapping[str, Any]) -> KeyRecord:
        """Change properties of a key, by their names; raise Conflict.

        New `targets` take the place of all that were there.
        """
        await begin_access_change(self._engine)
        known = await self._require_known(user, name)
        key = replace(known.properties, **changes)
        if "targets" in changes:
            key = replace(key, removed_targets=0)
        if key.name != name:
            await self._require_free(user, key.name)
        columns = _columns(key)
        await self._engine.execute(
            f"UPDATE api_keys SET {assignments(self._engine, columns)} WHERE hash = {self._mark}",
            (*columns.values(), known.hash),
        )
        if "targets" in changes:
            await self._engine.execute(
                f"DELETE FROM api_key_scopes WHERE hash = {self._mark}", (known.hash,)
            )
            await self._narrow(known.hash, key.targets)
        await count_access_change(self._engine)
        return replace(known, properties=key)

    async def revoke(self, user: str, name: str) -> None:
        """Revoke a key, which stays listed; raise Conflict if there is none of this name."""
        await begin_access_change(self._engine)
        known = await self._require_known(user, name)
        await self._engine.execute(
            f"UPDATE api_keys SET revoked = {self._mark}"
            f" WHERE hash = {self._mark} AND revoked IS NULL",
            (int(time.time()), known.hash),
        )
        await count_access_change(self._engine)

    async def remove(self, user: str, name: str) -> None:
        """Delete a key, which is good for nothing any more; raise Conflict if there is none."""
        await begin_access_change(self._engine)
        known = await self._require_known(user, name)
        await self._engine.execute(f"DELETE FROM api_keys WHERE hash = {self._mark}", (known.hash,))
        await count_access_change(self._engine)

    async def _require_known(self, user: str, name: str) -> KeyRecord:
        known = await self.known(user, name)
        if known is None:
            raise Conflict(f"{user} has no key {name}")
        return known

    async def _require_free(self, user: str, name: str) -> None:
        if await self.known(user, name) is not None:
            raise Conflict(f"{user} has a key {name} already")

    async def _narrow(self, hashed: str, targets: Sequence[Target]) -> None:
        """Let a key without scopes be good for these meters and groups only, if there are any."""
        for number, target in enumerate(targets, 1):
            ids = await self._targets.find(target)
            scope = {"meter_id": ids.meter_id, "group_id": ids.group_id}
            await self._insert("api_key_scopes", {"hash": hashed, "id": number, **scope})

    async def _select(self, rest: str, args: tuple[object, ...]) -> list[KeyRecord]:
        rows = await self._engine.fetch(
            "SELECT hash, user, name, permissions, expires, created, revoked"
            f" FROM api_keys WHERE {rest}",
            args,
        )
        if not rows:
            return []
        scopes: dict[str, list[Target]] = {row[0]: [] for row in rows}
        found = await self._engine.fetch(
            "SELECT s.hash, m.public_id, g.public_id FROM api_key_scopes AS s"
            " LEFT JOIN meters AS m ON m.id = s.meter_id"
            " LEFT JOIN meter_groups AS g ON g.id = s.group_id"
            f" WHERE s.hash IN ({', '.join([self._mark] * len(scopes))}) ORDER BY s.hash, s.id",
            tuple(scopes),
        )
        for hashed, meter, group in found:
            scopes[hashed].append(Target(meter, group))
        return [
            KeyRecord(
                hashed,
                user,
                KeyProperties(
                    name,
                    max(permission_of(word) for word in words.split()),
                    expires,
                    [each for each in scopes[hashed] if each != Target()],
                    scopes[hashed].count(Target()),
                ),
                created,
                revoked,
            )
            for hashed, user, name, words, expires, created, revoked in rows
        ]

    async def _insert(self, table: str, values: Mapping[str, object]) -> None:
        await self._engine.execute(
            self._engine.dialect.insert(table, tuple(values)), tuple(values.values())
        )


def _columns(key: KeyProperties) -> dict[str, object]:
    return {"name": key.name, "permissions": key.permission.word, "expires": key.expires}
