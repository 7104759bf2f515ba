"""Entries of the audit trail about what a command did."""

import os
import pwd
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from storage.audit import make_entry
from storage.factory import WritableDatabase


@cache
def operator() -> tuple[str, str]:
    """Return the account that runs the command, and its machine."""
    uid = os.getuid()
    try:
        name = f" ({pwd.getpwuid(uid).pw_name})"
    except KeyError:
        name = ""
    return f"uid {uid}{name}", socket.gethostname()


async def record(
    database: WritableDatabase, event: str, *, result: str = "ok", **details: object
) -> None:
    """Append an entry, in the transaction that is open, if one is. Raise StorageError."""
    await database.audit.append(_entry(event, result, details))


@asynccontextmanager
async def recorded(
    database: WritableDatabase, event: str, **details: object
) -> AsyncIterator[dict[str, object]]:
    """Make a change and append its entry, both or neither; yield the entry's details.

    Raises StorageError.
    """
    async with database.audit.recorded(lambda: _entry(event, "ok", details)):
        yield details


def _entry(event: str, result: str, details: dict[str, object]) -> str:
    actor, source = operator()
    return make_entry(event, result=result, actor=actor, source=source, **details)
