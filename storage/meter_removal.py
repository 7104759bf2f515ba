"""Removing meters with all that belongs to them, some rows at a time.

The first transaction takes the meter's state away: from then on it is not served, and nothing can
be loaded into it. It stays listed until all of its rows are deleted, so that a removal that was
stopped can be finished.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from storage.access.targets import begin_access_change, count_access_change
from storage.backends.base import WriteEngine
from storage.backends.transaction import transaction
from storage.meter_directory import count_change
from storage.meters import MeterRecord

MAX_ROWS = 5000
"""Rows that a transaction deletes: clusters of databases take no large ones."""

MAX_PAGES = 50
"""Pages likewise: each is about 200 kB."""


@dataclass(frozen=True, slots=True)
class _Table:
    """A table whose rows belong to a meter."""

    name: str
    key: str
    """The column that follows the meter in the primary key."""
    most: int = MAX_ROWS


_TABLES = (
    _Table("blocks", "first_id", MAX_PAGES),
    _Table("pages", "first_id", MAX_PAGES),
    _Table("flags", "reading_id"),
    # Two rows may have the same day.
    _Table("days", "day", MAX_ROWS // 2),
    _Table("readings", "id"),
    # A reading may have been corrected several times.
    _Table("replaced_values", "reading_id", MAX_ROWS // 2),
    _Table("imports", "id"),
    _Table("intervals", "first_utc"),
    _Table("devices", "id"),
)

_FIRST_METER = 1
"""What the view consumpdata shows in a new database."""

_NO_METER = 0

_OTHER_TABLES = ("group_members", "grants")
"""Tables with a few rows that name the meter."""


class MeterRemoval:
    """Removes meters. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine

    async def begin(self, meter: MeterRecord) -> None:
        """Withdraw a meter, in the transaction that is open."""
        of_meter = f"WHERE meter_id = {meter.id}"
        # An import of the meter has to end first, and none can begin.
        await self._engine.fetch_locked(f"SELECT meter_id FROM states {of_meter}")
        await self._engine.execute(f"DELETE FROM states {of_meter}")
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        await self._engine.execute(
            f"UPDATE meters SET removed = {self._engine.dialect.placeholder}"
            f" WHERE id = {meter.id} AND removed IS NULL",
            (now,),
        )

    async def finish(self, meter: MeterRecord) -> None:
        """Delete what belongs to a meter that was withdrawn, in transactions of bounded size."""
        async with transaction(self._engine):
            # Whoever granted the meter without knowing of its removal has done so afterwards.
            await begin_access_change(self._engine)
        await self._forget_replacements(meter)
        # The number may become that of another meter; the first one only once there is none.
        if meter.id != _FIRST_METER and await self._engine.shown_meter() == meter.id:
            await self._engine.show_meter(_NO_METER)
        # What triggers delete with a reading is deleted before.
        await self._engine.prepare_removal()
        for table in _TABLES:
            while await self._delete_some(meter, table):
                pass
        async with transaction(self._engine):
            if await self._lock(meter):
                for name in _OTHER_TABLES:
                    await self._engine.execute(f"DELETE FROM {name} WHERE meter_id = {meter.id}")
                # A key that is good for this meter only must not become good for all.
                await self._engine.execute(
                    f"UPDATE api_key_scopes SET meter_id = NULL WHERE meter_id = {meter.id}"
                )
                await count_access_change(self._engine)
                await self._engine.execute(f"DELETE FROM meters WHERE id = {meter.id}")

    async def _delete_some(self, meter: MeterRecord, table: _Table) -> bool:
        """Delete the first rows of a meter in a table; return whether there may be more."""
        of_meter = f"FROM {table.name} WHERE meter_id = {meter.id}"
        async with transaction(self._engine):
            if not await self._lock(meter):
                return False
            keys = await self._engine.fetch(
                f"SELECT {table.key} {of_meter} ORDER BY {table.key} LIMIT {table.most}"
            )
            if not keys:
                return False
            placeholder = self._engine.dialect.placeholder
            await self._engine.execute(
                f"DELETE {of_meter} AND {table.key} <= {placeholder}", (keys[-1][0],)
            )
        return len(keys) == table.most

    async def _lock(self, meter: MeterRecord) -> bool:
        """Return whether a meter is being removed; nobody else can go on with it meanwhile.

        Once it is gone, its number may be that of another one.
        """
        rows, *_ = await self._engine.fetch_locked(
            f"SELECT id FROM meters WHERE id = {meter.id} AND removed IS NOT NULL"
        )
        return bool(rows)

    async def _forget_replacements(self, meter: MeterRecord) -> None:
        """Let no other meter name this one as what took its place, in a transaction each."""
        rows = await self._engine.fetch(f"SELECT id FROM meters WHERE replaced_by = {meter.id}")
        for (other,) in rows:
            async with transaction(self._engine):
                states, *_ = await self._engine.fetch_locked(
                    f"SELECT changes FROM states WHERE meter_id = {other}"
                )
                await self._engine.execute(
                    "UPDATE meters SET replaced_by = NULL"
                    f" WHERE id = {other} AND replaced_by = {meter.id}"
                )
                for (changes,) in states:
                    await count_change(self._engine, other, changes)
