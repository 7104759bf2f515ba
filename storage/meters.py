"""The meter whose readings are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.report_source import ReportSource
from domain.sampling_interval import interval_on_record, usual_interval
from domain.time_zone import TimeZone, load_time_zone
from storage.backends.base import ReadEngine, WriteEngine
from storage.common.errors import Conflict

METER_ID = 1
"""The only meter so far."""

INTERVAL_SAMPLE_READINGS = 1000
"""Readings that tell the interval of a meter whose record lacks it."""


@dataclass(frozen=True, slots=True)
class Meter:
    """What the database says of a meter."""

    id: int
    public_id: str
    """Its name in requests and commands."""
    name: str | None
    """Its name for people."""
    zone: TimeZone
    interval: int
    """Seconds from the start of a reading to that of the next."""
    identifier: str | None
    """What reports call it."""


class MeterStore:
    """Reads meters. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine) -> None:
        self._engine = engine

    async def meter(self, meter_id: int) -> Meter | None:
        """Return a meter, None if it was removed."""
        rows = await self._engine.fetch(
            "SELECT public_id, name, timezone, interval_seconds, identifier FROM meters"
            f" WHERE id = {meter_id}",
            small=True,
        )
        if not rows:
            return None
        public_id, name, timezone, seconds, identifier = rows[0]
        return Meter(
            meter_id,
            public_id.decode(),
            name and name.decode(),
            await load_time_zone(timezone.decode()),
            interval_on_record(seconds),
            identifier and identifier.decode(),
        )

    async def public_ids(self, most: int) -> list[str]:
        """Return the public ids of some meters, in the order of their registration."""
        rows = await self._engine.fetch(
            f"SELECT public_id FROM meters ORDER BY id LIMIT {most}", small=True
        )
        return [public_id.decode() for (public_id,) in rows]

    async def count(self) -> int:
        """Return the number of meters."""
        rows = await self._engine.fetch("SELECT COUNT(*) FROM meters")
        return int(rows[0][0])

    async def newest_reading(self) -> int | None:
        """Return the start of the newest reading of all meters, in seconds since 1970."""
        newest = (
            "(SELECT utc FROM readings WHERE readings.meter_id = states.meter_id"
            " ORDER BY utc DESC LIMIT 1)"
        )
        seconds = self._engine.dialect.unix_seconds(f"MAX(COALESCE(last_utc, {newest}))")
        rows = await self._engine.fetch(f"SELECT {seconds} FROM states")
        instant: int | None = rows[0][0]
        return instant

    async def newest_local_time(self) -> datetime | None:
        """Return the local time of the newest reading, which all schemas have."""
        rows = await self._engine.fetch("SELECT MAX(date) FROM consumpdata", small=True)
        newest = rows[0][0]
        return newest and datetime.fromisoformat(newest.decode())


class MeterAdmin:
    """Records meters. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine

    async def register(self, timezone: str) -> None:
        """Record the zone of the readings; raise Conflict if another one is on record."""
        known = await self._known("timezone, interval_seconds")
        if not known:
            await self._engine.execute(
                self._engine.dialect.insert("meters", ("id", "timezone")), (METER_ID, timezone)
            )
        elif known[0] != timezone:
            raise Conflict(
                f"{self._engine.database} contains readings in the time zone {known[0]}, but "
                f"meter.timezone is {timezone}: set meter.timezone to {known[0]}, or use another "
                "database.url"
            )
        if not known or known[1] is None:
            # Readings of an older schema, or too few so far.
            await self._set("interval_seconds", await self._usual_interval())

    async def describe(self, report: ReportSource) -> None:
        """Record what a report tells of its meter; raise Conflict if it is another meter."""
        identifier, interval = await self._known("identifier, interval_seconds")
        if identifier is None:
            await self._set("identifier", report.identifier)
        elif report.identifier not in (None, identifier):
            raise Conflict(
                f"{self._engine.database} contains readings of the meter {identifier}, but "
                f"{report.name} has readings of {report.identifier}: use another database.url"
            )
        if interval is None:
            await self._set("interval_seconds", report.interval)
        elif report.interval not in (None, interval):
            raise Conflict(
                f"{self._engine.database} contains readings every {interval} seconds, but "
                f"{report.name} has readings every {report.interval}: use another database.url"
            )

    async def _usual_interval(self) -> int | None:
        rows = await self._engine.fetch(
            f"SELECT {self._engine.dialect.unix_seconds('utc')} FROM consumpdata"
            f" WHERE meter_id = {METER_ID} ORDER BY utc LIMIT {INTERVAL_SAMPLE_READINGS}"
        )
        return usual_interval((instant, (0,)) for (instant,) in rows)

    async def _known(self, columns: str) -> Sequence[Any]:
        rows = await self._engine.fetch(f"SELECT {columns} FROM meters WHERE id = {METER_ID}")
        return rows[0] if rows else ()

    async def _set(self, column: str, value: object) -> None:
        await self._engine.execute(
            f"UPDATE meters SET {column} = {self._engine.dialect.placeholder}"
            f" WHERE id = {METER_ID}",
            (value,),
        )
