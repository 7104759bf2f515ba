"""Readings, users and their record, written: what the loader does to a database."""

import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from storage.errors import Conflict
from storage.reader import User
from storage.reading import NAMES

METER = 1
"""The only meter so far."""

STAGED = ("line", "date", "seconds_ahead", *NAMES)
"""The fields of a line of a block, see Incoming."""


class Incoming(Protocol):
    """A report on its way in."""

    name: str

    def blocks(self) -> Iterable[bytes]:
        """Its checked rows: lines of the fields STAGED, separated by commas.

        `line` grows from row to row, `date` is the local time as `YYYY-MM-DD HH:MM:SS`,
        `seconds_ahead` is how far local time is ahead of UTC then; no instant stands twice.
        A quantity is a decimal or empty.
        """

    @property
    def sha256(self) -> str:
        """The digest of what was read, in hex."""

    @property
    def rejected(self) -> int:
        """Rows left out."""

    @property
    def span(self) -> tuple[str, str] | None:
        """The earliest and the latest local time of the rows given."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: numbers of readings, and of the rows that were left out."""

    new: int
    changed: int
    unchanged: int
    rejected: int


@dataclass(frozen=True, slots=True)
class WriteDialect:
    """What the two databases spell differently where they are written to."""

    place: str
    update: str
    """Gives the readings that are there already the quantities of `incoming` where they differ."""
    unless_taken: str
    """Ends an INSERT that leaves a user of the same name alone."""


class WriteEngine(Protocol):
    """A database that is written to, through one connection.

    Every call raises a StorageError where the database fails.
    """

    dialect: WriteDialect
    database: str
    """What messages call the database."""

    def prepare(self) -> AsyncGenerator[str]:
        """Makes what is missing, up to the newest layout; names each part when it is there."""

    async def is_prepared(self) -> bool:
        """Whether the database has the newest layout."""

    async def admit_reader(self) -> str | None:
        """Lets the server's account read, where the database has accounts, and names it."""

    async def begin(self, waiting: Callable[[], None]) -> None:
        """Starts a transaction in its turn; calls `waiting` where another loader is in one."""

    async def stage(self, blocks: Iterable[bytes]) -> int:
        """Fills the temporary table `incoming` and returns the number of its rows."""

    async def execute(self, sql: str, args: Sequence[object] = ()) -> int:
        """Runs a statement and returns how many rows it wrote."""

    async def fetch(self, sql: str, args: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """The rows of a statement: integers as int, texts as str."""

    async def commit(self) -> None:
        """Makes everything since `begin` last."""

    async def rollback(self) -> None:
        """Forgets everything since `begin`."""

    async def close(self) -> None:
        """Ends the connection."""


class Writer:
    """The loader's side of a database. Every call raises a StorageError where it fails."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine
        self._place = engine.dialect.place
        self.database = engine.database
        self.prepare = engine.prepare
        self.is_prepared = engine.is_prepared
        self.admit_reader = engine.admit_reader
        self.begin = engine.begin
        self.commit = engine.commit
        self.rollback = engine.rollback
        self.close = engine.close

    async def meter(self, timezone: str) -> None:
        """Records the zone of the readings; raises Conflict where they were read in another."""
        rows = await self._engine.fetch(f"SELECT timezone FROM meters WHERE id = {METER}")
        if not rows:
            await self._insert("meters", {"id": METER, "timezone": timezone})
        elif rows[0][0] != timezone:
            raise Conflict(
                f"{self.database} holds readings in the zone {rows[0][0]}, and meter.timezone is "
                f"{timezone}: set meter.timezone to {rows[0][0]}, or use another database.url"
            )

    async def load(self, report: Incoming) -> Imported:
        """Adds and corrects the readings of a report, and records the import, uncommitted."""
        started = time.monotonic()
        staged = await self._engine.stage(report.blocks())
        changed = await self._engine.execute(self._engine.dialect.update)
        new = await self._engine.execute(await self._insertion())
        imported = Imported(new, changed, staged - new - changed, report.rejected)
        await self._record(report, imported, time.monotonic() - started)
        return imported

    async def _insertion(self) -> str:
        columns = ", ".join(("date", "utc", *NAMES))
        values = ", ".join(f"i.{name}" for name in ("date", "utc", *NAMES))
        rows = await self._engine.fetch("SELECT COALESCE(MAX(id), 0) FROM consumpdata")
        return (
            f"INSERT INTO consumpdata (id, meter_id, {columns})"
            f" SELECT {int(rows[0][0])} + ROW_NUMBER() OVER (ORDER BY i.line), {METER}, {values}"
            f" FROM incoming i LEFT JOIN consumpdata c ON c.meter_id = {METER} AND c.utc = i.utc"
            f" WHERE c.id IS NULL ORDER BY i.line"
        )

    async def _record(self, report: Incoming, imported: Imported, seconds: float) -> None:
        rows = await self._engine.fetch("SELECT COUNT(*), MIN(id), MAX(id) FROM consumpdata")
        readings, first_id, last_id = rows[0]
        first, last = report.span or (None, None)
        await self._insert(
            "imports",
            {
                "version": secrets.token_hex(16),
                "meter_id": METER,
                "file": report.name[-255:],
                "sha256": report.sha256,
                "new": imported.new,
                "changed": imported.changed,
                "unchanged": imported.unchanged,
                "rejected": imported.rejected,
                "first_reading": first,
                "last_reading": last,
                "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
                "seconds": round(seconds, 3),
                "readings": readings,
                "first_id": first_id,
                "last_id": last_id,
            },
        )

    async def users(self) -> list[User]:
        """All users, by name."""
        rows = await self._engine.fetch("SELECT user, password, enabled FROM users ORDER BY user")
        return [User(name, password, bool(enabled)) for name, password, enabled in rows]

    async def add_user(self, name: str, password: str) -> bool:
        """Adds a user with the hash of a password; False where the name is taken."""
        values = {"user": name, "password": password}
        return await self._insert("users", values, self._engine.dialect.unless_taken) == 1

    async def set_password(self, name: str, password: str) -> bool:
        """Replaces the hash of a user's password; False where there is no such user."""
        return await self._change_user("password", password, name)

    async def set_enabled(self, name: str, *, enabled: bool) -> bool:
        """Lets a user log in, or not; False where there is no such user."""
        return await self._change_user("enabled", int(enabled), name)

    async def _change_user(self, column: str, value: object, name: str) -> bool:
        if not any(user.name == name for user in await self.users()):
            return False
        await self._engine.execute(
            f"UPDATE users SET {column} = {self._place} WHERE user = {self._place}", (value, name)
        )
        return True

    async def _insert(self, table: str, values: Mapping[str, object], ending: str = "") -> int:
        places = ", ".join([self._place] * len(values))
        return await self._engine.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places}) {ending}",
            tuple(values.values()),
        )
