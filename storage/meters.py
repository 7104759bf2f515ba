"""The meters whose readings are stored."""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from domain.access import Access, Window
from domain.report_source import ReportSource
from domain.time.sampling_interval import IntervalSpan, SamplingIntervals
from domain.time.time_zone import TimeZone, UnknownZoneError, load_time_zone
from storage.backends.base import ReadEngine, WriteEngine
from storage.backends.dialect import DESCENDING, Condition
from storage.backends.schema import Feature, SchemaVersion
from storage.common.errors import Conflict, NotPrepared, StorageError
from storage.common.identifiers import is_cups, is_same_meter, supply_point

MAIN_METER = "main"
"""The public id of the first meter, unless another one is asked for."""

PUBLIC_ID_EXPECTED = (
    "a public id of 1 to 64 letters, digits, '.', '_' or '-', first a letter or digit"
)
_PUBLIC_ID = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RANDOM_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_RANDOM_LENGTH = 10

IS_THERE = "removed IS NULL"
"""Selects the meters that are not being removed."""

_NAMES_AT_ONCE = 500
"""Names that are looked up by one statement."""

_WINDOWS_AT_ONCE = 100
"""Windows whose readings are looked up by one statement."""

_LISTED = (
    "meters AS m LEFT JOIN states AS s ON s.meter_id = m.id"
    " LEFT JOIN readings AS newest ON newest.meter_id = m.id AND newest.id = s.last_id"
)


def _on_record(column: str, otherwise: str) -> str:
    """Return what the state of a listed meter says of its readings, or else what they say.

    TRUNCATE deletes the newest reading, and tells no state.
    """
    readings = "FROM readings AS r WHERE r.meter_id = m.id"
    return (
        f"COALESCE(CASE WHEN newest.id IS NOT NULL THEN s.{column} END,"
        f" (SELECT {otherwise.format(readings=readings)}))"
    )


_FIRST = _on_record("first_utc", "r.utc {readings} ORDER BY r.utc LIMIT 1")
_LAST = _on_record("last_utc", "r.utc {readings} ORDER BY r.utc DESC LIMIT 1")
_COUNT = _on_record("readings", "COUNT(*) {readings}")


@dataclass(frozen=True, slots=True)
class Meter:
    """What the database says of a meter."""

    id: int
    public_id: str
    """Its name in requests and commands."""
    name: str | None
    """Its name for people."""
    zone: TimeZone
    intervals: SamplingIntervals
    identifier: str | None
    """What reports call it."""
    windows: Sequence[Window] = ()
    """The days that the client may see, all of them if there are none."""


@dataclass(frozen=True, slots=True)
class ListedMeter:
    """A meter, and what its readings span."""

    id: int
    public_id: str
    name: str | None
    identifier: str | None
    timezone: str
    """The name of its zone."""
    zone: TimeZone
    """Its zone; UTC if this machine does not know it."""
    intervals: SamplingIntervals
    first_reading: int | None
    """Start of the first reading, seconds since 1970; None without readings."""
    last_reading: int | None
    readings: int


@dataclass(frozen=True, slots=True)
class MeterPage:
    """Some meters in the order of their public ids."""

    meters: Sequence[ListedMeter]
    following: str | None
    """The public id after which the next page begins; None on the last page."""
    windows: Mapping[int, Sequence[Window]] = field(default_factory=dict)
    """The days that the client may see of the meters of which these are not all, by their ids."""
    until: float = float("inf")
    """When a grant expires because of which the client may see them, seconds since 1970."""


class MeterStore:
    """Reads meters. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine, schema: SchemaVersion) -> None:
        self._engine = engine
        self._schema = schema

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
        try:
            zone = await load_time_zone(timezone.decode())
        except UnknownZoneError as error:
            raise StorageError(
                f"the meter {public_id.decode()} is in the time zone {error}, which this machine"
                " does not know: update its time zones, such as the package tzdata"
            ) from None
        return Meter(
            meter_id,
            public_id.decode(),
            name and name.decode(),
            zone,
            (await self._intervals({meter_id: seconds}))[meter_id],
            identifier and identifier.decode(),
        )

    async def page(
        self, limit: int, after: str = "", search: str = "", visible: Condition | None = None
    ) -> MeterPage:
        """Return at most so many meters whose public ids come after one.

        Where a text is searched for, only those that have it, in upper or lower case, in their
        public id, name or identifier. A condition on the meters, named `m`, selects some.
        """
        dialect = self._engine.dialect
        condition = self._listed(after, search, visible)
        # One row of all, since MySQL's driver takes longer for each than the database does.
        rows = await self._engine.fetch(
            "SELECT GROUP_CONCAT(listed.meter) FROM ("
            f"SELECT JSON_ARRAY(m.id, m.public_id, m.name, m.identifier, m.timezone,"
            f" m.interval_seconds, {dialect.unix_seconds(_FIRST)}, {dialect.unix_seconds(_LAST)},"
            f" {_COUNT}) AS meter"
            f" FROM {_LISTED} WHERE {condition.text} ORDER BY m.public_id LIMIT {limit + 1}"
            ") AS listed",
            condition.args,
        )
        found = json.loads(b"[" + (rows[0][0] or b"") + b"]")
        found.sort(key=itemgetter(1))
        is_last, found = len(found) <= limit, found[:limit]
        zones = {name: await known_zone(name) for name in {row[4] for row in found}}
        intervals = await self._intervals({row[0]: row[5] for row in found})
        meters = [
            ListedMeter(
                *(meter_id, public_id, name, identifier, timezone, zones[timezone]),
                *(intervals[meter_id], first, last, readings),
            )
            for meter_id, public_id, name, identifier, timezone, _, first, last, readings in found
        ]
        return MeterPage(meters, None if is_last else meters[-1].public_id)

    async def public_id_at(
        self,
        position: int,
        after: str,
        search: str,
        visible: Condition | None,
        stale: Condition | None = None,
    ) -> str | None:
        """Return the public id at a position, from 0, among those that follow one in the list."""
        condition = self._listed(after, search, visible)
        if stale is not None:
            condition &= stale
        rows = await self._engine.fetch(
            f"SELECT m.public_id FROM {'meters AS m' if stale is None else _LISTED}"
            f" WHERE {condition.text} ORDER BY m.public_id LIMIT 1 OFFSET {position}",
            condition.args,
        )
        return rows[0][0].decode() if rows else None

    async def count_listed(self, search: str = "", visible: Condition | None = None) -> int:
        """Return how many meters all pages together have."""
        condition = self._listed("", search, visible)
        rows = await self._engine.fetch(
            f"SELECT COUNT(*) FROM meters AS m WHERE {condition.text}", condition.args
        )
        return int(rows[0][0])

    def _listed(self, after: str, search: str, visible: Condition | None) -> Condition:
        """Select the meters of a list."""
        dialect = self._engine.dialect
        # Without a bound, MySQL sorts all meters rather than read the index.
        condition = Condition(f"m.public_id > {dialect.placeholder}", (after,))
        if search:
            condition &= dialect.contains(("m.public_id", "m.name", "m.identifier"), search)
        if visible is not None:
            condition &= visible
        return condition

    async def clipped(self, page: MeterPage, accesses: Mapping[int, Access]) -> MeterPage:
        """Return a page with what may be seen of each of its meters."""
        windows = {
            each.id: accesses[each.id].windows
            for each in page.meters
            if each.id in accesses and not accesses[each.id].is_whole
        }
        spans = await self.visible_spans(windows) if windows else {}
        meters = []
        for each in page.meters:
            if each.id in spans:
                first, last, count = spans[each.id]
                intervals = _visible_intervals(each, windows[each.id], first, last)
                meters.append(
                    replace(
                        each,
                        intervals=intervals,
                        first_reading=first,
                        last_reading=last,
                        readings=count,
                    )
                )
            elif each.id in accesses:
                meters.append(each)
        until = min((access.until for access in accesses.values()), default=page.until)
        return MeterPage(meters, page.following, windows, until)

    async def visible_spans(
        self, windows: Mapping[int, Sequence[Window]]
    ) -> dict[int, tuple[int | None, int | None, int]]:
        """Return the first and last reading on the days of some windows, and how many there are.

        Raises Outdated if the schema lacks what it needs.
        """
        self._schema.require(Feature.DAYS, "the sums of days")
        selects = [
            self._visible_span(meter_id, window)
            for meter_id, some in windows.items()
            for window in some
        ]
        spans: dict[int, tuple[int | None, int | None, int]] = {}
        for at in range(0, len(selects), _WINDOWS_AT_ONCE):
            sql = " UNION ALL ".join(selects[at : at + _WINDOWS_AT_ONCE])
            for meter_id, *span in await self._engine.fetch(sql):
                first, last, count = spans.get(meter_id, (None, None, 0))
                if span[2]:
                    first, last = span[0] if first is None else first, span[1]
                spans[meter_id] = first, last, count + int(span[2])
        return spans

    def _visible_span(self, meter_id: int, window: Window) -> str:
        """Return what selects the id of a meter, its first and last reading in a window, and how
        many there are."""
        seconds = self._engine.dialect.unix_seconds
        readings = (
            f"FROM readings WHERE meter_id = {meter_id}"
            f" AND date BETWEEN '{window.first} 00:00:00' AND '{window.last} 23:59:59'"
        )
        days = (
            f"FROM days WHERE meter_id = {meter_id} AND clean = 0"
            f" AND day BETWEEN '{window.first}' AND '{window.last}'"
        )
        first, last = (
            seconds(f"(SELECT utc {readings} ORDER BY date{order} LIMIT 1)")
            for order in ("", DESCENDING)
        )
        # An import keeps the sums of days, other programs do not.
        return (
            f"SELECT {meter_id}, {first}, {last},"
            f" CASE WHEN (SELECT changes FROM states WHERE meter_id = {meter_id}) = 0"
            f" THEN (SELECT COALESCE(SUM(readings), 0) {days})"
            f" ELSE (SELECT COUNT(*) {readings}) END"
        )

    async def _intervals(self, known: Mapping[int, int | None]) -> Mapping[int, SamplingIntervals]:
        """Return the intervals of meters, of which those are known that have only one.

        An older layout knows no others.
        """
        if self._schema.supports(Feature.INTERVALS):
            return await intervals_of(self._engine, known)
        return {
            meter_id: SamplingIntervals([] if seconds is None else [IntervalSpan(0, seconds)])
            for meter_id, seconds in known.items()
        }

    async def public_ids(self, most: int, visible: Condition | None = None) -> list[str]:
        """Return the public ids of some meters, in the order of their registration.

        A condition on the meters, named `m`, selects some.
        """
        condition = Condition(f"m.{IS_THERE}")
        if visible is not None:
            condition &= visible
        rows = await self._engine.fetch(
            f"SELECT m.public_id FROM meters AS m WHERE {condition.text} ORDER BY m.id"
            f" LIMIT {most}",
            condition.args,
            small=True,
            quick=visible is None,
        )
        return [public_id.decode() for (public_id,) in rows]

    async def count(self) -> int:
        """Return the number of meters."""
        rows = await self._engine.fetch(
            f"SELECT COUNT(*) FROM meters WHERE {IS_THERE}", small=True, quick=False
        )
        return int(rows[0][0])

    async def have_readings(self) -> bool:
        """Return whether any meter has readings."""
        return bool(await self._engine.fetch("SELECT 1 FROM readings LIMIT 1", small=True))

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

    async def newest_import(self) -> datetime | None:
        """Return when the last import of all meters was written."""
        # Of a meter that was taken over from an older layout, its state does not tell it.
        finished = (
            "SELECT finished FROM imports WHERE imports.meter_id = states.meter_id"
            " AND imports.id = states.imports"
        )
        rows = await self._engine.fetch(
            f"SELECT MAX(COALESCE(changed, CASE WHEN imports > 0 THEN ({finished}) END))"
            " FROM states",
            small=True,
            quick=False,
        )
        newest = rows[0][0]
        return newest and datetime.fromisoformat(newest.decode()).replace(tzinfo=UTC)

    async def newest_local_time(self) -> datetime | None:
        """Return the local time of the newest reading, which all schemas have."""
        rows = await self._engine.fetch("SELECT MAX(date) FROM consumpdata", small=True)
        newest = rows[0][0]
        return newest and datetime.fromisoformat(newest.decode())


def _visible_intervals(
    meter: ListedMeter, windows: Sequence[Window], first: int | None, last: int | None
) -> SamplingIntervals:
    """Return what the readings on the days of some windows tell, from the first to the last."""
    if first is None or last is None:
        return SamplingIntervals()
    bounds = []
    for window in windows:
        start, end = window.bounds(meter.zone)
        start = first if start is None else max(start, first)
        end = last + 1 if end is None else min(end, last + 1)
        if start < end:
            bounds.append((start, end))
    return meter.intervals.visible(bounds)


async def intervals_of(
    engine: ReadEngine, known: Mapping[int, int | None]
) -> Mapping[int, SamplingIntervals]:
    """Return the intervals of meters, of which those are known that have only one."""
    # Most meters have one of a few intervals.
    alike = {seconds: SamplingIntervals([IntervalSpan(0, seconds)]) for seconds in known.values()}
    found = {meter_id: alike[seconds] for meter_id, seconds in known.items() if seconds is not None}
    others = [meter_id for meter_id in known if meter_id not in found]
    if not others:
        return found
    rows = await engine.fetch(
        f"SELECT meter_id, {engine.dialect.unix_seconds('first_utc')}, seconds"
        f" FROM intervals WHERE meter_id IN ({', '.join(map(str, others))})"
        " ORDER BY meter_id, first_utc",
        small=True,
    )
    spans: dict[int, list[IntervalSpan]] = {meter_id: [] for meter_id in others}
    for meter_id, first, seconds in rows:
        spans[meter_id].append(IntervalSpan(first, seconds))
    return {**found, **{each: SamplingIntervals(some) for each, some in spans.items()}}


def spans_text(
    intervals: SamplingIntervals, zone: TimeZone, first_reading: int, end: int | None = None
) -> str:
    """Return the intervals of readings as text, each with the local time of its first reading."""
    return ", ".join(
        f"{'unknown' if span.seconds is None else span.seconds} from {zone.text(span.first)}"
        for span in intervals.within(first_reading, end)
    )


async def known_zone(name: str) -> TimeZone:
    """Return the zone of a name, UTC if this machine does not know it."""
    try:
        return await load_time_zone(name)
    except UnknownZoneError:
        return await load_time_zone("UTC")


@dataclass(frozen=True, slots=True)
class MeterRecord:
    """A meter as the loader knows it."""

    id: int
    public_id: str
    identifier: str | None
    """What reports call it."""
    name: str | None
    """Its name for people."""
    timezone: str
    interval: int | None
    """Seconds from the start of a reading to that of the next, if all readings have one."""
    quality: str | None
    """What the flags of its readings were worked out with."""


@dataclass(frozen=True, slots=True)
class MeterState:
    """What is on record of a meter's readings since the last import."""

    changes: int
    """By other programs."""
    readings: int | None
    first_id: int | None
    last_id: int
    imports: int
    """The number of the last import."""


_COLUMNS = (
    *("m.id", "m.public_id", "m.identifier", "m.name"),
    *("m.timezone", "m.interval_seconds", "m.quality"),
)


class MeterAdmin:
    """Records meters. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: WriteEngine) -> None:
        self._engine = engine

    async def find(self, name: str) -> MeterRecord | None:
        """Return the meter with a public id or, if there is none, with an identifier."""
        placeholder = self._engine.dialect.placeholder
        found = await self._select(f"WHERE m.public_id = {placeholder}", (name,))
        return found[0] if found else await self.with_identifier(name)

    async def with_identifier(self, identifier: str) -> MeterRecord | None:
        """Return the meter that reports call so."""
        _, found = await self.find_all([identifier])
        return found.get(identifier) or next(iter(found.values()), None)

    async def find_all(
        self, names: Sequence[str]
    ) -> tuple[dict[str, MeterRecord], dict[str, MeterRecord]]:
        """Return the meters that have one of some names: by public id, and by identifier.

        A CUPS is one name, with and without border point.
        """
        by_public_id, by_identifier = {}, {}
        points = sorted({supply_point(name) for name in names if is_cups(supply_point(name))})
        placeholder = self._engine.dialect.placeholder
        for at in range(0, len(names), _NAMES_AT_ONCE):
            some = names[at : at + _NAMES_AT_ONCE]
            placeholders = ", ".join([placeholder] * len(some))
            for meter in await self._select(f"WHERE m.public_id IN ({placeholders})", some):
                by_public_id[meter.public_id] = meter
            for meter in await self._select(f"WHERE m.identifier IN ({placeholders})", some):
                by_identifier[str(meter.identifier)] = meter
        for at in range(0, len(points), _NAMES_AT_ONCE):
            some = points[at : at + _NAMES_AT_ONCE]
            within = f"m.identifier BETWEEN {placeholder} AND {placeholder}"
            condition = " OR ".join([within] * len(some))
            bounds = [bound for point in some for bound in (point, f"{point}9Z")]
            for meter in await self._select(f"WHERE {condition}", bounds):
                by_identifier[str(meter.identifier)] = meter
        return by_public_id, by_identifier

    async def first(self, most: int) -> list[MeterRecord]:
        """Return so many meters at most, in the order of their registration."""
        return await self._select(f"WHERE m.{IS_THERE} ORDER BY m.id LIMIT {most}")

    async def only(self) -> MeterRecord | None:
        """Return the meter if there is exactly one."""
        found = await self.first(2)
        return found[0] if len(found) == 1 else None

    async def count(self) -> int:
        """Return the number of meters."""
        rows = await self._engine.fetch(f"SELECT COUNT(*) FROM meters WHERE {IS_THERE}")
        return int(rows[0][0])

    async def lock(self, meter_id: int) -> tuple[MeterRecord, MeterState]:
        """Return a meter and its state, which nobody else can change before the transaction ends.

        Calls the engine's `on_wait` if it has to wait for another import of the meter.
        """
        meter, state, *_ = await self.lock_and_fetch(meter_id)
        return meter, state

    async def lock_and_fetch(
        self, meter_id: int, *statements: Condition
    ) -> tuple[MeterRecord, MeterState, list[Sequence[Sequence[Any]]]]:
        """Do the same, and return the rows of statements that are run then."""
        dialect = self._engine.dialect
        columns = dialect.few(
            [*_COLUMNS, "s.changes", "s.readings", "s.first_id", "s.last_id", "s.imports"]
        )
        rows, *others = await self._engine.fetch_locked(
            f"SELECT {columns} FROM meters m JOIN states s ON s.meter_id = m.id"
            f" WHERE m.id = {dialect.placeholder}",
            (meter_id,),
            statements,
        )
        if not rows:
            raise await self._withdrawn(meter_id)
        values = dialect.parse_few(rows[0])
        meter, state = values[: len(_COLUMNS)], values[len(_COLUMNS) :]
        return MeterRecord(*meter), MeterState(*state), others

    async def register(
        self, public_id: str, timezone: str, identifier: str | None = None
    ) -> MeterRecord:
        """Add a meter, or return the one that another loader has just added under the public id.

        Raises Conflict if the public id breaks the rule, or belongs to a meter that reports call
        otherwise.
        """
        if not is_public_id(public_id):
            raise Conflict(f"{public_id[:80]!a} cannot name a meter: expected {PUBLIC_ID_EXPECTED}")
        await self._engine.lock_meters()
        known = await self.find(public_id)
        if known is None and identifier is not None:
            known = await self.with_identifier(identifier)
        if known is not None:
            is_other = known.identifier is not None and not is_same_meter(
                known.identifier, identifier
            )
            if identifier is not None and is_other:
                raise Conflict(f"there is a meter {public_id} already, of another identifier")
            return known
        rows = await self._engine.fetch("SELECT COALESCE(MAX(id), 0) + 1 FROM meters")
        meter_id = rows[0][0]
        meter = {
            "id": meter_id,
            "public_id": public_id,
            "identifier": identifier,
            "timezone": timezone,
            "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        }
        await self._insert("meters", meter)
        state = {
            "meter_id": meter_id,
            "version": secrets.token_hex(16),
            "changes": 0,
            "corrections": secrets.randbelow(10**12),
            "readings": 0,
            "last_id": 0,
        }
        await self._insert("states", state)
        return MeterRecord(meter_id, public_id, identifier, None, timezone, None, None)

    async def describe(self, meter: MeterRecord, report: ReportSource) -> MeterRecord:
        """Return a meter with what a report tells of it; raise Conflict if it is another's."""
        if report.identifier is not None and not is_same_meter(report.identifier, meter.identifier):
            if meter.identifier is not None:
                raise Conflict(
                    identifier_conflict(
                        meter.public_id, meter.identifier, report.name, report.identifier
                    )
                )
            other = await self.with_identifier(report.identifier)
            if other is not None:
                raise Conflict(
                    f"{report.name} has readings of {report.identifier}, which is the meter"
                    f" {other.public_id}, not {meter.public_id}"
                )
        return replace(meter, identifier=meter.identifier or report.identifier)

    async def update(self, known: MeterRecord, meter: MeterRecord) -> None:
        """Record what a meter has now, if anything has changed."""
        if meter == known:
            return
        placeholder = self._engine.dialect.placeholder
        await self._engine.post(
            f"UPDATE meters SET identifier = {placeholder}, interval_seconds = {placeholder},"
            f" quality = {placeholder} WHERE id = {meter.id}",
            (meter.identifier, meter.interval, meter.quality),
        )

    async def _withdrawn(self, meter_id: int) -> StorageError:
        """Return why a meter has no state."""
        rows = await self._engine.fetch(
            f"SELECT public_id, removed FROM meters WHERE id = {meter_id}"
        )
        if not rows:
            return Conflict("the meter was removed meanwhile")
        public_id, removed = rows[0]
        if removed is None:
            return NotPrepared("the table states has lost its row of the meter: restore a backup")
        return Conflict(
            f"the meter {public_id} is being removed: finish that with"
            f" `elecdata meters remove {public_id}`"
        )

    async def _select(self, rest: str, args: Sequence[object] = ()) -> list[MeterRecord]:
        rows = await self._engine.fetch(f"SELECT {', '.join(_COLUMNS)} FROM meters m {rest}", args)
        return [MeterRecord(*row) for row in rows]

    async def _insert(self, table: str, values: Mapping[str, object]) -> None:
        await self._engine.execute(
            self._engine.dialect.insert(table, tuple(values)), tuple(values.values())
        )


def is_public_id(text: str) -> bool:
    """Return whether a text can name a meter."""
    return _PUBLIC_ID.fullmatch(text) is not None


def random_public_id() -> str:
    """Return a public id that tells nothing of the meter."""
    letters = (secrets.choice(_RANDOM_LETTERS) for _ in range(_RANDOM_LENGTH))
    return f"m-{''.join(letters)}"


def identifier_conflict(public_id: str, known: str, report: str, identifier: str | None) -> str:
    """Return the message about a report of another meter than the one that it would go to."""
    return (
        f"the meter {public_id} is {known} in reports, but {report} has readings"
        f" of {identifier}: add --register to load it as a new meter, or --meter NAME to say which"
        " one it is"
    )
