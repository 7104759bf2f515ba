"""The directory of meters: listing, adding and changing them."""

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from storage.access.targets import count_access_change
from storage.backends.base import WriteEngine
from storage.common.errors import Conflict
from storage.common.identifiers import supply_point
from storage.meters import MeterAdmin, MeterRecord

PAGE_METERS = 500
"""Meters that one statement reads or writes."""


@dataclass(frozen=True, slots=True)
class MeterProperties:
    """What is on record of a meter, apart from its readings."""

    public_id: str
    """Its name in requests and commands."""
    timezone: str
    identifier: str | None = None
    """What reports call it."""
    name: str | None = None
    """Its name for people."""
    note: str | None = None
    interval: int | None = None
    """Seconds from the start of a reading to that of the next, None if not known yet."""
    area: float | None = None
    """The area that it supplies, in m2."""

    @property
    def names(self) -> Sequence[str]:
        """What names the meter in commands."""
        return [name for name in (self.public_id, self.identifier) if name]


_COLUMNS = {
    "public_id": "public_id",
    "timezone": "timezone",
    "identifier": "identifier",
    "name": "name",
    "note": "note",
    "interval": "interval_seconds",
    "area": "area",
}
"""The columns of the properties."""

_FIXED_BY_READINGS = {"timezone": "time zone", "interval": "interval"}
"""Properties with which days and flags of readings are worked out, and what they are called."""


@dataclass(frozen=True, slots=True)
class MeterListing:
    """A meter, and what is stored of its readings."""

    id: int
    properties: MeterProperties
    created: str | None
    """When it was registered, UTC."""
    replaced_by: str | None
    """The public id of the meter that took its place."""
    is_being_removed: bool
    readings: int = 0
    first: str | None = None
    """The local time of the first reading."""
    last: str | None = None
    imported: str | None = None
    """When the last import was written, UTC."""


class MeterDirectory:
    """Lists, adds and changes meters. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine
        self._meters = MeterAdmin(engine)

    async def listings(self, search: str = "") -> AsyncGenerator[MeterListing]:
        """Yield the meters by their public ids, in bounded memory.

        Those are left out whose public id, identifier, name and note lack a text, in any case.
        """
        after = ""
        while page := await self._page(after):
            after = page[-1].properties.public_id
            for meter in await self._with_readings([m for m in page if _matches(m, search)]):
                yield meter

    async def listing(self, meter: MeterRecord) -> MeterListing:
        """Return a meter with what is stored of its readings."""
        return (await self._with_readings(await self._select(f"WHERE m.id = {meter.id}")))[0]

    async def add_one(self, meter: MeterProperties) -> None:
        """Add a meter, in the transaction that is open; raise Conflict if a name is taken."""
        await self.begin_adding()
        for name, public_id in (await self.taken(meter.names)).items():
            raise Conflict(_taken_by(name, public_id))
        await self.add([meter])

    async def begin_adding(self) -> None:
        """Keep other loaders from adding meters until the transaction ends."""
        await self._engine.lock_meters()

    async def add(self, meters: Sequence[MeterProperties]) -> None:
        """Add meters whose names `taken` does not have, in the transaction that is open."""
        if not meters:
            return
        rows = await self._engine.fetch("SELECT COALESCE(MAX(id), 0) FROM meters")
        created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        records: list[Sequence[object]] = []
        states: list[Sequence[object]] = []
        for meter_id, meter in enumerate(meters, int(rows[0][0]) + 1):
            records.append((meter_id, created, *(getattr(meter, name) for name in _COLUMNS)))
            states.append((meter_id, _new_version(), 0, secrets.randbelow(10**12), 0, 0))
        await self._insert("meters", ("id", "created", *_COLUMNS.values()), records)
        columns = ("meter_id", "version", "changes", "corrections", "readings", "last_id")
        await self._insert("states", columns, states)

    async def taken(self, names: Sequence[str], own_id: int | None = None) -> Mapping[str, str]:
        """Return which names are public ids or identifiers, and the public ids of their meters.

        The names of the meter with the id `own_id` are left out.
        """
        by_public_id, by_identifier = await self._meters.find_all(names)
        whose = {name: name for name, meter in by_public_id.items() if meter.id != own_id}
        points = {
            supply_point(name): meter.public_id
            for name, meter in by_identifier.items()
            if meter.id != own_id
        }
        return whose | {
            name: points[supply_point(name)] for name in names if supply_point(name) in points
        }

    async def change(self, meter: MeterRecord, changes: Mapping[str, object]) -> None:
        """Change a meter, in the transaction that is open; raise Conflict if that may not be.

        The changes are properties, by their names, and `replaced_by`, an id or None.
        """
        names = [str(changes[name]) for name in ("public_id", "identifier") if changes.get(name)]
        if names:
            await self._engine.lock_meters()
        _, state = await self._meters.lock(meter.id)
        for name, public_id in (await self.taken(names, meter.id)).items():
            raise Conflict(_taken_by(name, public_id))
        await self._require_changeable(meter, changes)
        await self._require_no_circle(meter, changes.get("replaced_by"))
        columns = {_COLUMNS.get(name, name): value for name, value in changes.items()}
        placeholder = self._engine.dialect.placeholder
        await self._engine.execute(
            f"UPDATE meters SET {', '.join(f'{column} = {placeholder}' for column in columns)}"
            f" WHERE id = {meter.id}",
            tuple(columns.values()),
        )
        if "public_id" in changes:
            # Servers know by it who may see the meter.
            await count_access_change(self._engine)
        await count_change(self._engine, meter.id, state.changes)

    async def _require_changeable(self, meter: MeterRecord, changes: Mapping[str, object]) -> None:
        """Raise Conflict if a change would contradict the readings of a meter."""
        current = (await self._select(f"WHERE m.id = {meter.id}"))[0].properties
        for name, called in _FIXED_BY_READINGS.items():
            if changes.get(name, getattr(current, name)) == getattr(current, name):
                continue
            if await self._engine.fetch(
                f"SELECT 1 FROM readings WHERE meter_id = {meter.id} LIMIT 1"
            ):
                raise Conflict(
                    f"the {called} of {meter.public_id} cannot be changed: the local times, days"
                    " and flags of its readings were worked out with it; add another meter and"
                    " load the reports there"
                )

    async def _require_no_circle(self, meter: MeterRecord, later_id: object) -> None:
        """Raise Conflict if a meter would take the place of one that took its place."""
        while later_id is not None:
            if later_id == meter.id:
                raise Conflict(
                    f"{meter.public_id} cannot be replaced by itself, not in turn either"
                )
            rows = await self._engine.fetch(f"SELECT replaced_by FROM meters WHERE id = {later_id}")
            later_id = rows[0][0] if rows else None

    async def _page(self, after: str) -> Sequence[MeterListing]:
        condition = f"WHERE m.public_id > {self._engine.dialect.placeholder}"
        return await self._select(f"{condition} ORDER BY m.public_id LIMIT {PAGE_METERS}", (after,))

    async def _select(self, rest: str, args: Sequence[object] = ()) -> Sequence[MeterListing]:
        columns = ", ".join(f"m.{column}" for column in _COLUMNS.values())
        rows = await self._engine.fetch(
            f"SELECT m.id, m.created, later.public_id, m.removed IS NOT NULL, {columns}"
            f" FROM meters m LEFT JOIN meters later ON later.id = m.replaced_by {rest}",
            args,
        )
        return [
            MeterListing(
                id_,
                MeterProperties(**_properties(values)),
                _text(created),
                replaced_by,
                bool(is_being_removed),
            )
            for id_, created, replaced_by, is_being_removed, *values in rows
        ]

    async def _with_readings(self, meters: Sequence[MeterListing]) -> Sequence[MeterListing]:
        if not meters:
            return []
        of_meter = "FROM readings r WHERE r.meter_id = m.id"
        # Counted where another program, or TRUNCATE, has changed them since the last import.
        is_known = f"s.changes = 0 AND s.last_id = COALESCE((SELECT MAX(r.id) {of_meter}), 0)"
        rows = await self._engine.fetch(
            f"SELECT m.id, CASE WHEN {is_known} THEN s.readings ELSE (SELECT COUNT(*) {of_meter})"
            f" END, (SELECT r.date {of_meter} ORDER BY r.utc LIMIT 1),"
            f" (SELECT r.date {of_meter} ORDER BY r.utc DESC LIMIT 1),"
            " (SELECT i.finished FROM imports i WHERE i.meter_id = m.id ORDER BY i.id DESC LIMIT 1)"
            " FROM meters m LEFT JOIN states s ON s.meter_id = m.id"
            f" WHERE m.id IN ({', '.join(str(meter.id) for meter in meters)})"
        )
        known = {id_: values for id_, *values in rows}
        return [_with_readings(meter, *known[meter.id]) for meter in meters if meter.id in known]

    async def _insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        placeholders = ", ".join([self._engine.dialect.placeholder] * len(columns))
        await self._engine.execute(
            f"INSERT INTO {table} ({', '.join(columns)})"
            f" VALUES {', '.join([f'({placeholders})'] * len(rows))}",
            tuple(chain.from_iterable(rows)),
        )


async def count_change(engine: WriteEngine, meter_id: int, changes: int) -> None:
    """Give the data of a meter whose properties were changed a new version.

    A trigger has counted a change by another program, which there was none of.
    """
    await engine.execute(
        f"UPDATE states SET version = {engine.dialect.placeholder}, changes = {changes}"
        f" WHERE meter_id = {meter_id}",
        (_new_version(),),
    )


def _taken_by(name: str, public_id: str) -> str:
    """Return the message about a public id or identifier that another meter has."""
    if name == public_id:
        return f"there is a meter {name} already"
    return f"the meter {public_id} is {name} in reports"


def _new_version() -> str:
    return secrets.token_hex(16)


def _matches(meter: MeterListing, text: str) -> bool:
    own = meter.properties
    texts = (own.public_id, own.identifier, own.name, own.note)
    return any(text.casefold() in each.casefold() for each in texts if each)


def _properties(values: Sequence[Any]) -> dict[str, Any]:
    found = dict(zip(_COLUMNS, values, strict=True))
    if found["area"] is not None:
        found["area"] = float(found["area"])
    return found


def _with_readings(
    meter: MeterListing, readings: int, first: object, last: object, imported: object
) -> MeterListing:
    return replace(
        meter, readings=readings, first=_text(first), last=_text(last), imported=_text(imported)
    )


def _text(time: object) -> str | None:
    return None if time is None else str(time)
