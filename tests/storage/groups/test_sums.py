"""Sums of groups are those of all readings of their members, whatever the members are like."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import count, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.access import Window
from domain.flags import CATCH_UP
from domain.quantities import ALL_QUANTITY_NAMES, QUANTITY_NAMES
from domain.readings_query import QueryError
from domain.time.time_buckets import BUCKET_SIZES
from storage.common.errors import Overtaken, StorageError
from storage.database import Database
from storage.factory import WritableDatabase, open_database, open_importer
from storage.figures.selection import Period
from storage.groups import aggregate, sums
from storage.groups.aggregate import (
    GROUP_COLUMNS,
    GROUP_COVERAGE,
    PERIOD_SIZE,
    GroupAggregate,
    GroupSummary,
)
from storage.groups.demand import demands, profile
from storage.groups.demand.peaks import GroupPeaks
from storage.groups.demand.profile import GroupProfile
from storage.groups.ranking import GroupRanking
from storage.groups.scanning import group_arrays, scan
from storage.groups.selection import GroupQuery
from storage.imports.merging import MergeOptions
from tests.support.databases import DatabaseFixture
from tests.support.direct_parts import Part, Values
from tests.support.reference_groups import (
    Calendar,
    StoredMeter,
    Way,
    reckoned_left_out,
    reckoned_partial,
    reckoned_sums,
    rounded,
    stored_meters,
)
from tests.support.report_factory import numbered, quarters, report, row

ZONE = "Europe/Madrid"
ZONES = [ZONE, "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe"]
STARTS = [(2019, 10, 25), (2019, 3, 29), (2019, 12, 29), (2009, 10, 30), (2019, 4, 5)]
DAYS = 5
DAY = timedelta(days=1)
GROUPS = 3
MOST_NAMED = 2

LENGTHS: Sequence[Sequence[int | None]] = (
    *([900], [900], [900], [3600], [1800, 900], [3600, None], [1000], []),
)
"""The intervals of what is imported to a meter; without one, the readings tell none."""

Edge = tuple[int, int | None, int | None, int, date | None, date | None]
"""A row of group_members: the group, the meter or the group, the sign, the days."""


@dataclass(frozen=True)
class Case:
    first: tuple[int, int, int]
    zones: Sequence[str]
    parts: Sequence[tuple[int, Part]]
    """The number of a meter and what is imported to it."""
    changed: frozenset[int]
    """Numbers of meters whose readings another program has changed."""
    edges: Sequence[Edge]
    questions: Sequence[tuple[dict[str, str], tuple[Window, ...]]]


def case_of(chance: random.Random) -> Case:
    """Meters of some zones and intervals, groups of them and of groups, and questions."""
    start = chance.choice(STARTS)
    first = datetime(*start, tzinfo=UTC)
    home = chance.choice([ZONE, ZONE, *ZONES])
    zones = [chance.choice([home, home, home, *ZONES]) for _ in range(chance.randint(1, 5))]
    parts = []
    for number, zone in enumerate(zones):
        for seconds in chance.choice(LENGTHS):
            begin = first + timedelta(days=2 if seconds is None or seconds == 900 else 0)
            parts.append((number, delivery(chance, zone, begin, seconds)))
    edges: list[Edge] = []
    for group in range(1, GROUPS + 1):
        meters = [(number + 1, None) for number in range(len(zones)) if chance.random() < 0.7]
        groups = [(None, other) for other in range(group + 1, GROUPS + 1) if chance.random() < 0.4]
        edges += [
            (group, *member, chance.choice([1, 1, -1]), *days(chance, first))
            for member in (*meters, *groups)
        ]
    changed = frozenset(chance.sample(range(1, len(zones) + 1), chance.randint(0, 1)))
    questions = [asked(chance, first) for _ in range(5)]
    return Case(start, zones, parts, changed, edges, questions)


def delivery(chance: random.Random, zone: str, first: datetime, seconds: int | None) -> Part:
    """Readings of about two days, with gaps; without an interval, they tell none."""
    place = first + timedelta(seconds=chance.choice([0, 0, 7, 3600]))
    readings: list[tuple[datetime, Values]] = []
    is_full = chance.random() < 0.5
    absent = range(chance.randrange(400), chance.randrange(400))
    for number in range(chance.randrange(2 * 86400 // (seconds or 900))):
        if number not in absent or not readings:
            readings.append((place, quantities(chance, is_full=is_full)))
        place += timedelta(seconds=seconds or chance.choice([600, 1500, 4000]))
    return Part(ZoneInfo(zone), readings or [(place, quantities(chance))], seconds)


def quantities(chance: random.Random, *, is_full: bool = False) -> Values:
    """Quantities of a reading, some missing, some energy more than the maximeter allows.

    If it is full, also what was exported, and whether it was estimated.
    """
    names = ALL_QUANTITY_NAMES if is_full else QUANTITY_NAMES
    mark = [chance.choice([None, None, 1])] if is_full else []
    if chance.random() < 0.03:
        return [None] * len(names) + mark
    some = {name: chance.randrange(-(10**7), 10**8) for name in names}
    some |= {"maximeter": 200_000, "energy": 20_000 * chance.choice([1, 2, 9000, -3])}
    missing = 0.5 if chance.random() < 0.2 else 0.02
    return [None if chance.random() < missing else some[name] for name in names] + mark


def days(chance: random.Random, first: datetime) -> tuple[date | None, date | None]:
    """Days of membership, mostly all."""
    ends = sorted(first.date() + timedelta(days=chance.randrange(-1, DAYS)) for _ in range(2))
    return (
        ends[0] if chance.random() < 0.3 else None,
        ends[1] if chance.random() < 0.3 else None,
    )


def asked(chance: random.Random, first: datetime) -> tuple[dict[str, str], tuple[Window, ...]]:
    """Parameters of a question, and the days that the client may see."""
    params = {"quality": chance.choice(["raw", "clean"]), "end": "exclusive"}
    params["interval"] = chance.choice(["day", "day", "week", *BUCKET_SIZES, PERIOD_SIZE.name])
    ends = sorted(chance.randint(-24, 24 * DAYS) for _ in range(2))
    unit = chance.choice([1, 24])
    for name, hours in zip(("date", "end_date"), ends, strict=True):
        if chance.random() < 0.7:
            params[name] = f"{first + timedelta(hours=hours // unit * unit):%Y-%m-%d %H:%M:%S}"
    if chance.random() < 0.5:
        params["columns"] = ",".join(chance.sample(GROUP_COLUMNS, chance.randint(1, 3)))
    at = first.date() + timedelta(days=chance.randint(-1, DAYS))
    window = Window(at, at + timedelta(days=chance.randint(0, DAYS)))
    return params, chance.choice([(), (), (window,)])


def ways_to(case: Case, group: int, calendar: Calendar) -> Iterator[Way]:
    """Yield all ways from a group to meters."""
    for of, meter, member, sign, first_day, last_day in case.edges:
        if of != group:
            continue
        start = calendar.start - 10**6 if first_day is None else calendar.start_of(first_day)
        end = calendar.end + 10**6
        if last_day is not None:
            end = calendar.start_of(last_day + DAY)
        if meter is not None:
            yield Way(meter, sign, start, end)
        else:
            assert member is not None
            for way in ways_to(case, member, calendar):
                clipped = max(start, way.start), min(end, way.end)
                if clipped[0] < clipped[1]:
                    yield Way(way.meter, sign * way.sign, *clipped)


def period(
    calendar: Calendar,
    ways: Sequence[Way],
    stored: Mapping[int, StoredMeter],
    params: Mapping[str, str],
    windows: tuple[Window, ...],
) -> tuple[int | None, int | None]:
    """Return from when to when a question is; None without readings."""
    lowest, highest = calendar.start - 10**6, calendar.end + 10**6
    for window in windows:
        lowest = calendar.start_of(window.first)
        highest = calendar.start_of(window.last + DAY)
    ends = []
    for way in ways:
        visible = [at for at in stored[way.meter].readings if lowest <= at.at < highest]
        if visible:
            first, end = visible[0].at, stored[way.meter].end_of(visible)
            if max(first, way.start) < min(end, way.end):
                ends.append((max(first, way.start), min(end, way.end)))
    start = min((first for first, _ in ends), default=None)
    until = max((last for _, last in ends), default=None)
    if "date" in params:
        start = calendar.first(datetime.fromisoformat(params["date"]))
    if "end_date" in params:
        until = calendar.first(datetime.fromisoformat(params["end_date"]))
    if start is None or until is None:
        return None, None
    return max(start, lowest), min(until, highest)


async def answered(
    reader: Database, group: str, query: GroupQuery, windows: tuple[Window, ...] = ()
) -> tuple[Any, list[dict[str, Any]]]:
    state = await reader.group_state(group)
    assert state is not None
    table = await reader.group_figures(query, replace(state, windows=windows))
    names = [field.name for field in query.fields]
    rows = [dict(zip(names, row, strict=True)) async for rows in table.rows for row in rows]
    return table.metadata, rows


async def add_groups(writer: WritableDatabase, edges: Sequence[Edge], groups: int = GROUPS) -> None:
    engine = writer.engine
    await engine.begin_change()
    for table in ("meter_groups", "group_members"):
        await engine.execute(f"DELETE FROM {table}")
    for group in range(1, groups + 1):
        await engine.execute(
            "INSERT INTO meter_groups (id, public_id, created)"
            f" VALUES ({group}, 'g{group}', '2020-01-01 00:00:00')"
        )
    for number, edge in enumerate(edges):
        values = ", ".join("NULL" if value is None else f"'{value}'" for value in (number, *edge))
        await engine.execute(
            "INSERT INTO group_members (id, group_id, meter_id, member_group_id, sign, first_day,"
            f" last_day) VALUES ({values})"
        )
    await engine.execute("UPDATE access SET changes = changes + 1")
    await engine.commit()


class Comparison:
    """Compares the sums of random groups with those reckoned reading by reading."""

    def __init__(self, writer: WritableDatabase, reader: Database) -> None:
        self._writer = writer
        self._reader = reader
        self._engine = writer.engine
        self._numbers = count(1)

    async def prepare(self) -> None:
        async for _ in self._engine.prepare():
            pass
        await self._engine.admit_reader()

    async def check(self, case: Case) -> None:
        """Answer the questions of a case, and leave no meters."""
        case, zones = await self._loaded(case)
        await self._engine.begin()
        stored = await stored_meters(self._engine)
        await self._engine.rollback()
        begin = int(datetime(*case.first, tzinfo=UTC).timestamp())
        calendars = {
            zone: Calendar(zone, begin - 9 * 86400, begin + (DAYS * 2 + 9) * 86400)
            for zone in {ZONE, *case.zones}
        }
        for params, windows in case.questions:
            found = {zones[way.meter] for way in ways_to(case, 1, calendars[ZONE])}
            zone = found.pop() if len(found) == 1 else ZONE
            await self._compare(case, stored, calendars[zone], params, windows)
            await self._compare_demand(case, stored, calendars[zone], params, windows)
        await self._engine.begin()
        for table in ("readings", "flags", "days", "meters", "states", "imports", "intervals"):
            await self._engine.execute(f"DELETE FROM {table}")
        await self._engine.commit()

    async def _loaded(self, case: Case) -> tuple[Case, dict[int, str]]:
        """Return a case with the ids of its meters, and their zones."""
        writer = self._writer
        await self._engine.begin()
        meters = [
            await writer.meters.register(f"m{next(self._numbers)}", zone) for zone in case.zones
        ]
        await self._engine.commit()
        options = MergeOptions(empty_erases=True, is_confirmed=True)
        for number, part in case.parts:
            await self._engine.begin()
            await writer.imports.load(part, meters[number], options)
            await self._engine.commit()
        await self._engine.begin()
        for number in case.changed:
            meter_id = meters[number - 1].id
            await self._engine.execute(
                f"UPDATE readings SET energy = 3 WHERE meter_id = {meter_id}"
            )
            await self._engine.execute(f"UPDATE states SET changes = 1 WHERE meter_id = {meter_id}")
        await self._engine.commit()
        edges: list[Edge] = [
            (group, None if meter is None else meters[meter - 1].id, other, sign, first, last)
            for group, meter, other, sign, first, last in case.edges
        ]
        await add_groups(writer, edges)
        return replace(case, edges=edges), {meter.id: meter.timezone for meter in meters}

    async def _compare(
        self,
        case: Case,
        stored: Mapping[int, StoredMeter],
        calendar: Calendar,
        params: dict[str, str],
        windows: tuple[Window, ...],
    ) -> None:
        size, is_clean = params["interval"], params["quality"] == "clean"
        query: GroupQuery = GroupSummary(Period.of(params))
        if size != PERIOD_SIZE.name:
            query = GroupAggregate.of(params)
        try:
            metadata, rows = await answered(self._reader, "g1", query, windows)
        except QueryError as error:
            # Several members may have a longer interval.
            if "between readings of m" in str(error):
                return
            raise
        ways = [*ways_to(case, 1, calendar)]
        start, end = period(calendar, ways, stored, params, windows)
        if start is None or end is None or start >= end:
            assert rows == []
            return
        assert metadata["timezone"] == calendar.info.key
        reckoned_out = reckoned_left_out(stored, ways, (start, end)) if is_clean else None
        assert metadata.get("left_out") == reckoned_out
        if windows:
            shown = calendar.start_of(windows[0].first), calendar.start_of(windows[0].last + DAY)
            stored = {number: meter.shown(*shown) for number, meter in stored.items()}
        all_edges = [] if size == PERIOD_SIZE.name else calendar.edges(size)
        edges = [at for at in all_edges if start < at < end]
        buckets = [*pairwise([start, *edges, end])]
        assert [(row["date"], row["end"]) for row in rows] == buckets
        for sums_found, bucket in zip(rows, buckets, strict=True):
            reckoned = reckoned_sums(stored, ways, bucket, MOST_NAMED, is_clean=is_clean)
            found = {name: value for name, value in sums_found.items() if name in reckoned}
            assert found == {name: reckoned[name] for name in found}, (params, bucket)
            assert set(found) == set(sums_found) - {"date", "end", "partial"}
            if size in ("month", "year", PERIOD_SIZE.name):  # longer than the calendar
                continue
            cut = [
                (max(at for at in all_edges if at <= start), start),
                (end, min(at for at in all_edges if at >= end)),
            ]
            missing = [each for each in cut if each[1] == bucket[0] or each[0] == bucket[1]]
            assert sums_found["partial"] == reckoned_partial(stored, ways, missing)

    async def _compare_demand(
        self,
        case: Case,
        stored: Mapping[int, StoredMeter],
        calendar: Calendar,
        params: dict[str, str],
        windows: tuple[Window, ...],
    ) -> None:
        """Compare the peaks and the profile of a period."""
        asked_for = {name: text for name, text in params.items() if "date" in name or name == "end"}
        asked_for["quality"] = params["quality"]
        peaks = GroupPeaks.of({**asked_for, "number": "7", "separation": "5400"})
        by_time = GroupProfile.of({**asked_for, "by": "day_type", "percentiles": "10,50"})
        ways = [*ways_to(case, 1, calendar)]
        start, end = period(calendar, ways, stored, params, windows)
        try:
            metadata, rows = await answered(self._reader, "g1", peaks, windows)
            _, times = await answered(self._reader, "g1", by_time, windows)
        except QueryError as error:
            # Thousands of seconds divide no day.
            if "1000 of m" in str(error):
                return
            raise
        if start is None or end is None or start >= end:
            assert rows == times == []
            return
        if windows:
            shown = calendar.start_of(windows[0].first), calendar.start_of(windows[0].last + DAY)
            stored = {number: meter.shown(*shown) for number, meter in stored.items()}
        seconds = int(metadata["demand_seconds"])
        edges = [at for at in calendar.edges(seconds) if start < at < end]
        reckoned_demands = []
        for bucket in pairwise([start, *edges, end]):
            is_clean = params["quality"] == "clean"
            reckoned = reckoned_sums(
                stored, ways, bucket, MOST_NAMED, is_clean=is_clean, of_demand=True
            )
            energy = reckoned["energy"]
            demand = None if energy is None else Fraction(energy * 3600, bucket[1] - bucket[0])
            reckoned_demands.append((bucket, demand, reckoned))
        assert rows == highest(reckoned_demands, 7, 5400)
        assert times == by_time_of_day(reckoned_demands, calendar, seconds)


Demands = Sequence[tuple[tuple[int, int], Fraction | None, dict[str, Any]]]


def highest(found: Demands, number: int, separation: int) -> list[dict[str, Any]]:
    """The peaks of demands in intervals, taken one by one."""
    rows: list[dict[str, Any]] = []
    known = [each for each in found if each[1] is not None]
    for (start, end), demand, reckoned in sorted(known, key=lambda d: (-(d[1] or 0), d[0])):
        if len(rows) < number and all(abs(row["date"] - start) >= separation for row in rows):
            assert demand is not None
            row = {"date": start, "end": end, "demand": rounded(demand)}
            rows.append(row | {field.name: reckoned[field.name] for field in GROUP_COVERAGE})
    return rows


def by_time_of_day(found: Demands, calendar: Calendar, seconds: int) -> list[dict[str, Any]]:
    """The profile of demands in intervals of so many seconds, by type of day."""
    times: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for demand in found:
        local = calendar.local(demand[0][0])
        time = (local - local.replace(hour=0, minute=0, second=0)).seconds // seconds * seconds
        if demand[2]["members"]:
            times[max(local.weekday(), 4), time].append(demand)
    rows = []
    for (weekday, time), some in sorted(times.items()):
        known = [(end - start, demand) for (start, end), demand, _ in some if demand is not None]
        ranked = sorted(rounded(demand) for _, demand in known)
        lacking = {name for *_, each in some for name in each["lacking"].split()}
        mean = least = greatest = tenth = middle = None
        if known:
            weighed = sum(length * demand for length, demand in known)
            mean = rounded(weighed / sum(length for length, _ in known))
            least, greatest = ranked[0], ranked[-1]
            tenth, middle = (ranked[-(-each * len(ranked) // 100) - 1] for each in (10, 50))
        rows.append(
            {
                "day_type": {4: "working_day", 5: "saturday", 6: "sunday"}[weekday],
                "time": f"{time // 3600:02}:{time // 60 % 60:02}:{time % 60:02}",
                "intervals": len(known),
                "mean": mean,
                "min": least,
                "max": greatest,
                "p10": tenth,
                "p50": middle,
                "incomplete": sum(each["members_lacking"] > 0 for *_, each in some),
                "lacking": " ".join(sorted(lacking)[:MOST_NAMED]),
            }
        )
    return rows


def test_sums_of_groups_are_those_of_all_readings_of_their_members(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.configure(meter={"timezone": ZONE})
    for module in (sums, profile, group_arrays):
        monkeypatch.setattr(module, "MAX_NAMED", MOST_NAMED)

    async def check(runner: Comparison, case: Case, at_once: int) -> None:
        monkeypatch.setattr(aggregate, "METERS_AT_ONCE", at_once)
        monkeypatch.setattr(aggregate, "_PIECES", {"day": at_once, "week": 1})
        monkeypatch.setattr(aggregate, "_SHORT_PIECE", 20 * at_once)
        monkeypatch.setattr(scan, "STEPS_AT_ONCE", at_once)
        monkeypatch.setattr(demands, "_AT_ONCE", 40 * at_once)
        monkeypatch.setattr(demands, "_EDGES_AT_ONCE", 20)
        await runner.check(case)

    with asyncio.Runner() as runner:
        writer, reader = open_importer(database.settings), open_database(database.settings)
        comparison = Comparison(writer, reader)
        runner.run(comparison.prepare())

        # A smaller seed is no simpler case.
        @settings(deadline=None, max_examples=8, phases=[Phase.generate])
        @given(st.integers(0, 10**9), st.sampled_from([1, 3]))
        def check_all(seed: int, at_once: int) -> None:
            chance = random.Random(seed)  # noqa: S311 - test data
            runner.run(check(comparison, case_of(chance), at_once))

        try:
            check_all()
        finally:
            runner.run(reader.close())
            runner.run(writer.engine.close())


@pytest.fixture
async def three(database: DatabaseFixture) -> AsyncIterator[Database]:
    """The group g1 of a, b and c, of which a counts twice, and b is subtracted; c is elsewhere."""
    for meter, zone in (("a", ZONE), ("b", ZONE), ("c", "Asia/Kolkata")):
        database.configure(meter={"timezone": zone})
        lines = numbered(quarters("2019-07-30", 300, ZoneInfo(zone)))
        await database.load(report(*lines), meter=meter, register=True)
    database.configure(meter={"timezone": ZONE})
    async with database.writer() as writer, database.reader() as reader:
        assert await writer.engine.is_prepared()
        a, b, c = [meter.id for meter in await writer.meters.first(3)]
        always = None, None
        edges = [(1, a, None, 1, *always), (1, b, None, -1, *always), (1, None, 2, 1, *always)]
        await add_groups(writer, [*edges, (2, a, None, 1, *always), (2, c, None, 1, *always)])
        yield reader


async def test_result_says_once_how_members_differ(three: Database) -> None:
    metadata, rows = await answered(three, "g1", GroupAggregate.of({"interval": "month"}))
    assert metadata["other_timezones"] == {"c": "Asia/Kolkata"}
    assert metadata["counted_repeatedly"] == {"a": "2 times"}
    assert (metadata["timezone"], metadata["interval_seconds"]) == (ZONE, "900")
    assert "other_intervals" not in metadata
    assert [row["members"] for row in rows] == [3, 3]


async def test_power_is_null_where_a_member_is_counted_for_a_part_of_the_time(
    database: DatabaseFixture, three: Database
) -> None:
    await database.rows("DELETE FROM group_members WHERE group_id = 2")
    await database.rows("UPDATE group_members SET first_day = '2019-07-31' WHERE meter_id = 2")
    days = {"date": "2019-07-30 00:00:00", "end_date": "2019-08-01", "end": "exclusive"}
    for interval, members, powers in (("day", [1, 2], [True, True]), ("week", [2], [False])):
        _, rows = await answered(three, "g1", GroupAggregate.of({"interval": interval, **days}))
        assert [row["members"] for row in rows] == members
        assert [row["power_mean"] is not None for row in rows] == powers


@pytest.mark.parametrize("interval", ["day", "hour"])
async def test_exported_energy_and_estimated_readings_count_as_often_as_their_meters(
    database: DatabaseFixture, three: Database, interval: str
) -> None:
    """The meter a counts twice, and b is subtracted; the days are kept, the hours are not."""
    first = datetime(2019, 8, 4, 22, tzinfo=UTC)
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        for meter, exported in zip(await writer.meters.first(2), (300_000, 100_000), strict=True):
            readings: list[tuple[datetime, Values]] = [
                (
                    first + timedelta(minutes=15) * number,
                    [*[10**5] * 8, exported, None, 1 if number % 4 else None],
                )
                for number in range(96)
            ]
            await writer.engine.begin()
            await writer.imports.load(Part(ZoneInfo(ZONE), readings), meter)
            await writer.engine.commit()
    query = GroupAggregate.of(
        {
            "interval": interval,
            "columns": "exported_energy,exported_reactive_energy",
            "date": "2019-08-05",
            "end_date": "2019-08-05 23:59:59",
        }
    )
    _, rows = await answered(three, "g1", query)
    times = 96 // len(rows)
    assert {row["exported_energy"] for row in rows} == {(2 * 300_000 - 100_000) * times}
    assert {row["exported_energy_members"] for row in rows} == {2}
    assert {row["exported_reactive_energy"] for row in rows} == {None}
    assert {row["exported_reactive_energy_members"] for row in rows} == {0}
    assert {row["estimated"] for row in rows} == {3 * times * 3 // 4}


async def test_demand_is_of_intervals_that_all_divide_without_catch_ups(
    database: DatabaseFixture,
) -> None:
    """Two intervals of 10 minutes and three of 15 make none shorter than half an hour."""
    begin = datetime(2019, 7, 30, tzinfo=ZoneInfo(ZONE))
    for meter, minutes in (("a", 10), ("b", 15)):
        moments = [begin + timedelta(minutes=minutes * number) for number in range(12)]
        lines = [row(f"{at:%d %b %Y %H:%M:%S}", str(number)) for number, at in enumerate(moments)]
        await database.load(report(*lines), meter=meter, register=True, interval=60 * minutes)
    database.run(f"INSERT INTO flags (meter_id, reading_id, flags) VALUES (1, 12, {CATCH_UP.bit})")
    async with database.writer() as writer, database.reader() as reader:
        assert await writer.engine.is_prepared()
        ids = [meter.id for meter in await writer.meters.first(2)]
        await add_groups(writer, [(1, each, None, 1, None, None) for each in ids])
        metadata, rows = await answered(reader, "g1", GroupPeaks.of({"number": "2"}))
        assert metadata["demand_seconds"] == "1800"
        # Of 10 minutes: 9 and 10, not 11; of 15 minutes: 6 and 7; and later 10 and 11 alone.
        assert [(each["demand"], each["lacking"]) for each in rows] == [
            (2 * (9 + 10 + 6 + 7) * 10**5, "a"),
            (2 * (10 + 11) * 10**5, "a"),
        ]
        await database.rows("UPDATE intervals SET seconds = 1000 WHERE meter_id = 1")
        await database.rows("UPDATE meters SET interval_seconds = 1000 WHERE id = 1")
        with pytest.raises(QueryError, match="in seconds: 1000 of a, 900 of b"):
            await answered(reader, "g1", GroupProfile.of({}))


async def test_sums_are_exact_when_they_exceed_64_bits(database: DatabaseFixture) -> None:
    """The days are not those of the group: it has the usual zone, since its members differ."""
    greatest = 10**15 - 1
    most = f"{greatest // 10**5}.{greatest % 10**5}"
    for meter, zone in (("a", "Asia/Kolkata"), ("b", "Asia/Kathmandu")):
        database.configure(meter={"timezone": zone})
        moments = quarters("2019-07-30", 300, ZoneInfo(zone))
        lines = [row(moment, most, "", f"-{most}") for moment in moments]
        await database.load(report(*lines), meter=meter, register=True)
    database.configure(meter={"timezone": ZONE})
    day = {"date": "2019-07-31", "end_date": "2019-07-31 23:59:59"}
    async with database.writer() as writer, database.reader() as reader:
        assert await writer.engine.is_prepared()
        ways = [(1, each, None, 1, None, None) for each in (1, 2, 2)]
        await add_groups(writer, [*ways, *[(1, 1, None, 1, None, None)] * 98])
        _, (summed,) = await answered(reader, "g1", GroupAggregate.of({"interval": "day", **day}))
        _, peaks = await answered(reader, "g1", GroupPeaks.of({"number": "1", **day}))
        _, times = await answered(reader, "g1", GroupProfile.of({"by": "none", **day}))
    assert (summed["energy"], summed["power_mean"]) == (101 * 96 * greatest, -101 * greatest)
    assert [each["demand"] for each in peaks] == [4 * 101 * greatest]
    assert {(each["mean"], each["p50"]) for each in times} == {(4 * 101 * greatest,) * 2}


async def test_period_of_several_windows_is_refused_and_named(three: Database) -> None:
    windows = (Window(date(2019, 7, 30), date(2019, 7, 30)), Window(date(2019, 8, 1)))
    query = GroupAggregate.of({"interval": "day"})
    with pytest.raises(QueryError, match=r"from 2019-07-30 to 2019-07-30, from 2019-08-01"):
        await answered(three, "g1", query, windows)
    one = GroupAggregate.of({"interval": "day", "date": "2019-07-31", "end_date": "2019-08-01"})
    _, rows = await answered(three, "g1", one, windows)
    assert len(rows) == 1


@pytest.mark.parametrize("query", [GroupAggregate, GroupRanking])
async def test_sums_fail_if_a_member_changes_meanwhile(
    database: DatabaseFixture,
    three: Database,
    query: type[GroupAggregate | GroupRanking],
) -> None:
    state = await three.group_state("g1")
    assert state is not None
    table = await three.group_figures(query.of({"interval": "day"}), state)
    await database.load(report(*numbered(quarters("2019-09-01", 1))), meter="b")
    with pytest.raises(Overtaken):
        _ = [rows async for rows in table.rows]


async def test_state_of_a_group_moves_with_its_members_and_their_data_alone(
    database: DatabaseFixture, three: Database
) -> None:
    states = [await three.group_state("g1"), await three.group_state("g2")]

    async def moved() -> list[bool]:
        before = [*states]
        states[:] = [await three.group_state("g1"), await three.group_state("g2")]
        return [one != other for one, other in zip(before, states, strict=True)]

    assert await moved() == [False, False]
    await database.load(report(*numbered(quarters("2019-09-01", 1))), meter="b")
    assert await moved() == [True, False]
    await database.load(report(*numbered(quarters("2019-09-01", 1))), meter="c")
    assert await moved() == [True, True]
    await database.rows("UPDATE readings SET energy = 1 WHERE meter_id = 1 AND id = 1")
    assert await moved() == [True, True]
    await database.rows("UPDATE access SET changes = changes + 1")
    assert await moved() == [True, True]
    assert await three.group_state("g9") is None


async def test_group_that_has_itself_in_turn_is_an_error(
    database: DatabaseFixture, three: Database
) -> None:
    await database.rows(
        "INSERT INTO group_members (group_id, id, member_group_id, sign) VALUES (2, 99, 1, 1)"
    )
    with pytest.raises(StorageError, match="itself"):
        await answered(three, "g1", GroupAggregate.of({"interval": "day"}))


async def test_ranking_tells_what_each_member_adds_to_the_group(
    database: DatabaseFixture, three: Database
) -> None:
    await database.rows("UPDATE meters SET area = 50.5 WHERE public_id = 'a'")
    state = await three.group_state("g1")
    assert state is not None
    params = {"date": "2019-07-31 00:00:00", "end_date": "2019-07-31"}
    table = await three.group_figures(GroupRanking.of(params), state)
    rows = [row async for rows in table.rows for row in rows]
    names = [field.name for field in table.fields]
    a, c, b = (dict(zip(names, row, strict=True)) for row in rows)
    of_day = sum(range(97, 193)) * 10**5
    # The day in Madrid is three and a half hours later than that in Kolkata.
    of_c = sum(range(97 + 14, 193 + 14)) * 10**5
    assert [a["energy"], c["energy"], b["energy"]] == [2 * of_day, of_c, -of_day]
    assert [each["meter"] for each in (a, c, b)] == ["a", "c", "b"]
    total = of_day + of_c
    assert a["share"] == rounded(Fraction(2 * of_day * 10**5, total))
    assert (a["area"], a["energy_per_m2"]) == (
        5_050_000,
        rounded(2 * of_day / Fraction("50.5")),
    )
    assert (b["area"], b["energy_per_m2"], b["maximeter"], b["maximeter_date"]) == (None,) * 4
    assert [(each["expected"], each["present"], each["coverage"]) for each in (a, b, c)] == [
        (96, 96, 10**5)
    ] * 3


async def test_ranking_by_demand_tells_its_time(database: DatabaseFixture) -> None:
    for meter, demand in (("a", 5), ("b", 9)):
        moments = quarters("2019-07-30", 200)
        lines = [
            row(moment, "1", "", "", str(demand if number in (50, 120) else 1))
            for number, moment in enumerate(moments)
        ]
        await database.load(report(*lines), meter=meter, register=True)
    async with database.writer() as writer, database.reader() as reader:
        assert await writer.engine.is_prepared()
        await add_groups(writer, [(1, each, None, 1, None, None) for each in (1, 2)])
        for left_out, params in ((0, {}), (4, {"date": "2019-07-30 01:00:00"})):
            query = GroupRanking.of({"by": "maximeter", **params})
            state = await reader.group_state("g1")
            assert state is not None
            table = await reader.group_figures(query, state)
            rows = [row async for rows in table.rows for row in rows]
            at = int(datetime(2019, 7, 30, 12, 30, tzinfo=ZoneInfo(ZONE)).timestamp())
            assert [row[0] for row in rows] == ["b", "a"]
            assert [row[2] for row in rows] == [(200 - left_out) * 10**5] * 2
            assert [row[6:8] for row in rows] == [(9 * 10**5, at), (5 * 10**5, at)]
