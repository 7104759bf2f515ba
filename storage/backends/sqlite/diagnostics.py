"""What a check asks a SQLite database."""

from storage.backends.diagnostics import Diagnostics


class SqliteDiagnostics(Diagnostics):
    """Looks at a SQLite file."""

    _layout = "PRAGMA user_version"
    _schema = "sqlite"

    async def cipher(self) -> str | None:
        return None

    async def rights_to_write(self) -> list[str]:
        return []

    async def time(self) -> float | None:
        return None

    async def most_connections(self) -> int | None:
        return None
