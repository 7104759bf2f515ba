"""The diagnostics of SQLite, which has no accounts and no connection to encrypt."""

from storage.backends.diagnostics import Diagnostics


class SqliteDiagnostics(Diagnostics):
    """Checks a SQLite file."""

    async def cipher(self) -> str | None:
        return None

    async def rights_to_write(self) -> list[str]:
        return []

    async def time(self) -> float | None:
        return None

    async def most_connections(self) -> int | None:
        return None
