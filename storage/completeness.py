"""Which readings of which meters are there: the newest, and how many of the last days."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from domain.access import Access, Window
from domain.report_source import ESTIMATED_FIELD
from domain.time.sampling_interval import ReadingGrid, SamplingIntervals
from domain.time.time_zone import TimeZone
from storage.backends.base import ReadEngine
from storage.backends.dialect import ANY_VALUE, DESCENDING, Condition
from storage.common.turns import in_pieces, in_turns
from storage.meters import IS_THERE, MeterStore, intervals_of, known_zone

MAX_DAYS = 31
"""Days of which a list tells the readings."""

_METERS_AT_ONCE = 1000
"""Meters whose days one statement reads."""

_DAY = timedelta(days=1)

_COUNTED_SECONDS = 60
"""How long the number of stale meters is remembered."""


@dataclass(frozen=True, slots=True)
class DayCompleteness:
    """The readings of a local day."""

    day: date
    expected: int | None
    """How many the meter should have written; None if its interval is unknown."""
    present: int
    """How many have any value."""
    estimated: int = 0
    """How many are estimated."""


@dataclass(frozen=True, slots=True)
class MeterCompleteness:
    """A meter, and which of its readings are there."""

    id: int
    public_id: str
    name: str | None
    zone: TimeZone
    """Its zone; UTC if this machine does not know it."""
    newest_reading: int | None
    """Start of the newest reading, seconds since 1970; None without readings."""
    days: Sequence[DayCompleteness]
    """The last local days before today, in order."""

    @property
    def expected(self) -> int | None:
        """How many readings are expected on all days; None if that is unknown."""
        known = [day.expected for day in self.days if day.expected is not None]
        return sum(known) if len(known) == len(self.days) else None

    @property
    def present(self) -> int:
        """How many readings have any value on all days."""
        return sum(day.present for day in self.days)

    @property
    def estimated(self) -> int:
        """How many readings are estimated on all days."""
        return sum(day.estimated for day in self.days)

    @property
    def gaps(self) -> int:
        """Days of which readings are missing, of those whose number is known."""
        return sum(day.expected is not None and day.present < day.expected for day in self.days)


@dataclass(frozen=True, slots=True)
class CompletenessPage:
    """Some meters in the order of their public ids."""

    meters: Sequence[MeterCompleteness]
    following: str | None
    """The public id after which the next page begins; None on the last page."""


_Counts = tuple[int, int]
"""How many readings have any value, and how many are estimated."""

Accesses = Callable[[Sequence[int]], Awaitable[Mapping[int, Access]]]
"""Returns what a client may do with meters, by their ids."""


@dataclass(frozen=True, slots=True)
class _StoredMeter:
    """A meter, and what its readings span."""

    id: int
    public_id: str
    name: str | None
    zone: TimeZone
    intervals: SamplingIntervals
    first: int | None
    """Start of the first reading that the client may see; the next is that of the last one."""
    last: int | None
    has_days: bool
    windows: Sequence[Window]
    """Days that the client may see, all of them if there are none."""


class CompletenessStore:
    """Tells which readings are there. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine, meters: MeterStore) -> None:
        self._engine = engine
        self._meters = meters
        self._counted: tuple[int, Sequence[int], Sequence[int]] | None = None
        """When stale meters were counted, by which ages, and how many they were."""

    async def page(
        self,
        now: int,
        limit: int,
        after: str = "",
        *,
        days: int = 7,
        search: str = "",
        stale: int | None = None,
        visible: Condition | None = None,
        accesses: Accesses | None = None,
    ) -> CompletenessPage:
        """Return at most so many meters whose public ids come after one, as of an instant.

        Where a text is searched for, only those that have it in their public id, name or
        identifier. A condition on the meters, named `m`, selects some. If `stale` is given, only
        those whose newest reading began more than so many seconds ago, or that have none. Unless
        the client may see all days of all of them, `accesses` tells which.
        """
        if search:
            names = ("m.public_id", "m.name", "m.identifier")
            matching = self._engine.dialect.contains(names, search)
            visible = matching if visible is None else visible & matching
        meters: list[_StoredMeter] = []
        following: str | None = after
        # Only few of those that are read may be stale.
        size = limit if stale is None or accesses is None else max(limit, _METERS_AT_ONCE)
        while following is not None and len(meters) < limit:
            some, following = await self._some(now, size, following, stale, visible, accesses)
            meters += some
        if len(meters) > limit:
            meters = meters[:limit]
            following = meters[-1].public_id
        found: list[MeterCompleteness] = []
        async for piece in in_pieces(meters, _METERS_AT_ONCE):
            found += await self._with_days(piece, now, days)
        return CompletenessPage(found, following)

    async def count_stale(self, now: int, ages: Sequence[int]) -> Sequence[int]:
        """Return of how many meters the newest reading began more than so many seconds ago.

        Those without readings count for each of the ages. The numbers may be a minute old: all
        meters are looked at.
        """
        if self._counted is not None and self._counted[1] == ages:
            at, _, counted = self._counted
            if at <= now < at + _COUNTED_SECONDS:
                return counted
        counts = ", ".join(
            f"COUNT(CASE WHEN {self._is_stale(now - age)} THEN 1 END)" for age in ages
        )
        rows = await self._engine.fetch(f"SELECT {counts} FROM states AS s", quick=False)
        self._counted = now, ages, [int(count) for count in rows[0]]
        return self._counted[2]

    def stale(self, instant: int) -> Condition:
        """Select the meters, named `m` with states `s`, that have no reading since an instant."""
        return Condition(self._is_stale(instant))

    def _is_stale(self, instant: int) -> str:
        """Return the condition that no reading of a meter of states `s` began after an instant."""
        newest = _end("last_utc", DESCENDING)
        return f"COALESCE({newest} < {self._engine.dialect.instant(instant)}, TRUE)"

    async def _some(
        self,
        now: int,
        limit: int,
        after: str,
        stale: int | None,
        visible: Condition | None,
        accesses: Accesses | None,
    ) -> tuple[list[_StoredMeter], str | None]:
        """Return some meters after a public id, and after which one the next begin."""
        dialect = self._engine.dialect
        condition = Condition(f"m.public_id > {dialect.placeholder} AND m.{IS_THERE}", (after,))
        if visible is not None:
            condition &= visible
        if stale is not None and accesses is None:
            condition &= self.stale(now - stale)
        newest = (
            f"(SELECT r.id FROM readings AS r {dialect.by_id}"
            " WHERE r.meter_id = s.meter_id ORDER BY r.id DESC LIMIT 1)"
        )
        columns = ", ".join(
            (
                *("m.id", "m.public_id", "m.name", "m.timezone", "m.interval_seconds"),
                dialect.unix_seconds(_end("first_utc", "")),
                dialect.unix_seconds(_end("last_utc", DESCENDING)),
                f"s.changes = 0 AND s.last_id = COALESCE({newest}, 0)",
            )
        )
        rows = await self._engine.fetch(
            f"SELECT JSON_ARRAY({columns}) FROM meters AS m JOIN states AS s ON s.meter_id = m.id"
            f" WHERE {condition.text} ORDER BY m.public_id LIMIT {limit + 1}",
            condition.args,
        )
        meters: list[_StoredMeter] = []
        async for piece in in_pieces(rows[:limit], _METERS_AT_ONCE):
            meters += await self._parsed(b",".join(row[0] for row in piece), accesses)
        following = json.loads(rows[limit - 1][0])[1] if len(rows) > limit else None
        if stale is not None and accesses is not None:
            oldest = now - stale
            meters = [each for each in meters if each.last is None or each.last < oldest]
        return meters, following

    async def _parsed(self, texts: bytes, accesses: Accesses | None) -> list[_StoredMeter]:
        records = json.loads(b"[" + texts + b"]")
        intervals = await intervals_of(self._engine, {row[0]: row[4] for row in records})
        zones = {name: await known_zone(name) for name in {row[3] for row in records}}
        allowed = {} if accesses is None else await accesses([row[0] for row in records])
        windows = {each: access.windows for each, access in allowed.items() if not access.is_whole}
        spans = await self._meters.visible_spans(windows) if windows else {}
        meters: list[_StoredMeter] = []
        for meter_id, public_id, name, timezone, _, first, last, has_days in records:
            # A member of a group may have been granted on no day on which it is a member.
            if accesses is not None and meter_id not in allowed:
                continue
            if meter_id in spans:
                first, last, _ = spans[meter_id]  # noqa: PLW2901 - what may be seen takes its place
            meters.append(
                _StoredMeter(
                    *(meter_id, public_id, name, zones[timezone], intervals[meter_id]),
                    *(first, last, bool(has_days), windows.get(meter_id, ())),
                )
            )
        return meters

    async def _with_days(
        self, meters: Sequence[_StoredMeter], now: int, days: int
    ) -> list[MeterCompleteness]:
        """Return meters with their last days."""
        counts = await self._counts(meters, now, days)
        calendars: dict[TimeZone, _LastDays] = {}
        found: list[MeterCompleteness] = []
        async for piece in in_pieces(meters):
            for each in piece:
                calendar = calendars.get(each.zone)
                if calendar is None:
                    calendar = calendars[each.zone] = _LastDays(each.zone, now, days)
                last_days = calendar.of_meter(each, counts.get(each.id, {}))
                found.append(
                    MeterCompleteness(
                        *(each.id, each.public_id, each.name, each.zone, each.last), last_days
                    )
                )
        return found

    async def _counts(
        self, meters: Sequence[_StoredMeter], now: int, days: int
    ) -> Mapping[int, Mapping[str, _Counts]]:
        """Return how many readings meters have on days, by id and day."""
        dialect = self._engine.dialect
        today = datetime.fromtimestamp(now, UTC).date()
        # Local days begin up to half a day earlier or later.
        first, last = today - (days + 1) * _DAY, today + _DAY
        found: dict[int, dict[str, _Counts]] = {}
        kept = [str(each.id) for each in meters if each.has_days]
        others = [str(each.id) for each in meters if not each.has_days]
        columns = ["day", "present", ESTIMATED_FIELD]
        text = f"GROUP_CONCAT({dialect.concat(['', ' ', ' ', ''], columns)})"
        statements = []
        if kept:
            statements.append(
                f"SELECT meter_id, {text} FROM days WHERE meter_id IN ({', '.join(kept)})"
                f" AND day BETWEEN '{first}' AND '{last}' AND clean = 0 GROUP BY meter_id"
            )
        if others:
            statements.append(
                f"SELECT meter_id, {text} FROM (SELECT meter_id, {dialect.day('date')} AS day,"
                f" COUNT({ANY_VALUE}) AS present, COUNT({ESTIMATED_FIELD}) AS {ESTIMATED_FIELD}"
                " FROM readings"
                f" WHERE meter_id IN ({', '.join(others)})"
                f" AND date BETWEEN '{first} 00:00:00' AND '{last} 23:59:59'"
                " GROUP BY meter_id, day) AS counted GROUP BY meter_id"
            )
        for statement in statements:
            async for meter_id, texts in in_turns(await self._engine.fetch(statement)):
                counts = (each.split() for each in texts.decode().split(","))
                found[meter_id] = {
                    day: (int(present), int(estimated)) for day, present, estimated in counts
                }
        return found


class _LastDays:
    """The last local days of a zone before today."""

    def __init__(self, zone: TimeZone, now: int, days: int) -> None:
        today = zone.at(now).date()
        self._days = [today - number * _DAY for number in range(days, 0, -1)]
        self._texts = [str(day) for day in self._days]
        edges = [zone.first(datetime.combine(day, time.min)) for day in (*self._days, today)]
        self._spans = [*pairwise(edges)]
        self._whole: dict[int, Sequence[int | None]] = {}

    def of_meter(
        self, meter: _StoredMeter, counts: Mapping[str, _Counts]
    ) -> Sequence[DayCompleteness]:
        """Return the days of a meter that the client may see, from its first reading on."""
        return [
            DayCompleteness(day, expected, *counts.get(text, (0, 0)))
            for day, text, expected in zip(
                self._days, self._texts, self._expected(meter), strict=True
            )
            if not meter.windows
            or any(window.first <= day <= window.last for window in meter.windows)
        ]

    def _expected(self, meter: _StoredMeter) -> Sequence[int | None]:
        """Return how many readings are expected on each day."""
        if meter.first is None:
            return [0] * len(self._days)
        seconds = meter.intervals.only
        is_even = seconds is not None and _EVEN % seconds == 0
        if seconds is not None and is_even and meter.first <= self._spans[0][0]:
            known = self._whole.get(seconds)
            if known is None:
                known = self._whole[seconds] = [
                    (end - start) // seconds for start, end in self._spans
                ]
            return known
        grid = ReadingGrid(meter.intervals, meter.first)
        return [
            grid.expected(max(start, meter.first), end) if meter.first < end else 0
            for start, end in self._spans
        ]


_EVEN = 900
"""Seconds of which all days are multiples, whatever the clocks do nowadays."""


def _end(column: str, order: str) -> str:
    """Return what the states `s` say of an end of a meter's readings, or else what these say."""
    readings = (
        f"SELECT r.utc FROM readings AS r WHERE r.meter_id = s.meter_id ORDER BY r.utc{order}"
    )
    return (
        f"COALESCE(s.{column}, CASE WHEN COALESCE(s.readings, 1) > 0 THEN ({readings} LIMIT 1) END)"
    )
