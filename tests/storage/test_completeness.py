"""Which readings of which meters are there, and which meters are stale."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from storage.access.viewer import Viewer
from storage.completeness import CompletenessPage
from storage.database import Database
from tests.support.databases import DatabaseFixture
from tests.support.direct_parts import Part, Values
from tests.support.report_factory import quarters, report, row

ZONES = {"a": "Europe/Madrid", "b": "Asia/Kolkata", "c": "Europe/Madrid"}
NOW = int(datetime(2019, 8, 2, 12, tzinfo=ZoneInfo("Europe/Madrid")).timestamp())
HOUR = 3600


def lines(first: str, count: int, zone: str = "Europe/Madrid") -> list[str]:
    return [row(moment, "1") for moment in quarters(first, count, ZoneInfo(zone))]


@pytest.fixture
async def reader(database: DatabaseFixture) -> AsyncIterator[Database]:
    """Meters a, b and c, and d without readings; a lacks an hour, c begins and ends early."""
    of_a = lines("2019-07-28", 490)
    loaded = {
        "a": [*of_a[:100], *of_a[104:]],
        "b": lines("2019-07-29", 400, "Asia/Kolkata"),
        "c": lines("2019-07-31 06:00", 40),
    }
    for meter, zone in ZONES.items():
        database.configure(meter={"timezone": zone})
        await database.load(report(*loaded[meter]), meter=meter, register=True)
    async with database.writer() as writer, database.reader() as reader:
        assert await writer.engine.is_prepared()
        await writer.engine.begin_change()
        await writer.meters.register("d", "Europe/Madrid")
        await writer.engine.commit()
        await reader.state()
        yield reader


def told(page: CompletenessPage) -> list[tuple[str, Sequence[tuple[int | None, int]], int]]:
    return [
        (each.public_id, [(day.expected, day.present) for day in each.days], each.gaps)
        for each in page.meters
    ]


async def test_days_tell_what_is_expected_and_present_in_each_meters_zone(
    database: DatabaseFixture, reader: Database
) -> None:
    expected = [
        ("a", [(96, 92), (96, 96), (96, 96), (96, 96)], 1),
        ("b", [(96, 96)] * 4, 0),
        ("c", [(0, 0), (0, 0), (72, 40), (96, 0)], 2),
        ("d", [(0, 0)] * 4, 0),
    ]
    page = await reader.completeness(NOW, 100, days=4)
    assert told(page) == expected
    assert [day.day for day in page.meters[0].days] == [
        date(2019, 7, 29) + timedelta(days=number) for number in range(4)
    ]
    newest = [each.newest_reading for each in page.meters]
    first = datetime(2019, 7, 31, 6, tzinfo=ZoneInfo("Europe/Madrid"))
    assert newest[2:] == [int(first.timestamp()) + 39 * 900, None]
    assert page.following is None
    # Without kept days, the readings are counted.
    await database.rows("UPDATE states SET changes = 1, last_utc = NULL, readings = NULL")
    await database.rows("DELETE FROM days")
    again = await reader.completeness(NOW, 100, days=4)
    assert told(again) == expected
    assert [each.newest_reading for each in again.meters] == newest


async def test_estimated_readings_of_each_day_are_counted(
    database: DatabaseFixture, reader: Database
) -> None:
    first = datetime(2019, 7, 31, 12, tzinfo=UTC)
    readings: list[tuple[datetime, Values]] = [
        (first + timedelta(minutes=15) * number, [*[10**5] * 10, 1 if number % 3 else None])
        for number in range(96)
    ]
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        await writer.engine.begin()
        meter = await writer.meters.register("e", "Europe/Madrid")
        await writer.imports.load(Part(ZoneInfo("Europe/Madrid"), readings), meter)
        await writer.engine.commit()
    for _ in range(2):
        page = await reader.completeness(NOW, 100, after="d", days=2)
        (found,) = page.meters
        assert [(day.present, day.estimated) for day in found.days] == [(40, 26), (56, 38)]
        assert found.estimated == 64
        # Without kept days, the readings are counted.
        await database.rows("UPDATE states SET changes = 1")
        await database.rows("DELETE FROM days")


async def test_list_of_stale_meters_is_filtered_before_it_is_cut_into_pages(
    reader: Database,
) -> None:
    async def stale(hours: float, limit: int, after: str = "") -> tuple[list[str], str | None]:
        page = await reader.completeness(NOW, limit, after, stale=int(hours * HOUR))
        return [each.public_id for each in page.meters], page.following

    assert await stale(24, 100) == (["c", "d"], None)
    assert await stale(24, 1) == (["c"], "c")
    assert await stale(24, 1, "c") == (["d"], None)
    assert await stale(24 * 365, 100) == (["d"], None)
    assert await stale(0, 100) == (["a", "b", "c", "d"], None)


async def test_stale_meters_are_counted_by_age(database: DatabaseFixture, reader: Database) -> None:
    ages = [0, 24 * HOUR, 24 * 365 * HOUR]
    assert await reader.count_stale(NOW, ages) == [4, 2, 1]
    await database.rows("UPDATE states SET last_utc = NULL, readings = NULL")
    await database.rows("DELETE FROM readings WHERE meter_id = 1")
    assert await reader.count_stale(NOW + 59, ages) == [4, 2, 1]
    assert await reader.count_stale(NOW + 60, ages) == [4, 3, 2]


async def test_user_is_told_of_no_other_days_than_those_granted(
    database: DatabaseFixture, reader: Database
) -> None:
    """Meter a counts as stale for whom its newest days are hidden."""
    for number, (meter, first, last) in enumerate(
        (("a", "'2019-07-29'", "'2019-07-30'"), ("c", "NULL", "NULL"))
    ):
        await database.rows(
            "INSERT INTO grants (user, id, meter_id, permission, first_day, last_day, granted_by,"
            f" granted) SELECT 'rick', {number}, id, 'read', {first}, {last}, 'morty', 0"
            f" FROM meters WHERE public_id = '{meter}'"
        )
    page = await reader.completeness(NOW, 100, days=4, viewer=Viewer("rick"))
    assert told(page) == [
        ("a", [(96, 92), (96, 96)], 1),
        ("c", [(0, 0), (0, 0), (72, 40), (96, 0)], 2),
    ]
    newest = datetime(2019, 7, 30, 23, 45, tzinfo=ZoneInfo("Europe/Madrid"))
    assert page.meters[0].newest_reading == newest.timestamp()
    after_it = NOW - int(newest.timestamp())
    for age, names in ((after_it - 1, ["a"]), (after_it, []), (24 * HOUR, ["a", "c"])):
        stale = await reader.completeness(NOW, 2, days=4, stale=age, viewer=Viewer("rick"))
        assert [each.public_id for each in stale.meters if each.public_id in names] == names
        assert ("a" in [each.public_id for each in stale.meters]) == ("a" in names)
    one = await reader.completeness(NOW, 1, days=4, stale=24 * HOUR, viewer=Viewer("rick"))
    assert ([each.public_id for each in one.meters], one.following) == (["a"], "a")
    assert (await reader.completeness(NOW, 100, viewer=Viewer("morty"))).meters == []
