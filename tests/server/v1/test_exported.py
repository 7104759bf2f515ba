"""Exported energy and estimated readings: what /v1 answers after reports of any kind, in any order.

The model of what is to be answered is made apart from the code under test.
"""

import csv
import io
import json
import random
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet
import pytest

from domain.quantities import ALL_QUANTITY_NAMES, EXPORTED_QUANTITIES, QUANTITY_NAMES
from storage.factory import open_importer
from storage.imports.merging import MergeOptions
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.direct_parts import Part, Values
from tests.support.reference_figures import rounded

ZONE = ZoneInfo("Europe/Madrid")
FIRST = datetime(2019, 10, 26, 12, tzinfo=UTC)
"""Half a day before the day on which clocks go back."""
EXPORTED = tuple(quantity.name for quantity in EXPORTED_QUANTITIES)
FIELDS = ",".join(("start", *ALL_QUANTITY_NAMES, "id", "flags"))
METERS = 6
READINGS = 90
CONFIRMED = MergeOptions(is_confirmed=True)

Record = dict[str, Any]


@dataclass
class Stored:
    """A reading as it should be, quantities in hundred-thousandths."""

    id: int
    values: dict[str, int | None]
    is_estimated: bool


@dataclass
class Modeled:
    """A meter as it should be."""

    readings: dict[datetime, Stored] = field(default_factory=dict)
    replaced: list[list[Record]] = field(default_factory=list)
    """What each import has replaced."""

    def take(self, part: Part) -> None:
        """Take in a report."""
        replaced = []
        for at, (*values, mark) in part.readings:
            given = dict(zip(ALL_QUANTITY_NAMES, values, strict=True))
            known = self.readings.get(at)
            if known is None:
                number = len(self.readings) + 1
                self.readings[at] = Stored(number, given, part.tells_estimated and bool(mark))
                continue
            old: Record = {}
            for name in part.quantities:
                if given[name] is not None and given[name] != known.values[name]:
                    old[name] = decimal(known.values[name])
                    known.values[name] = given[name]
            if part.tells_estimated and bool(mark) != known.is_estimated:
                old["estimated"] = 1 if known.is_estimated else None
                known.is_estimated = bool(mark)
            if old:
                replaced.append({"id": known.id, "replaced": " ".join(old), **old})
        self.replaced.append(sorted(replaced, key=lambda record: record["id"]))

    def records(self) -> list[Record]:
        """Return the readings in the order of time."""
        return [
            {
                "start": at.astimezone(ZONE).isoformat(),
                **{name: decimal(value) for name, value in reading.values.items()},
                "id": reading.id,
                "flags": " ".join(flags_of(at, reading)),
            }
            for at, reading in sorted(self.readings.items())
        ]

    def by_day(self) -> dict[str, list[Stored]]:
        days: dict[str, list[Stored]] = {}
        for at, reading in sorted(self.readings.items()):
            days.setdefault(str(at.astimezone(ZONE).date()), []).append(reading)
        return days


def flags_of(at: datetime, reading: Stored) -> Iterator[str]:
    if all(value is None for value in reading.values.values()):
        yield "missing"
    if at.hour in (0, 1) and at.date() == datetime(2019, 10, 27, tzinfo=UTC).date():
        yield "repeated_hour"
    if reading.is_estimated:
        yield "estimated"


def decimal(value: int | None) -> Decimal | None:
    return None if value is None else Decimal(value).scaleb(-5)


def total(readings: Sequence[Stored], name: str) -> Decimal | None:
    known = [value for each in readings if (value := each.values[name]) is not None]
    return decimal(sum(known)) if known else None


def sums_of(readings: Sequence[Stored]) -> Record:
    """Return what figures of some readings say of what was exported and estimated."""
    present = [any(value is not None for value in each.values.values()) for each in readings]
    return {
        **{name: total(readings, name) for name in ("energy", *EXPORTED)},
        "present": sum(present),
        "flag_estimated": sum(each.is_estimated for each in readings),
        "flag_missing": len(present) - sum(present),
    }


def reports(chance: random.Random) -> Iterator[Part]:
    """Yield reports with any of the quantities, of any times, some of which were there."""
    for _ in range(chance.randint(3, 7)):
        known = chance.choice([ALL_QUANTITY_NAMES, EXPORTED])
        columns = chance.sample(known, chance.randint(1, min(6, len(known))))
        names = [name for name in ALL_QUANTITY_NAMES if name in columns]
        marks = chance.random() < 0.6
        begin = chance.randrange(READINGS)
        places = [*range(begin, min(begin + chance.randint(1, 80), READINGS))]
        if chance.random() < 0.5:
            chance.shuffle(places)
        readings: list[tuple[datetime, Values]] = []
        for place in places:
            values: Values = [value_of(chance, each, names) for each in ALL_QUANTITY_NAMES]
            mark = 1 if marks and chance.random() < 0.4 else None
            readings.append((FIRST + timedelta(minutes=15) * place, [*values, mark]))
        yield Part(ZONE, readings, columns=names, marks=marks)


def value_of(chance: random.Random, name: str, columns: Sequence[str]) -> int | None:
    """Return a quantity for which no reading gets a flag; few differ, so that some are the same."""
    if name not in columns or chance.random() < 0.1:
        return None
    return 10**9 if name == "maximeter" else chance.randint(1, 3) * 12_345


async def loaded(database: DatabaseFixture) -> dict[str, Modeled]:
    """Load reports to some meters, and return the meters as they should be."""
    writer = open_importer(database.settings)
    engine = writer.engine
    meters: dict[str, Modeled] = {}
    try:
        async for _ in engine.prepare():
            pass
        await engine.admit_reader()
        for number in range(METERS):
            chance = random.Random(number)  # noqa: S311 - test data
            await engine.begin()
            meter = await writer.meters.register(f"m{number}", ZONE.key)
            await engine.commit()
            modeled = meters[meter.public_id] = Modeled()
            for part in reports(chance):
                await engine.begin()
                await writer.imports.load(part, meter, CONFIRMED)
                await engine.commit()
                modeled.take(part)
    finally:
        await engine.close()
    await database.admit("rick")
    return meters


def of_same_names(found: Mapping[str, Any], expected: Mapping[str, Any]) -> Record:
    return {name: found[name] for name in expected}


async def test_answers_are_those_of_the_model_whatever_reports_came(
    serve: Serve, database: DatabaseFixture
) -> None:
    meters = await loaded(database)
    await database.add_group("all", *meters)
    api = await serve(database)
    for name, meter in meters.items():
        path = f"meters/{name}"
        assert (await api.document(f"{path}/readings", fields=FIELDS))["data"] == meter.records()
        days = meter.by_day()
        await compare_days(api, path, days)
        everything = [*meter.readings.values()]
        summary = (await api.document(f"{path}/summary"))["data"]
        assert of_same_names(summary, sums_of(everything)) == sums_of(everything)
        flagged = await api.document(f"{path}/quality", list="flagged", flag="estimated")
        estimated = [each for each in meter.records() if "estimated" in each["flags"]]
        assert [each["id"] for each in flagged["data"]] == [each["id"] for each in estimated]
        await compare_profile(api, path, meter)
        for number, replaced in enumerate(meter.replaced, 1):
            answer = (await api.document(f"{path}/imports/{number}"))["data"]
            named = [{**each, "replaced": set(each["replaced"].split())} for each in replaced]
            found = [
                of_same_names({**each, "replaced": set(each["replaced"].split())}, expected)
                for each, expected in zip(answer, named, strict=True)
            ]
            assert found == named
    await compare_group(api, [*meters.values()])


async def compare_days(api: Api, path: str, days: Mapping[str, Sequence[Stored]]) -> None:
    """Compare the figures of each day, which are those of kept sums, and of half a day."""
    asked = {"resolution": "P1D", "fields": ",".join(("energy", *EXPORTED, "flags"))}
    expected = {day: sums_of(readings) for day, readings in days.items()}
    for answer in (
        await api.document(f"{path}/aggregates", **asked),
        await api.document(f"{path}/quality", list="days"),
    ):
        found = {record["start"][:10]: record for record in answer["data"] if record["present"]}
        for day, sums in expected.items():
            known = {name: value for name, value in sums.items() if name in found.get(day, sums)}
            if sums["present"]:
                assert of_same_names(found[day], known) == known
    hours = await api.document(f"{path}/aggregates", **{**asked, "resolution": "PT1H"})
    for name in EXPORTED:
        by_hour = [each[name] for each in hours["data"] if each[name] is not None]
        whole = [sums[name] for sums in expected.values() if sums[name] is not None]
        assert sum(by_hour) == sum(whole)


async def compare_profile(api: Api, path: str, meter: Modeled) -> None:
    answer = await api.document(f"{path}/profile", field=EXPORTED[0], by="none", percentiles="100")
    by_time: dict[str, list[int]] = {}
    for at, reading in meter.readings.items():
        value = reading.values[EXPORTED[0]]
        if value is not None:
            by_time.setdefault(f"{at.astimezone(ZONE):%H:%M:%S}", []).append(value)
    assert answer["data"] == [
        {
            "time": time,
            "readings": len(values),
            "mean": decimal(rounded(Fraction(sum(values), len(values)))),
            "min": decimal(min(values)),
            "max": decimal(max(values)),
            "p100": decimal(max(values)),
        }
        for time, values in sorted(by_time.items())
    ]


async def compare_group(api: Api, meters: Sequence[Modeled]) -> None:
    everything = [reading for meter in meters for reading in meter.readings.values()]
    expected: Record = {"estimated": sums_of(everything)["flag_estimated"]}
    for name in EXPORTED:
        members = [total([*meter.readings.values()], name) for meter in meters]
        expected[name] = total(everything, name)
        expected[f"{name}_members"] = sum(each is not None for each in members)
    summary = (await api.document("groups/all/summary"))["data"]
    assert of_same_names(summary, expected) == expected
    days = await api.document("groups/all/aggregates", resolution="P1D", fields=",".join(EXPORTED))
    for name in EXPORTED:
        known = [each[name] for each in days["data"] if each[name] is not None]
        assert sum(known) == (expected[name] or 0)
    assert sum(each["estimated"] for each in days["data"]) == expected["estimated"]


@pytest.fixture
async def exported(serve: Serve, database: DatabaseFixture) -> tuple[Api, Modeled]:
    """The application over meters with exported energy, and the first of these."""
    meters = await loaded(database)
    return await serve(database), meters["m0"]


async def test_exported_energy_is_in_every_format(exported: tuple[Api, Modeled]) -> None:
    api, meter = exported
    records = meter.records()

    async def body(name: str) -> bytes:
        asked = {"fields": FIELDS, "format": name}
        async with await api.v1("meters/m0/readings", asked) as response:
            assert response.status == 200
            return await response.read()

    lines = (await body("ndjson")).decode().splitlines()
    assert [json.loads(line, parse_float=Decimal) for line in lines] == records
    rows = [*csv.DictReader(io.StringIO((await body("csv")).decode()))]
    texts = [
        {name: "" if value is None else str(value) for name, value in record.items()}
        for record in records
    ]
    assert rows == texts
    table = pyarrow.parquet.read_table(io.BytesIO(await body("parquet")))
    typed = [row | {"start": row["start"].isoformat()} for row in table.to_pylist()]
    assert typed == records
    with zipfile.ZipFile(io.BytesIO(await body("xlsx"))) as workbook:
        sheet = workbook.read("xl/worksheets/sheet1.xml").decode()
    for name in EXPORTED:
        column = "DEFGHIJKLM"[ALL_QUANTITY_NAMES.index(name) - 2]
        numbers = [record[name] for record in records]
        cells = [sheet.count(f'<c r="{column}{row}"><v>') for row in range(2, len(numbers) + 2)]
        assert cells == [int(number is not None) for number in numbers]


async def test_routes_of_the_original_service_keep_their_eight_quantities(
    exported: tuple[Api, Modeled],
) -> None:
    api, meter = exported
    (record, *_) = await api.records("getData", meter="m0")
    assert record.keys() == {"id", "date", *QUANTITY_NAMES}
    assert len(await api.records("getData", meter="m0")) == len(meter.readings)
    (summary,) = await api.records("getSummary", meter="m0")
    assert not {"flag_estimated", *EXPORTED} & summary.keys()
    for path, params in (
        ("getData", {"columns": EXPORTED[0]}),
        ("getAggregate", {"columns": EXPORTED[0], "interval": "day"}),
        ("getProfile", {"column": EXPORTED[0]}),
    ):
        status, _ = await api.get(path, {"meter": "m0", **params})
        assert status == 400
    flags = await api.records("getData", meter="m0", columns="id,flags")
    in_order = sorted(meter.records(), key=lambda each: each["id"])
    assert [each["flags"] for each in flags] == [each["flags"] for each in in_order]
