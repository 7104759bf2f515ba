"""API keys of tests, added behind the scenes as the command adds them."""

from collections.abc import Sequence
from typing import Any

from domain.access import Permission
from storage.access.api_keys import KeyProperties, hash_api_key, new_api_key
from storage.access.targets import Target
from storage.backends.transaction import transaction
from tests.support.databases import DatabaseFixture


async def add_key(
    database: DatabaseFixture,
    user: str,
    name: str,
    permission: Permission = Permission.READ,
    *,
    expires: int | None = None,
    targets: Sequence[Target] = (),
) -> str:
    """Add a key of a user; return the key."""
    key = new_api_key()
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        async with transaction(writer.engine):
            properties = KeyProperties(name, permission, expires, targets)
            await writer.api_keys.add(user, properties, hash_api_key(key))
    return key


async def change_key(database: DatabaseFixture, user: str, name: str, **changes: Any) -> None:
    """Change a key of a user; without changes, remove it."""
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        async with transaction(writer.engine):
            if changes:
                await writer.api_keys.change(user, name, changes)
            else:
                await writer.api_keys.remove(user, name)
