"""Transactions of a few rows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from storage.backends.base import WriteEngine
from storage.common.errors import StorageError


@asynccontextmanager
async def transaction(engine: WriteEngine) -> AsyncIterator[None]:
    """Make changes, all or none of them."""
    await engine.begin_change()
    try:
        yield
        await engine.execute("COMMIT")
    except BaseException:
        # The first error matters more than a connection that can't roll back.
        with suppress(StorageError):
            await engine.rollback()
        raise
