"""What the startup checks ask a database."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from storage.backends.base import ReadEngine
from storage.backends.schema import STATEMENTS, Feature, SchemaVersion
from storage.common.errors import NotPrepared

_NAMED_METERS = 10


@dataclass(frozen=True, slots=True)
class Layout:
    """How many of the schema's statements a database has seen, and how many there are."""

    applied: int
    wanted: int


@dataclass(frozen=True, slots=True)
class ReadingsCount:
    """How many readings there are, and the start of the newest."""

    count: int
    newest: datetime | None
    silent_meters: int = 0
    """Meters without readings since a moment."""


@dataclass(frozen=True, slots=True)
class MetersCount:
    """How many meters there are, and what some of them are called."""

    zones: Mapping[str, int]
    """How many there are in each time zone; the most frequent one comes first."""
    public_ids: Sequence[str]
    """Those registered first; empty if the layout is older than public ids."""

    @property
    def unknown_zones(self) -> Sequence[str]:
        """The time zones that this machine does not know."""
        return [name for name in self.zones if _zone(name) is None]

    @property
    def count(self) -> int:
        """The number of meters."""
        return sum(self.zones.values())


class Diagnostics(ABC):
    """Checks a database with the server's account. Every call may raise a StorageError."""

    def __init__(self, engine: ReadEngine) -> None:
        self._engine = engine
        self._schema = SchemaVersion(engine)
        self.close = engine.close

    async def connect(self) -> None:
        """Return once the database has answered."""
        await self._engine.fetch("SELECT 1")

    async def layout(self) -> Layout:
        """Return how far the schema is."""
        wanted = len(STATEMENTS[self._engine.dialect.name])
        try:
            rows = await self._engine.fetch(self._engine.dialect.schema_version)
        except NotPrepared:
            return Layout(0, wanted)
        return Layout(rows[0][0], wanted)

    async def meters(self) -> MetersCount:
        """Count the meters. A database of an older layout has one, or does not tell."""
        await self._schema.refresh()
        if not self._schema.supports(Feature.INSTANTS):
            return MetersCount({}, [])
        rows = await self._engine.fetch(
            "SELECT timezone, COUNT(*) FROM meters GROUP BY timezone"
            " ORDER BY COUNT(*) DESC, timezone"
        )
        zones = {name.decode(): count for name, count in rows}
        if not self._schema.supports(Feature.METERS):
            return MetersCount(zones, [])
        rows = await self._engine.fetch(
            f"SELECT public_id FROM meters ORDER BY id LIMIT {_NAMED_METERS}"
        )
        return MetersCount(zones, [public_id.decode() for (public_id,) in rows])

    async def has_meter(self, public_id: str) -> bool:
        """Return whether a meter is registered, which no older layout tells."""
        sql = f"SELECT 1 FROM meters WHERE public_id = {self._engine.dialect.placeholder}"
        return bool(await self._engine.fetch(sql, (public_id,)))

    async def readings(self, zone: ZoneInfo, since: datetime) -> ReadingsCount:
        """Count the readings of all meters, and the meters that have none since a moment.

        The zone is that of readings in a database that does not tell it.
        """
        await self._schema.refresh()
        if not self._schema.supports(Feature.METERS):
            return await self._readings_of_one(zone)
        of_meter = "FROM readings AS r WHERE r.meter_id = s.meter_id"
        last = f"COALESCE(s.last_utc, (SELECT r.utc {of_meter} ORDER BY r.utc DESC LIMIT 1))"
        rows = await self._engine.fetch(
            f"SELECT m.timezone, {self._engine.dialect.unix_seconds(last)} AS newest"
            " FROM states AS s JOIN meters AS m ON m.id = s.meter_id ORDER BY newest DESC LIMIT 1"
        )
        if not rows or rows[0][1] is None:
            return ReadingsCount(0, None)
        timezone, newest = rows[0]
        recent = f"{last} >= {self._engine.dialect.instant(int(since.timestamp()))}"
        rows = await self._engine.fetch(
            f"SELECT SUM(COALESCE(s.readings, (SELECT COUNT(*) {of_meter}))),"
            f" COUNT(CASE WHEN {recent} THEN NULL ELSE 1 END) FROM states AS s"
        )
        count, silent = map(int, rows[0])
        newest = datetime.fromtimestamp(newest, _zone(timezone.decode()) or UTC)
        return ReadingsCount(count, newest, silent)

    async def _readings_of_one(self, zone: ZoneInfo) -> ReadingsCount:
        """Count the readings of an older layout."""
        rows = await self._engine.fetch("SELECT COUNT(*), MAX(date) FROM consumpdata")
        count, newest = rows[0]
        if newest is None:
            return ReadingsCount(count, None)
        recorded = [*(await self.meters()).zones, zone.key][0]
        newest = datetime.fromisoformat(newest.decode()).replace(tzinfo=_zone(recorded) or zone)
        return ReadingsCount(count, newest)

    @abstractmethod
    async def cipher(self) -> str | None:
        """Return the cipher of the connection, None if it is not encrypted."""

    @abstractmethod
    async def rights_to_write(self) -> list[str]:
        """Return the account's rights beyond what the server needs, as `RIGHT ON place`."""

    @abstractmethod
    async def time(self) -> float | None:
        """Return the database's clock in seconds since 1970, None if it has none of its own."""

    @abstractmethod
    async def most_connections(self) -> int | None:
        """Return how many connections it takes from this account, None without a limit."""


def _zone(name: str) -> ZoneInfo | None:
    """Return the time zone of a name, None if this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
