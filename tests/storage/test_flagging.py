"""Flags of readings: the same however the readings came in, and those of a plain model."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain import flags
from domain.flags import CATCH_UP, FLAGS, MISSING
from domain.quantities import QUANTITY_NAMES
from domain.report_source import RowBatch
from domain.time.sampling_interval import Differences, IntervalSpan
from loader.sample import GAPS, IMPLAUSIBLE_READINGS
from settings import QualitySettings
from storage.factory import WritableDatabase, open_importer
from storage.imports.merging import MergeOptions
from tests.support.databases import DatabaseFixture
from tests.support.paths import ROOT
from tests.support.reference_days import Days, kept_days, reckoned_days
from tests.support.report_factory import MADRID, quarters, report, row

DOCUMENT = ROOT / "docs" / "reference" / "quality.md"
SUMMER = quarters("2019-08-01", 12)
FLAGGED = "SELECT reading_id, flags FROM flags WHERE meter_id = 1 ORDER BY reading_id"
ORDINARY = ("1", "0", "4", "4")
ERASING = MergeOptions(empty_erases=True, is_confirmed=True)


async def flagged(database: DatabaseFixture) -> dict[int, int]:
    return dict(await database.rows(FLAGGED))


# The sample


async def test_faults_of_the_sample_are_flagged(sample: DatabaseFixture) -> None:
    flags = await flagged(sample)
    found = {flag.name: [n for n, bits in flags.items() if bits & flag.bit] for flag in FLAGS}
    assert found["missing"] == [n for gap, length in GAPS.items() for n in range(gap, gap + length)]
    assert len(found["missing"]) == 113
    # After most gaps of one, the energy is still within the tolerance.
    assert found["catch_up"] == [2013, 5327, 7153, 7157, 8801, 10145]
    assert set(found["catch_up"]) < {gap + length for gap, length in GAPS.items()}
    assert found["implausible"] == [*IMPLAUSIBLE_READINGS]
    assert len(found["zero_voltage"]) == 7
    assert len(found["repeated_hour"]) == 8


# What an import touches


async def test_readings_that_are_absent_are_a_gap_too(database: DatabaseFixture) -> None:
    rows = [row(SUMMER[0], *ORDINARY), row(SUMMER[4], "7", "0", "4", "4")]
    (summary,) = await database.load(report(*rows), interval=900)
    assert summary.imported is not None
    assert summary.imported.flags == {"catch_up": 1}
    (summary,) = await database.load(report(row(SUMMER[3], *ORDINARY)))
    assert summary.imported is not None
    assert summary.imported.flags == {}
    assert await flagged(database) == {}


async def test_correction_makes_and_takes_away_flags(database: DatabaseFixture) -> None:
    rows = [row(moment, *ORDINARY) for moment in SUMMER]
    await database.load(report(*rows))
    assert await flagged(database) == {}
    corrected = report(row(SUMMER[4], "99", "0", "4", "4"), row(SUMMER[5]))
    await database.load(corrected, empty_erases=True)
    assert await flagged(database) == {5: 4, 6: 1}
    await database.load(report(*rows))
    assert await flagged(database) == {}


async def test_import_that_changes_nothing_works_no_flag_out(database: DatabaseFixture) -> None:
    text = report(*(row(moment, *ORDINARY) for moment in SUMMER))
    await database.load(text)
    await database.rows("INSERT INTO flags VALUES (1, 3, 1)")
    await database.load(text)
    assert await flagged(database) == {3: 1}


async def test_new_thresholds_apply_to_all_readings_at_the_next_import(
    database: DatabaseFixture,
) -> None:
    rows = [row(moment, str(energy), "0", "4", "4") for energy, moment in enumerate(SUMMER, 20)]
    await database.load(report(*rows))
    assert await flagged(database) == dict.fromkeys(range(6, 13), 4)
    database.configure(quality={"maximeter_tolerance": "2.50", "maximeter_allowance": 100})
    await database.load(report(rows[0]))
    assert await flagged(database) == dict.fromkeys(range(9, 13), 4)
    (kept,) = await database.rows("SELECT quality FROM meters")
    assert kept[0] == (
        "maximeter_tolerance 2.5, maximeter_allowance 100 kW, interval 900 s, Europe/Madrid"
    )


async def test_database_without_flags_gets_them_at_the_next_import(
    database: DatabaseFixture,
) -> None:
    text = report(row(SUMMER[0], *ORDINARY), row(SUMMER[1]))
    await database.load(text)
    await database.rows("DELETE FROM flags")
    await database.rows("UPDATE meters SET quality = NULL")
    await database.load(text)
    assert await flagged(database) == {2: MISSING.bit}


async def test_flags_that_outlived_their_readings_are_forgotten(database: DatabaseFixture) -> None:
    """TRUNCATE fires no trigger."""
    await database.load(report(*map(row, SUMMER)))
    emptied = "TRUNCATE readings" if database.kind == "mariadb" else "DELETE FROM readings"
    await database.rows(emptied)
    await database.rows("DELETE FROM flags")
    await database.rows("INSERT INTO flags VALUES (1, 1, 1), (1, 2, 8), (1, 7, 1)")
    await database.load(report(row(SUMMER[0]), row(SUMMER[1], *ORDINARY)))
    assert await flagged(database) == {1: MISSING.bit}
    ((readings,),) = await database.rows("SELECT readings FROM states")
    assert readings == 2


async def test_energy_after_a_gap_of_years_looks_back_over_all_of_it(
    database: DatabaseFixture,
) -> None:
    first = row("1 Jan 1990 00:00:00", *ORDINARY)
    last = row("1 Jan 2019 00:00:00", "2000000", "0", "4", "4")
    hours = (datetime(2019, 1, 1, tzinfo=UTC) - datetime(1990, 1, 1, tzinfo=UTC)).days * 24
    assert 2_000_000 < hours * 4 * 2 < 2_100_000
    async with asyncio.timeout(10):
        await database.load(report(first, last), interval=900)
    assert await flagged(database) == {2: CATCH_UP.bit}
    await database.load(report(last, row("2 Jan 1990 00:00:00", "9", "0", "9", "9")))
    assert await flagged(database) == {2: CATCH_UP.bit, 3: CATCH_UP.bit}


async def test_thresholds_are_exact_where_products_are_longer_than_integers(
    database: DatabaseFixture,
) -> None:
    """Of readings every 11 seconds, energy times 40000 is compared with maximeter times 12221."""
    maximeter = next(m for m in range(10**15 - 1, 0, -1) if (m * 12221 + 1) % 40000 == 0)
    most = _text((maximeter * 12221 + 1) // 40000 - 1)
    over = _text((maximeter * 12221 + 1) // 40000)
    assert maximeter * 12221 > 2**63
    database.configure(quality={"maximeter_tolerance": "99.99", "maximeter_allowance": 0})
    await database.load(report(row("1 Aug 2019 00:00:00", *ORDINARY)))
    await database.rows("UPDATE meters SET interval_seconds = 11")
    power = _text(maximeter)
    rows = [
        row("1 Aug 2019 00:00:11", over, "0", power, power),
        row("1 Aug 2019 00:00:22", most, "0", power, power),
    ]
    await database.load(report(*rows))
    assert await flagged(database) == {2: flags.IMPLAUSIBLE.bit}


async def test_import_changes_the_verdict_on_an_energy_days_later(
    database: DatabaseFixture,
) -> None:
    """Twice 4 kW allow as much in 240 h, since the first reading, but not in the last 144 h."""
    last = row("11 Aug 2019 00:00:00", "1500", "0", "4", "4")
    await database.load(report(row(SUMMER[0], *ORDINARY), last), interval=900)
    assert await flagged(database) == {2: CATCH_UP.bit}
    async with asyncio.timeout(10):
        await database.load(report(row("5 Aug 2019 00:00:00", *ORDINARY)))
    assert await flagged(database) == {2: flags.IMPLAUSIBLE.bit}


@pytest.mark.parametrize(("energy", "flags"), [("24.5", {}), ("24.50001", {2: 4})])
async def test_energy_sooner_than_an_interval_is_judged_like_one_of_an_interval(
    database: DatabaseFixture, energy: str, flags: dict[int, int]
) -> None:
    """Twice 4 kW and 90 kW more, for a quarter of an hour, of which half has passed."""
    moments = ("1 Aug 2019 00:00:00", "1 Aug 2019 00:07:30")
    rows = row(moments[0], *ORDINARY), row(moments[1], energy, "0", "4", "4")
    await database.load(report(*rows), interval=900)
    assert await flagged(database) == flags


# Any readings in any order


@dataclass(frozen=True)
class Reading:
    """Quantities in hundred-thousandths, of which a flag may speak."""

    instant: datetime
    energy: int | None
    maximeter: int | None
    voltage: int | None
    intensity: int | None

    def line(self, number: int) -> str:
        local = self.instant.astimezone(MADRID)
        ahead = local.utcoffset()
        assert ahead is not None
        values = (self.energy, None, None, self.maximeter, None, self.voltage, self.intensity, None)
        head = f"{number},{local:%Y-%m-%d %H:%M:%S},{int(ahead.total_seconds())}"
        return ",".join([head, *map(_text, values)]) + "\n"


def _text(value: int | None) -> str:
    return "" if value is None else f"{Decimal(value).scaleb(-5):.5f}"


class Rows:
    """Readings on their way in, some in a block."""

    name = "rows"
    sha256 = "0" * 64
    rejected = 0
    differences = Differences()
    identifier = None
    missing = 1
    quantities = QUANTITY_NAMES
    tells_estimated = False
    format = "monitoring"

    def __init__(
        self, readings: Sequence[Reading], said_spans: Sequence[IntervalSpan] = ()
    ) -> None:
        self._readings = readings
        self.said_spans = said_spans
        if said_spans:
            instants = [int(reading.instant.timestamp()) for reading in readings]
            self.differences = Differences.of_runs((instant, (0,)) for instant in instants)
        times = [f"{reading.instant.astimezone(MADRID):%Y-%m-%d %H:%M:%S}" for reading in readings]
        self._times = times
        self.span = min(times), max(times)

    def batches(self) -> Iterator[RowBatch]:
        for at in range(0, len(self._readings), 5):
            some = self._readings[at : at + 5]
            lines = "".join(reading.line(at + n) for n, reading in enumerate(some, 1))
            times = self._times[at : at + 5]
            yield RowBatch(lines.encode(), len(some), min(times), max(times))


def model(
    readings: Sequence[Reading], terms: QualitySettings, interval: int
) -> dict[datetime, int]:
    """The rules, reading by reading."""
    tolerance, allowance = terms.maximeter_tolerance, terms.maximeter_allowance
    found = {}
    previous: datetime | None = None
    for reading in sorted(readings, key=lambda reading: reading.instant):
        names = set()
        values = (reading.energy, reading.maximeter, reading.voltage, reading.intensity)
        if all(value is None for value in values):
            names.add("missing")
        if reading.voltage == 0 and (reading.intensity or 0) > 0:
            names.add("zero_voltage")
        local = reading.instant.astimezone(MADRID).replace(tzinfo=None)
        folds = [local.replace(tzinfo=MADRID, fold=fold).utcoffset() for fold in (0, 1)]
        if folds[0] != folds[1]:
            names.add("repeated_hour")
        if reading.energy is not None:
            if reading.maximeter is not None and previous is not None:
                energy, maximeter = Decimal(reading.energy), Decimal(reading.maximeter)
                since = int((reading.instant - previous).total_seconds())
                # All three times 3,600 s/h, so that nothing is divided.
                own = maximeter * interval * tolerance
                more = allowance * 10**5 * interval
                if since > interval and energy * 3600 > own:
                    within = energy * 3600 <= maximeter * since * tolerance + more
                    names.add("catch_up" if within else "implausible")
                elif since <= interval and energy * 3600 > own and energy * 3600 > own + more:
                    names.add("implausible")
            previous = reading.instant
        if names:
            found[reading.instant] = sum(flag.bit for flag in FLAGS if flag.name in names)
    return found


LARGEST = 10**15 - 1
maximeters = st.sampled_from([10**6, 10**6, 1_246_600, None, 0, 500, -(10**5), LARGEST, -LARGEST])
thresholds = st.builds(
    QualitySettings,
    maximeter_tolerance=st.sampled_from([Decimal(n) for n in ("2", "1", "1.37", "2.5", "100")]),
    maximeter_allowance=st.sampled_from([Decimal(n) for n in ("0", "90", "0.01", "1000000")]),
)


@st.composite
def imports(draw: st.DrawFn) -> tuple[int, list[tuple[QualitySettings, list[Reading]]]]:
    """An interval, and imports one after the other with the thresholds then in force."""
    interval = draw(st.sampled_from([900, 900, 3600, 60]))
    terms = draw(thresholds)
    start = datetime(2019, 10, 26, 22, 0, tzinfo=UTC)
    places = draw(st.lists(st.integers(0, 30), min_size=1, max_size=20, unique=True))
    odd = st.sampled_from([0] * 9 + [1, 1, 420, 86_400 * 400, -86_400 * 9_000])

    def reading(instant: datetime) -> Reading:
        maximeter = draw(maximeters)
        since = draw(st.sampled_from([1, 1, 2, 3, 8])) * interval
        more = draw(st.sampled_from([0, 1])) * terms.maximeter_allowance * 10**5 * interval
        limit = int(((maximeter or 0) * since * terms.maximeter_tolerance + more) / 3600)
        near = min(max(limit + draw(st.integers(-1, 1)), -LARGEST), LARGEST)
        energy = draw(st.sampled_from([near, near, near, near, None, 0, LARGEST]))
        voltage = draw(st.sampled_from([None, 0, 230]))
        intensity = draw(st.sampled_from([None, 0, 5]))
        return Reading(instant, energy, maximeter, voltage, intensity)

    instants = {start + timedelta(seconds=place * interval + draw(odd)) for place in places}
    final = {instant: reading(instant) for instant in sorted(instants)}
    order = draw(st.permutations([*final]))
    steps = []
    for _ in range(draw(st.integers(0, 2))):  # earlier versions of some
        some = draw(st.lists(st.sampled_from(order), min_size=1, max_size=6, unique=True))
        steps.append((draw(thresholds), [reading(instant) for instant in some]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=4)) | {0, len(order)})
    for begin, end in pairwise(cuts):
        steps.append((terms, [final[instant] for instant in order[begin:end]]))
    return interval, steps


async def outcome(
    writer: WritableDatabase,
    interval: int,
    steps: Sequence[tuple[QualitySettings, Sequence[Reading]]],
    others: Sequence[Reading],
) -> list[dict[datetime, int]]:
    """The flags of a meter after some imports, and of another one that was there before.

    The sums of days are those of the readings and flags. The database has none, and stays so.
    """
    engine = writer.engine
    await engine.begin(keeps_triggers=True)
    try:
        other = await writer.meters.register("other", "Europe/Madrid")
        meter = await writer.meters.register("main", "Europe/Madrid")
        await engine.execute(f"UPDATE meters SET interval_seconds = {interval}")
        await WritableDatabase(engine, steps[0][0]).imports.load(Rows(others), other, ERASING)
        for terms, readings in steps:
            await WritableDatabase(engine, terms).imports.load(Rows(readings), meter, ERASING)
        assert await kept_days(engine) == await reckoned_days(engine)
        return [await flags_of(writer, found.id) for found in (meter, other)]
    finally:
        await engine.rollback()


async def flags_of(writer: WritableDatabase, meter: int) -> dict[datetime, int]:
    elapsed = writer.engine.dialect.unix_seconds("c.utc")
    rows: Sequence[Sequence[Any]] = await writer.engine.fetch(
        f"SELECT {elapsed}, f.flags FROM flags f JOIN readings c"
        f" ON c.meter_id = f.meter_id AND c.id = f.reading_id WHERE f.meter_id = {meter}"
    )
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return {epoch + timedelta(seconds=int(seconds)): flags for seconds, flags in rows}


def test_flags_are_those_of_the_model_however_the_readings_came_in(
    database: DatabaseFixture,
) -> None:
    with asyncio.Runner() as runner:

        async def prepare() -> None:
            async for _ in writer.engine.prepare():
                pass

        writer = open_importer(database.settings)
        runner.run(prepare())

        @settings(deadline=None, max_examples=50)
        @given(imports())
        def check(case: tuple[int, list[tuple[QualitySettings, list[Reading]]]]) -> None:
            interval, steps = case
            final = {reading.instant: reading for _, readings in steps for reading in readings}
            terms = steps[-1][0]
            expected = model([*final.values()], terms, interval)
            in_order = sorted(final.values(), key=lambda reading: reading.instant)
            # Readings of another meter, at the same times and between them, change nothing.
            half = timedelta(seconds=interval // 2)
            others = [
                Reading(reading.instant + shift, LARGEST, 10**6, 0, 5)
                for reading in in_order
                for shift in (timedelta(), half)
            ]
            others = [*{reading.instant: reading for reading in others}.values()]
            theirs = model(others, steps[0][0], interval)
            at_once = [(terms, in_order)]
            assert runner.run(outcome(writer, interval, at_once, others)) == [expected, theirs]
            assert runner.run(outcome(writer, interval, steps, others)) == [expected, theirs]

        try:
            check()
        finally:
            runner.run(writer.engine.close())


# Appended readings, whose flags are worked out before they are in the database


@dataclass(frozen=True)
class Appended:
    """Reports, each of later days than the one before, and the settings of quality."""

    terms: QualitySettings
    reports: Sequence[Rows]


@st.composite
def appended(draw: st.DrawFn) -> Appended:
    terms = draw(thresholds)
    lengths = draw(st.lists(st.sampled_from([900, 420, 3600]), min_size=1, max_size=3))
    at = datetime(2019, 10, 25, 22, 0, tzinfo=UTC)
    before, earlier = at, lengths[0]
    reports = []
    for _ in range(draw(st.integers(1, 3))):
        readings: list[Reading] = []
        spans: list[IntervalSpan] = []
        for length in lengths:
            spans.append(IntervalSpan(int(at.timestamp()), length, is_said=True))
            for _ in range(draw(st.integers(1, 8))):
                maximeter = draw(maximeters)
                more = draw(st.sampled_from([0, 1])) * terms.maximeter_allowance * 10**5 * length
                elapsed = int((at - before).total_seconds())
                since = draw(st.sampled_from([length, elapsed, elapsed - earlier + length]))
                limit = (maximeter or 0) * since * terms.maximeter_tolerance + more
                near = int(limit / 3600) + draw(st.integers(-1, 1))
                energy = draw(st.sampled_from([near, near, near, None, LARGEST]))
                energy = energy and min(max(energy, -LARGEST), LARGEST)
                voltage, intensity = draw(st.sampled_from([(0, 5), (230, 5), (None, None)]))
                readings.append(Reading(at, energy, maximeter, voltage, intensity))
                if energy is not None:
                    before, earlier = at, length
                steps = [length, length, length, length // 2, 480, 3 * length]
                at += timedelta(seconds=draw(st.sampled_from(steps)))
        reports.append(Rows(readings, spans))
        at += timedelta(days=1, seconds=draw(st.sampled_from([0, 60])))
    return Appended(terms, reports)


def after_a_longer_interval() -> Appended:
    """An energy at a shorter distance than its interval, with another one exactly that before."""
    first = datetime(2019, 8, 1, tzinfo=UTC)
    instants = [first + timedelta(seconds=seconds) for seconds in (0, 420, 900)]
    energies = (1, 1, 255_000)
    readings = [
        Reading(instant, energy, 10**6, None, None)
        for instant, energy in zip(instants, energies, strict=True)
    ]
    starts = (instants[0], 420), (instants[2], 900)
    spans = [IntervalSpan(int(at.timestamp()), length, is_said=True) for at, length in starts]
    terms = QualitySettings(maximeter_tolerance=Decimal(1), maximeter_allowance=Decimal(0))
    return Appended(terms, [Rows(readings, spans)])


async def kept(writer: WritableDatabase, case: Appended) -> tuple[dict[datetime, int], Days]:
    """The flags and days after the reports, of a database that stays empty."""
    engine = writer.engine
    await engine.begin(keeps_triggers=True)
    try:
        meter = await writer.meters.register("main", "Europe/Madrid")
        for rows in case.reports:
            await WritableDatabase(engine, case.terms).imports.load(rows, meter)
        days = await kept_days(engine)
        assert days == await reckoned_days(engine)
        return await flags_of(writer, meter.id), days
    finally:
        await engine.rollback()


def test_appended_readings_get_the_flags_that_the_database_would_give_them(
    database: DatabaseFixture,
) -> None:
    """If many may have flags, the database is asked: the rules stand in SQL, too."""
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:

        async def prepare() -> None:
            async for _ in writer.engine.prepare():
                pass

        writer = open_importer(database.settings)
        runner.run(prepare())

        @settings(deadline=None, max_examples=100)
        @given(appended())
        @example(after_a_longer_interval())
        def check(case: Appended) -> None:
            found = []
            for most in (20_000, -1):
                patch.setattr("storage.imports.appended.MAX_UNSETTLED", most)
                found.append(runner.run(kept(writer, case)))
            from_arrays, by_database = found
            assert from_arrays == by_database

        try:
            check()
        finally:
            runner.run(writer.engine.close())


# The document


def test_document_has_the_table_of_the_flags() -> None:
    rows = [
        f"| `{flag.name}` | {flag.bit} | {flag.means} | {flag.use} | {flag.source} |"
        for flag in flags.FLAGS
    ]
    lines = DOCUMENT.read_text().splitlines()
    assert [line for line in lines if line.startswith("| `")] == rows


@pytest.mark.parametrize("key", QualitySettings.model_fields)
def test_document_names_the_thresholds(key: str) -> None:
    assert f"`quality.{key}`" in DOCUMENT.read_text()
