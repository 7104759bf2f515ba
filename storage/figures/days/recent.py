"""The last month of the readings of several meters: energy, and what is missing."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any

from domain.access import Window
from domain.fixed_point import parse_scaled
from domain.flags import IMPLAUSIBLE
from domain.time.sampling_interval import ReadingGrid
from storage.backends.base import ReadEngine
from storage.backends.dialect import ANY_VALUE
from storage.common.turns import in_turns
from storage.meters import ListedMeter

RECENT_DAYS = 31
"""Days up to that of the newest reading."""

_SELECTS_AT_ONCE = 100
"""Parts of one statement."""

_METERS_AT_ONCE = 500
"""Meters whose days are added up by one part of a statement."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RecentDays:
    """The last days of a meter's readings."""

    first: date
    energy: Sequence[int | None]
    """The energy of each day from the first one, scaled by 10^5; None if it is unknown."""
    expected: int | None
    """Readings from the first one of these days to the newest; None if their interval is unknown.
    """
    present: int
    """Readings with any value."""
    implausible: int
    """Readings with this flag."""


@dataclass(frozen=True, slots=True)
class RecentTotals:
    """What the last days of a meter's readings come to, see `RecentDays`."""

    energy: int | None
    expected: int | None
    present: int
    implausible: int


async def recent_days(
    engine: ReadEngine,
    meters: Sequence[ListedMeter],
    windows: Mapping[int, Sequence[Window]],
    *,
    is_clean: bool,
) -> dict[int, RecentDays]:
    """Return the last days of those meters that have readings, by their ids.

    Of meters with windows, only the days in these. Clean energy leaves out implausible readings.
    """
    spans = _spans(meters, windows)
    kept = await _kept(engine, list(spans)) if spans else set()
    selects = [
        _from_days(meter_id, days, is_clean=is_clean)
        if meter_id in kept
        else _from_readings(engine, meter_id, days, is_clean=is_clean)
        for meter_id, some in spans.items()
        for days in some
    ]
    found: dict[int, dict[date, Sequence[Any]]] = defaultdict(dict)
    for at in range(0, len(selects), _SELECTS_AT_ONCE):
        sql = " UNION ALL ".join(selects[at : at + _SELECTS_AT_ONCE])
        for meter_id, day, *values in await engine.fetch(sql):
            found[meter_id][date.fromisoformat(day.decode())] = values
    return {
        meter.id: _recent(meter, spans[meter.id], found[meter.id])
        for meter in meters
        if meter.id in spans
    }


async def recent_totals(
    engine: ReadEngine,
    meters: Sequence[ListedMeter],
    windows: Mapping[int, Sequence[Window]],
    *,
    is_clean: bool,
) -> dict[int, RecentTotals]:
    """Return what `recent_days` of many meters comes to: a row of the database for each of them."""
    spans = _spans(meters, windows)
    kept = await _kept(engine, list(spans)) if spans else set()
    changed = [meter for meter in meters if meter.id in spans and meter.id not in kept]
    days = await recent_days(engine, changed, windows, is_clean=is_clean) if changed else {}
    found = {meter_id: _total(each) for meter_id, each in days.items()}
    sums: dict[int, list[Sequence[Any]]] = defaultdict(list)
    for sql in _sums_of_days({each: spans[each] for each in kept}, is_clean=is_clean):
        async for meter_id, *values in in_turns(await engine.fetch(sql, quick=False)):
            sums[meter_id].append(values)
    async for meter in in_turns(each for each in meters if each.id in kept):
        energies, present, implausible = zip(*sums[meter.id] or [(None, 0, 0)], strict=True)
        known = [parse_scaled(each) for each in energies if each is not None]
        found[meter.id] = RecentTotals(
            sum(filter(None, known)) if known else None,
            _expected(meter, spans[meter.id]),
            sum(map(int, present)),
            sum(map(int, implausible)),
        )
    return found


def _total(days: RecentDays) -> RecentTotals:
    known = [energy for energy in days.energy if energy is not None]
    energy = sum(known) if known else None
    return RecentTotals(energy, days.expected, days.present, days.implausible)


def _sums_of_days(spans: Mapping[int, Sequence[Window]], *, is_clean: bool) -> Iterator[str]:
    """Yield statements that add up the days of meters; most meters end on the same day."""
    meters: dict[Window, list[int]] = defaultdict(list)
    for meter_id, some in spans.items():
        for days in some:
            meters[days].append(meter_id)
    selects = (
        f"SELECT meter_id, SUM({_energy(is_clean=is_clean)}), SUM(present), SUM(implausible)"
        f" FROM days AS d WHERE meter_id IN ({', '.join(map(str, ids[at : at + _METERS_AT_ONCE]))})"
        f" AND clean = 0 AND day BETWEEN '{days.first}' AND '{days.last}' GROUP BY meter_id"
        for days, ids in meters.items()
        for at in range(0, len(ids), _METERS_AT_ONCE)
    )
    while parts := list(islice(selects, _SELECTS_AT_ONCE)):
        yield " UNION ALL ".join(parts)


def _spans(
    meters: Sequence[ListedMeter], windows: Mapping[int, Sequence[Window]]
) -> dict[int, list[Window]]:
    """Return the last days of those meters that have readings, as far as they may be seen."""
    return {
        meter.id: _visible(_span(meter, meter.last_reading), windows.get(meter.id, ()))
        for meter in meters
        if meter.last_reading is not None
    }


def _span(meter: ListedMeter, last_reading: int) -> Window:
    last = meter.zone.at(last_reading).date()
    assert meter.first_reading is not None
    first = meter.zone.at(meter.first_reading).date()
    return Window(max(first, last - (RECENT_DAYS - 1) * _DAY), last)


def _visible(span: Window, windows: Sequence[Window]) -> list[Window]:
    if not windows:
        return [span]
    clipped = (Window(max(span.first, w.first), min(span.last, w.last)) for w in windows)
    return [each for each in clipped if each.first <= each.last]


async def _kept(engine: ReadEngine, meter_ids: Sequence[int]) -> set[int]:
    """Return the meters whose readings no other program has changed since the last import."""
    newest = (
        f"SELECT id FROM readings {engine.dialect.by_id}"
        " WHERE readings.meter_id = states.meter_id ORDER BY id DESC LIMIT 1"
    )
    rows = await engine.fetch(
        f"SELECT meter_id FROM states WHERE meter_id IN ({', '.join(map(str, meter_ids))})"
        f" AND changes = 0 AND last_id = COALESCE(({newest}), 0)"
    )
    return {row[0] for row in rows}


def _energy(*, is_clean: bool) -> str:
    """Return the energy of a day of the table `d`."""
    # A day has clean sums of its own only if a reading of it is implausible.
    clean = "SELECT energy FROM days WHERE meter_id = d.meter_id AND day = d.day AND clean = 1"
    return f"CASE WHEN implausible > 0 THEN ({clean}) ELSE energy END" if is_clean else "energy"


def _from_days(meter_id: int, days: Window, *, is_clean: bool) -> str:
    return (
        f"SELECT meter_id, day, {_energy(is_clean=is_clean)}, present, implausible FROM days AS d"
        f" WHERE meter_id = {meter_id} AND clean = 0 AND day BETWEEN '{days.first}' AND"
        f" '{days.last}'"
    )


def _from_readings(engine: ReadEngine, meter_id: int, days: Window, *, is_clean: bool) -> str:
    # Few meters are read like this, and each for a month only.
    is_implausible = f"COALESCE(f.flags, 0) & {IMPLAUSIBLE.bit} <> 0"
    energy = f"CASE WHEN NOT ({is_implausible}) THEN r.energy END" if is_clean else "r.energy"
    day = engine.dialect.day("r.date")
    return (
        f"SELECT r.meter_id, {day}, SUM({energy}), COUNT({ANY_VALUE}),"
        f" SUM(CASE WHEN {is_implausible} THEN 1 ELSE 0 END) FROM readings AS r"
        " LEFT JOIN flags AS f ON f.meter_id = r.meter_id AND f.reading_id = r.id"
        f" WHERE r.meter_id = {meter_id} AND r.date BETWEEN '{days.first} 00:00:00'"
        f" AND '{days.last} 23:59:59' GROUP BY r.meter_id, {day}"
    )


def _recent(
    meter: ListedMeter, spans: Sequence[Window], days: Mapping[date, Sequence[Any]]
) -> RecentDays:
    first, last = spans[0].first, spans[-1].last
    none = (None, 0, 0)
    rows = [days.get(first + n * _DAY, none) for n in range((last - first).days + 1)]
    return RecentDays(
        first,
        [parse_scaled(row[0]) for row in rows],
        _expected(meter, spans),
        sum(int(row[1]) for row in rows),
        sum(int(row[2]) for row in rows),
    )


def _expected(meter: ListedMeter, spans: Sequence[Window]) -> int | None:
    """Return how many readings are expected in some days, up to the newest."""
    assert meter.first_reading is not None
    assert meter.last_reading is not None
    grid = ReadingGrid(meter.intervals, meter.first_reading)
    expected: int | None = 0
    for span in spans:
        start, end = (
            meter.zone.first(datetime.combine(day, time()))
            for day in (span.first, span.last + _DAY)
        )
        more = grid.expected(max(start, meter.first_reading), min(end, meter.last_reading + 1))
        expected = None if expected is None or more is None else expected + more
    return expected
