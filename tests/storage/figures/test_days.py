"""Figures from the sums of days are those of a scan, and are used while nobody changes readings."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.quantities import ALL_QUANTITIES, ALL_QUANTITY_NAMES, QUANTITY_NAMES
from storage.backends import day_sums
from storage.database import Database
from storage.factory import WritableDatabase, open_database, open_importer
from storage.figures.aggregate import Aggregate
from storage.figures.data_quality import DataQuality
from storage.figures.days import stretches
from storage.figures.meter_info import MeterInfo
from storage.figures.peaks import Peaks
from storage.figures.profile import Profile
from storage.figures.result import FigureQuery
from storage.figures.summary import Summary
from storage.figures.sums.measures import parse_measures
from storage.imports.appended import KeptDay
from storage.imports.days import DayUpdater
from storage.imports.merging import MergeOptions
from tests.support.databases import DatabaseFixture, MariadbDatabase
from tests.support.direct_parts import Part, Values
from tests.support.mariadb import MariaDB
from tests.support.reference_days import kept_days, reckoned_days
from tests.support.report_factory import numbered, quarters, report, row

STARTS = {
    "Europe/Madrid": [(2019, 10, 25), (2019, 3, 28), (2019, 12, 27)],
    "Australia/Lord_Howe": [(2019, 4, 3), (2019, 10, 2)],
    "Asia/Kolkata": [(2019, 12, 27)],
    # Clocks went back at 0:01, so that the last hour of the day came again after midnight.
    "America/St_Johns": [(2006, 10, 26), (2009, 10, 29)],
}


@dataclass(frozen=True)
class Case:
    zone: str
    imports: list[Part]
    questions: list[tuple[FigureQuery, dict[str, str]]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Imports of a few days, in order, late and corrected, and questions about them."""
    zone = draw(st.sampled_from([*STARTS]))
    first = datetime(*draw(st.sampled_from(STARTS[zone])), tzinfo=ZoneInfo(zone)).astimezone(UTC)
    chance = random.Random(draw(st.integers(0, 10**6)))  # noqa: S311 - test data
    length = draw(st.integers(1, 900))
    gaps = draw(st.lists(st.tuples(st.integers(0, 900), st.integers(1, 200)), max_size=3))
    absent = {place for at, size in gaps for place in range(at, at + size)}
    is_full = draw(st.booleans())
    readings = {}
    for place in range(length):
        if place in absent and place:
            continue
        at = first + timedelta(seconds=place * 900 + chance.choice([0] * 40 + [7, 410]))
        readings[at] = values(chance, is_full=is_full)
    order = [*readings]
    cut = draw(st.integers(0, len(order)))
    late = {at for at in order if chance.random() < draw(st.sampled_from([0, 0.05]))}
    parts = [
        [at for at in order[cut:] if at not in late],
        [at for at in order[:cut] if at not in late],
        [at for at in order if at in late],
        [at for at in order if chance.random() < draw(st.sampled_from([0, 0.02]))],
    ]
    chance.shuffle(parts[2])
    imports = [
        Part(
            ZoneInfo(zone),
            [(at, readings[at] if n < 3 else values(chance, is_full=is_full)) for at in part],
        )
        for n, part in enumerate(parts)
        if part
    ]
    return Case(zone, imports, draw(st.lists(questions(first, length), min_size=6, max_size=6)))


def values(chance: random.Random, *, is_full: bool) -> Values:
    """Quantities of a reading, some missing; few maximeters, and energy that may exceed them.

    If it is full, also what was exported, and whether it was estimated.
    """
    names = ALL_QUANTITY_NAMES if is_full else QUANTITY_NAMES
    mark = [chance.choice([None, 1])] if is_full else []
    if chance.random() < 0.03:
        return [None] * len(names) + mark
    peak = chance.randrange(3, 7) * 50_000
    some = {name: chance.randrange(-(10**7), 10**8) for name in names}
    some |= {"maximeter": peak, "energy": peak // 4 * chance.choice([1] * 30 + [3, 9000])}
    some["voltage"] = chance.choice([0, 23_000_000])
    return [None if chance.random() < 0.03 else some[name] for name in names] + mark


@st.composite
def questions(draw: st.DrawFn, first: datetime, length: int) -> tuple[FigureQuery, dict[str, str]]:
    """A figure about some time, and its parameters."""
    params = {"quality": draw(st.sampled_from(["raw", "clean"]))}
    ends = sorted(draw(st.tuples(*[st.integers(-50, length + 50)] * 2)))
    for name, place in zip(("date", "end_date"), ends, strict=True):
        if draw(st.booleans()):
            params[name] = f"{first + timedelta(seconds=900 * place):%Y-%m-%d %H:%M:%S}"
    params["end"] = draw(st.sampled_from(["inclusive", "exclusive"]))
    kinds: list[type[Aggregate | Summary | DataQuality]] = [Aggregate, Summary, DataQuality]
    kind = draw(st.sampled_from([Aggregate, *kinds]))
    measures = None
    if kind is Aggregate:
        params["interval"] = draw(st.sampled_from(["day", "week", "month", "year"]))
        columns = draw(st.none() | st.sets(st.sampled_from(ALL_QUANTITY_NAMES), min_size=1))
        measures = parse_measures(",".join(columns) if columns else None, ALL_QUANTITIES)
        zone = draw(st.sampled_from([None, None, "Europe/Madrid", "Asia/Kolkata"]))
        if zone:
            params["timezone"] = zone
    if kind is DataQuality:
        params["list"] = "days"
    query = kind.of(params)
    if isinstance(query, Aggregate):
        assert measures is not None
        return replace(query, measures=measures), params
    return replace(query, is_wide=True) if isinstance(query, Summary) else query, params


async def answered(reader: Database, query: FigureQuery, meter: str) -> tuple[Any, list[Any]]:
    table = await reader.figures(query, await reader.state(meter))
    return table.metadata, [row async for rows in table.rows for row in rows]


async def marked(writer: WritableDatabase, meter_id: int, changes: int) -> None:
    """Pretend that another program has changed so many readings."""
    await writer.engine.begin()
    await writer.engine.execute(
        f"UPDATE states SET changes = {changes} WHERE meter_id = {meter_id}"
    )
    await writer.engine.commit()


MOMENTS = quarters("2019-07-30", 300)
LINES = numbered(MOMENTS)
BY_DAY = Aggregate.of({"interval": "day", "columns": "energy"})


async def by_day(database: DatabaseFixture) -> list[Any]:
    async with database.reader() as reader:
        return [row[2] for row in (await answered(reader, BY_DAY, "main"))[1]]


async def test_days_are_used_until_another_program_changes_readings(
    database: DatabaseFixture,
) -> None:
    await database.load(report(*LINES))
    scale = 1 if database.kind == "mariadb" else 10**5
    await database.rows(f"UPDATE days SET energy = {7 * scale} WHERE day = '2019-07-31'")
    before = await by_day(database)
    assert before[:3] == [sum(range(1, 97)) * 10**5, 7 * 10**5, sum(range(193, 289)) * 10**5]
    await database.rows(f"UPDATE readings SET energy = {5 * scale} WHERE id = 1")
    sums = [sum(range(1, 97)) + 4, sum(range(97, 193)), sum(range(193, 289)), sum(range(289, 301))]
    assert await by_day(database) == [energy * 10**5 for energy in sums]


async def test_import_makes_all_days_anew_after_another_program_changed_readings(
    database: DatabaseFixture,
) -> None:
    await database.load(report(*LINES))
    await database.rows("DELETE FROM readings WHERE id BETWEEN 97 AND 192")
    await database.rows("UPDATE readings SET energy = 3 WHERE id = 1")
    await database.load(report(LINES[-1]))
    assert [*await database.rows("SELECT changes FROM states")] == [(0,)]
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        days = await kept_days(writer.engine)
        assert days == await reckoned_days(writer.engine)
    assert [day for _, day, _ in days] == ["2019-07-30", "2019-08-01", "2019-08-02"]


async def test_import_sums_up_no_other_days_than_those_it_touches(
    database: DatabaseFixture,
) -> None:
    await database.load(report(*LINES[:200]))
    await database.rows("UPDATE days SET readings = 7")
    await database.load(report(row(MOMENTS[199], "5"), *LINES[200:]))
    rows = await database.rows("SELECT readings FROM days ORDER BY day")
    assert [readings for (readings,) in rows] == [7, 7, 96, 12]


async def test_import_of_many_days_sums_them_up_without_their_implausible_readings(
    database: DatabaseFixture,
) -> None:
    """On some days such a reading is one of the extremes, on others it is not."""
    lines = []
    for number, moment in enumerate(quarters("2019-08-01", 12 * 96)):
        level = 50 + (number * 37) % 96
        is_implausible = number % 96 == 48
        energy, maximeter = (900, 1) if is_implausible else (level, 400)
        if is_implausible and number % 5 == 0:
            level = 500
        lines.append(row(moment, *map(str, (energy, level, level, maximeter, *[level] * 3, 1))))
    await database.load(report(*lines))
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        days = await kept_days(writer.engine)
        assert days == await reckoned_days(writer.engine)
    assert len(days) == 2 * 12


def plain_rows(moments: Sequence[str], chance: random.Random) -> list[str]:
    """Rows without flags, in any order: some values are missing, zero or negative."""
    rows = []
    for moment in moments:
        maximeter = chance.randrange(1, 50)
        some = ["0", "-0.001", f"{chance.randrange(-999, 999) / 100}", ""]
        energy, reactive_energy = f"{maximeter / 5}", chance.choice(some)
        power, reactive_power = chance.choice(some), chance.choice(some)
        values = (energy, reactive_energy, power, str(maximeter), reactive_power)
        quantities = [chance.choice([value, value, value, ""]) for value in values]
        voltage, factor = chance.choice([("230.1", "0.98765"), ("", "0.98765"), ("230.1", "")])
        rows.append(row(moment, *quantities, voltage, chance.choice(["", "3"]), factor))
    chance.shuffle(rows)
    return rows


async def test_days_of_a_short_report_without_flags_are_summed_up_from_its_rows(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where clocks change; later days are added to those that are there."""
    from_rows: list[str] = []
    add = DayUpdater.add

    async def noted(updater: DayUpdater, meter_id: int, days: Sequence[KeptDay]) -> None:
        from_rows.extend(each.day for each in days)
        await add(updater, meter_id, days)

    monkeypatch.setattr(DayUpdater, "add", noted)
    chance = random.Random(1)  # noqa: S311 - test data
    moments = quarters("2019-03-27", 5 * 96)
    # No such local times: clocks went forward.
    moments = [each for each in moments if not each.startswith("31 Mar 2019 02:")]
    for begin, end in ((0, 96), (96, 288), (288, 290), (384, 476)):
        await database.load(report(*plain_rows(moments[begin:end], chance)))
    first = datetime(2019, 4, 1, tzinfo=UTC)
    some: Values = [100_000, None, None, 800_000, *[None] * 4]
    exported = [[*some, chance.randrange(10**6), None, None] for _ in range(80)]
    times = [first + timedelta(minutes=15) * number for number in range(80)]
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        await writer.engine.begin()
        (meter,) = await writer.meters.first(2)
        part = Part(ZoneInfo("Europe/Madrid"), [*zip(times, exported, strict=True)], None)
        await writer.imports.load(part, meter)
        await writer.engine.commit()
        assert not await writer.engine.fetch("SELECT * FROM flags")
        days = await kept_days(writer.engine)
        assert days == await reckoned_days(writer.engine)
    known = [*(f"2019-03-{day}" for day in range(27, 32)), "2019-04-01"]
    assert [day for _, day, _ in days] == from_rows == known


async def test_figures_ask_to_scan_what_they_read_beside_kept_days(
    database: DatabaseFixture,
) -> None:
    day, hours = 96, 4
    await database.load(report(*numbered(quarters("2019-08-01", 30 * day))))

    async def asked(query: FigureQuery) -> int:
        admitted: list[int] = []

        async def admit(readings: int) -> None:
            admitted.append(readings)

        async with database.reader() as reader:
            table = await reader.figures(query, await reader.state(), admit)
            async for _ in table.rows:
                pass
        (readings,) = admitted
        return readings

    async def by_day(**period: str) -> int:
        return await asked(Aggregate.of({"interval": "day", **period}))

    whole = {"date": "2019-08-02", "end_date": "2019-08-05", "end": "exclusive"}
    cut = {"date": "2019-08-02 21", "end_date": "2019-08-05 01", "end": "exclusive"}
    assert await by_day() == 0
    assert await by_day(**whole) == 0
    assert await by_day(date="2019-08-01 00", end_date="2020") == 0
    assert await by_day(**cut) == (3 + 1) * hours
    assert await by_day(date="2019-08-30 20") == 4 * hours
    assert await by_day(end_date="2019-08-01 01", end="exclusive") == hours
    assert await by_day(**(whole | {"date": "2019-08-04 21"})) == 3 * hours
    assert await by_day(date="2019-08-02 21", end_date="2019-08-02 22:45") == 2 * hours
    assert await asked(DataQuality.of({"list": "days", **cut})) == (3 + 1) * hours
    assert await by_day(**whole, timezone="UTC") == 3 * day
    scanning: list[FigureQuery] = [
        *(Aggregate.of({"interval": "hour", **whole}), Summary.of(whole), Peaks.of(whole)),
        *(Profile.of(whole), DataQuality.of({"list": "gaps", **whole})),
    ]
    assert [await asked(query) for query in scanning] == [3 * day] * len(scanning)
    assert await asked(MeterInfo()) == 0
    await database.rows("UPDATE readings SET energy = 1 WHERE id = 5")  # of another program
    assert await by_day(**whole) == 3 * day


@pytest.mark.parametrize(("interval", "caught_up"), [("day", 11), ("hour", 83)])
async def test_no_later_readings_are_read_to_find_from_when_the_energy_of_a_catch_up_is(
    mariadb: MariaDB, tmp_path: Path, interval: str, caught_up: int
) -> None:
    moments = quarters("2019-08-01", 3000)
    power = ("0", "4", "4")
    lines = [row(at, "1.0", *power) for at in moments]
    for last in range(23, 2999, 36):
        lines[last] = row(moments[last], "", *power)
        lines[last + 1] = row(moments[last + 1], "2.1", *power)
    with MariadbDatabase(tmp_path, mariadb) as database:
        await database.load(report(*lines))
        reads = "SHOW GLOBAL STATUS LIKE 'Handler_read_prev'"
        async with database.reader() as reader:
            query = Aggregate.of({"interval": interval, "columns": "energy"})
            ((_, before),) = await database.rows(reads)
            _, rows = await answered(reader, query, "main")
            ((_, after),) = await database.rows(reads)
        at = [field.name for field in query.fields].index("energy_since")
        assert sum(values[at] is not None for values in rows) == caught_up
        assert int(after) - int(before) < 1000


def test_figures_from_days_are_those_of_a_scan(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "CHUNK_DAYS", 5)
    numbers = count(1)

    async def check(case: Case, few_days: int) -> None:
        monkeypatch.setattr(day_sums, "FEW_DAYS", few_days)
        name = f"m{next(numbers)}"
        await writer.engine.begin()
        meter = await writer.meters.register(name, case.zone)
        for part in case.imports:
            await writer.imports.load(
                part, meter, MergeOptions(empty_erases=True, is_confirmed=True)
            )
        kept, reckoned = await kept_days(writer.engine), await reckoned_days(writer.engine)
        await writer.engine.commit()
        assert kept == reckoned
        from_days = [await answered(reader, query, name) for query, _ in case.questions]
        await marked(writer, meter.id, 1)
        for (query, params), found in zip(case.questions, from_days, strict=True):
            assert found == await answered(reader, query, name), params
        await writer.engine.begin()
        for table in ("readings", "flags", "days"):
            await writer.engine.execute(f"DELETE FROM {table}")
        await writer.engine.commit()

    with asyncio.Runner() as runner:

        async def prepare() -> None:
            async for _ in writer.engine.prepare():
                pass
            await writer.engine.admit_reader()

        writer = open_importer(database.settings)
        runner.run(prepare())
        reader = open_database(database.settings)

        @settings(deadline=None, max_examples=15)
        @given(cases(), st.sampled_from([1, 7]))
        def check_all(case: Case, few_days: int) -> None:
            runner.run(check(case, few_days))

        try:
            check_all()
        finally:
            runner.run(reader.close())
            runner.run(writer.engine.close())
