"""Whatever is asked of one of many meters, the answer is of that meter alone, and right."""

import csv
import io
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.flags import IMPLAUSIBLE
from domain.parameters import Params
from domain.quantities import QUANTITY_NAMES
from storage.figures.aggregate import Aggregate
from storage.figures.data_quality import DataQuality
from storage.figures.meter_info import MeterInfo
from storage.figures.peaks import Peaks
from storage.figures.profile import Profile
from storage.figures.result import Field, FieldType, Row
from tests.conftest import fresh
from tests.server.api.test_readings_parameters import DEFAULTS, columns_of, walked
from tests.storage.figures import test_aggregate, test_data_quality, test_peaks, test_profile
from tests.support import reference_readings
from tests.support.app_client import Api, Serve, make_pages_small
from tests.support.databases import DatabaseFixture
from tests.support.reference_figures import Metered, aware, decimal, total
from tests.support.reference_fleet import Delivery, Fleet, FleetMeter, fleets

Records = list[dict[str, Any]]


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseFixture]:
    """A database of each kind, in which meters become more and more."""
    with fresh(request, tmp_path_factory.mktemp("fleet")) as made:
        yield made


def new_fleet(database: DatabaseFixture, kinds: Sequence[tuple[str, int]]) -> Fleet:
    """Meters of these zones and intervals, which the database does not know yet."""
    return Fleet(
        database,
        [FleetMeter(f"m{secrets.token_hex(6)}", zone, interval) for zone, interval in kinds],
    )


# Readings


def readings_requests(meter: FleetMeter, chance: random.Random) -> Iterator[tuple[str, Params]]:
    """Requests for readings by each route, each with some of the parameters."""
    days = meter.days
    ids = sorted(chance.sample(range(1, 400), 90))
    yield "getData", {}
    for format_name in DEFAULTS:
        for route, own in (
            ("getData", {}),
            ("getDataById", {"id": ",".join(map(str, ids))}),
            ("getDataByDate", {"date": chance.choice(["%:30:00", f"{days[1]}%", "2019-%-%1 0%"])}),
            ("getDataByRange", {"date": f"{days[0]} 12", "end_date": f"{days[3]} 01:45"}),
        ):
            columns = chance.sample(["id", "date", "flags", *QUANTITY_NAMES], 4)
            more = {
                "columns": ",".join(columns),
                "time": chance.choice(["local", "utc", "offset"]),
                "order": chance.choice(["asc", "desc"]),
                "quality": chance.choice(["raw", "clean"]),
                "limit": chance.choice(["37", "160", "1000"]),
            }
            chosen = chance.sample([*more], chance.randrange(len(more) + 1))
            yield route, {**own, "format": format_name, **{name: more[name] for name in chosen}}


def is_matched(reading: reference_readings.Reading, route: str, params: Params) -> bool:
    """Whether a reading is one that a request of `readings_requests` asks for."""
    if route == "getDataById":
        return str(reading.id) in params["id"].split(",")
    if route == "getDataByRange":
        last = params["end_date"]
        return f"{params['date']}:00:00" <= reading.date <= f"{last}:00"
    if route == "getDataByDate":
        pattern = params["date"]
        if pattern.startswith("%"):
            return reading.date.endswith(pattern[1:])
        if pattern.startswith("2019-%"):
            return reading.date[9:12] == "1 0"
        return reading.date.startswith(pattern[:-1])
    return True


async def check_readings(api: Api, meter: FleetMeter, route: str, params: Params) -> None:
    """Compare what a request for readings is answered with what the model has."""
    found = [reading for reading in meter.by_id if is_matched(reading, route, params)]
    if params.get("order") == "desc":
        found.reverse()
    left_out = []
    if params.get("quality") == "clean":
        left_out = [reading for reading in found if reading.flags & IMPLAUSIBLE.bit]
        found = [reading for reading in found if not reading.flags & IMPLAUSIBLE.bit]
    format_name = params.get("format", "json")
    wanted = [
        reference_readings.modeled(
            reading, columns_of(params), format_name, params.get("time", "local"), "text"
        )
        for reading in found
    ]
    records: list[tuple[Any, ...]] = []
    count, energy = 0, Decimal(0)
    async for told, headers in walked(api, route, {**params, "meter": meter.name}):
        records += told.records
        count += int(headers.get("X-Left-Out-Readings", 0))
        energy += Decimal(headers.get("X-Left-Out-Energy", 0))
    assert records == wanted, (meter.name, route, params)
    assert (count, energy) == (len(left_out), sum(reading.energy for reading in left_out))


# Figures


def figure_requests(
    metered: Metered, meter: FleetMeter, chance: random.Random
) -> Iterator[tuple[str, Params, Sequence[Field], Sequence[Row]]]:
    """Requests for figures, the fields of their records, and the rows that the model has."""
    quality = chance.choice(["raw", "clean"])
    is_clean = quality == "clean"
    yield "getMeter", {}, MeterInfo.of({}).fields, [_about(metered, meter)]
    for interval in test_aggregate.LABELS:
        params = {"interval": interval, "quality": quality}
        date = end_date = None
        if interval in ("15m", "30m", "hour"):
            some = metered.local(chance.choice(metered.readings).at)
            date = some.replace(hour=0, minute=0)
            end_date = date + timedelta(hours=23)
            params |= {"date": str(date), "end_date": str(end_date)}
        if meter.interval > {"15m": 900, "30m": 1800}.get(interval, 86400):
            continue
        start, until = metered.bounds(date, end_date, "inclusive")
        rows = test_aggregate.expected_rows(
            metered, interval, QUANTITY_NAMES, meter.zone, start, until, clean=is_clean
        )
        yield "getAggregate", params, Aggregate.of(params).fields, list(rows)
    column, by = chance.choice(["power", "energy"]), chance.choice(["month", "weekday"])
    params = {"column": column, "by": by, "percentiles": "50", "quality": quality}
    profile = test_profile.expected(metered, column, by, [50], clean=is_clean)
    yield "getProfile", params, Profile.of(params).fields, profile
    params = {"number": "30", "quality": quality}
    peaks = test_peaks.expected(metered, "maximeter", 30, 3600, clean=is_clean)
    yield "getPeaks", params, Peaks.of(params).fields, peaks
    start, until = metered.bounds(None, None, "inclusive")
    params = {"list": "gaps"}
    gaps = test_data_quality.gaps(metered, start, until)
    yield "getQuality", params, DataQuality.of(params).fields, gaps


def _about(metered: Metered, meter: FleetMeter) -> Row:
    _, end = metered.bounds(None, None, "inclusive")
    first, last = metered.readings[0].at, metered.readings[-1].at
    begin = datetime.fromtimestamp(first, ZoneInfo(meter.zone)).isoformat()
    spans = f"{meter.interval} from {begin}"
    return (first, last, end, meter.zone, meter.interval, spans, None, meter.name, None)


def as_records(fields: Sequence[Field], rows: Sequence[Row], zone: str) -> Records:
    """Rows as JSON has them."""
    return [
        {field.name: _text(field, value, zone) for field, value in zip(fields, row, strict=True)}
        for row in rows
    ]


def _text(field: Field, value: Any, zone: str) -> str | None:
    if value is None:
        return None
    if field.kind is FieldType.INSTANT:
        return aware(value, zone).isoformat()
    return decimal(value) if field.kind is FieldType.QUANTITY else str(value)


async def check_figures(
    api: Api, database: DatabaseFixture, meter: FleetMeter, chance: random.Random
) -> None:
    """Compare all figures of a meter with those of the models."""
    metered = meter.metered(database)
    name = {"meter": meter.name}
    for route, params, fields, rows in figure_requests(metered, meter, chance):
        wanted = as_records(fields, rows, meter.zone)
        records = await api.records(route, **params, **name)
        if route == "getProfile":
            assert sorted(map(str, records)) == sorted(map(str, wanted)), (meter, params)
        else:
            assert records == wanted, (meter.name, route, params)
        csv_body = await body(api, route, {**params, **name, "format": "csv"})
        lines = list(csv.DictReader(io.StringIO(csv_body.decode(), newline="")))
        assert lines == [{key: value or "" for key, value in r.items()} for r in records]
    [summary] = await api.records("getSummary", **name)
    energy = total([reading.values["energy"] for reading in metered.readings])
    assert summary["energy"] == (None if energy is None else decimal(energy))
    assert summary["readings"] == str(len(metered.readings))
    assert summary["timezone"] == meter.zone
    last_import = summary["import_file"], summary["import_new"]
    assert last_import == (f"{meter.name}.csv", str(meter.new))
    flagged = await api.records("getQuality", list="flagged", **name)
    assert [int(record["id"] or 0) for record in flagged] == [
        reading.id for reading in metered.readings if reading.flags
    ]
    days = await api.records("getQuality", list="days", **name)
    assert sum(int(day["present"] or 0) for day in days) == sum(
        reading.is_present for reading in metered.readings
    )


async def body(api: Api, route: str, params: Params, **headers: str) -> bytes:
    """The body of a success."""
    async with await api.request(route, params, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.read()


# Caches


WATCHED: list[tuple[str, dict[str, str]]] = [
    ("getData", {"columns": "id,energy"}),
    ("getData", {"order": "desc", "limit": "9"}),
    ("getDataByDate", {"date": "2019-%"}),
    ("getAggregate", {"interval": "month"}),
    ("getQuality", {"list": "gaps"}),
    ("getMeter", {}),
]


async def tags(api: Api, meter: FleetMeter) -> list[str]:
    """The ETags of some answers, which are cached then."""
    found = []
    for route, params in WATCHED:
        async with await api.request(route, {**params, "meter": meter.name}) as response:
            await response.read()
            found.append(response.headers["ETag"])
        await api.settled()
    return found


async def check_caches(api: Api, fleet: Fleet, change: Callable[[], Any]) -> None:
    """Check that what changes the first meter leaves the answers of all others in the cache."""
    changed, *others = fleet.meters
    before = [await tags(api, meter) for meter in fleet.meters]
    assert len({tag for some in before for tag in some}) == len(fleet.meters) * len(WATCHED)
    await change()
    asked = api.engine.readings_asked
    for meter, known in zip(others, before[1:], strict=True):
        assert await tags(api, meter) == known
    assert api.engine.readings_asked == asked
    for tag, (route, params) in zip(before[0], WATCHED, strict=True):
        known_tag = {"If-None-Match": tag}
        own = {**params, "meter": changed.name}
        async with await api.request(route, own, headers=known_tag) as response:
            assert response.status == 200
            assert response.headers["ETag"] != tag


# All of it


async def check(
    api: Api,
    database: DatabaseFixture,
    kinds: Sequence[tuple[str, int]],
    steps: Sequence[tuple[int, Delivery]],
    seed: int,
) -> None:
    fleet = new_fleet(database, kinds)
    await fleet.deliver(steps)
    chance = random.Random(seed)  # noqa: S311 - test data
    for meter in fleet.meters:
        for route, params in readings_requests(meter, chance):
            await check_readings(api, meter, route, params)
        await check_figures(api, database, meter, chance)
    late = Delivery((0, 1, 2, 3), newest_first=bool(seed % 2), seed=seed)
    await check_caches(api, fleet, lambda: fleet.deliver([(0, late)]))
    await check_readings(api, fleet.meters[0], "getData", {})


@pytest.fixture
async def api(serve: Serve, database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch) -> Api:
    if not database.exists():
        await new_fleet(database, [("UTC", 900)]).deliver([(0, Delivery((0,), False, 0))])
    make_pages_small(monkeypatch, 50)
    return await serve(database)


FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=2, deadline=None, suppress_health_check=FIXTURES, phases=[Phase.generate])
@given(fleet=fleets(3), seed=st.integers(0, 2**32))
async def test_answers_of_a_few_meters_are_those_of_the_model(
    api: Api, database: DatabaseFixture, fleet: Any, seed: int
) -> None:
    kinds, steps = fleet
    await check(api, database, kinds, steps, seed)


@pytest.mark.promise("Seeing", by_test=True)
@pytest.mark.trust
@settings(max_examples=60, deadline=None, suppress_health_check=FIXTURES, phases=[Phase.generate])
@given(fleet=fleets(), seed=st.integers(0, 2**32))
async def test_answers_of_many_meters_are_those_of_the_model(
    api: Api, database: DatabaseFixture, fleet: Any, seed: int
) -> None:
    kinds, steps = fleet
    await check(api, database, kinds, steps, seed)
