"""The shipped formats: files as portals and programs write them load to exactly their readings."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.flags import ESTIMATED
from domain.quantities import ALL_QUANTITY_NAMES, QUANTITY_NAMES
from loader.formats.shipped import shipped_settings
from loader.report import Report
from loader.report_file import ReportFile
from tests.support.databases import DatabaseFixture
from tests.support.known_reports.layouts import LAYOUTS
from tests.support.known_reports.made import Layout, Made
from tests.support.known_reports.readings import made_readings

DECIMALS = Decimal("0.00001")


class Told(NamedTuple):
    """A reading, as far as files tell."""

    energy: str
    exported: str
    power: str
    is_estimated: bool


def _text(value: Decimal | None) -> str:
    return "" if value is None else f"{value.quantize(DECIMALS):f}"


def expected(layout: Layout, readings: Iterable[Made]) -> dict[datetime, Told]:
    """What should be stored."""
    hours = Decimal(layout.seconds) / 3600
    return {
        each.start: Told(
            _text(each.energy),
            _text(each.exported),
            _text(each.energy / hours) if layout.has_power and each.energy is not None else "",
            each.is_estimated,
        )
        for each in readings
    }


def read(path: Path, zone: ZoneInfo) -> tuple[Report, dict[datetime, Told]]:
    """Read a file in whatever shipped format it has; return its readings by their starts."""
    errors: list[str] = []
    report = Report(
        str(path),
        zone,
        skip_bad_rows=False,
        on_errors=lambda found, _: errors.extend(map(str, found)),
    )
    found: dict[datetime, Told] = {}
    for batch in report.batches():
        for line in batch.rows.decode().splitlines():
            fields = line.split(",")
            names = ALL_QUANTITY_NAMES if batch.is_full else QUANTITY_NAMES
            values = dict(zip(names, fields[3:], strict=False))
            start = datetime.fromisoformat(f"{fields[1]}+00:00")
            start -= timedelta(seconds=int(fields[2]))
            is_estimated = batch.is_full and fields[-1] == "1"
            assert start not in found
            found[start] = Told(
                values["energy"],
                values.get("exported_energy", ""),
                values["power"],
                is_estimated,
            )
    assert errors == []
    return report, found


NAMED = [pytest.param(layout, id=layout.write.__name__) for layout in LAYOUTS]


def test_each_shipped_format_has_a_file_that_is_made() -> None:
    assert {layout.format for layout in LAYOUTS} == set(shipped_settings())


@pytest.mark.parametrize("layout", NAMED)
@settings(max_examples=6)
@given(seed=st.integers(0, 2**32))
def test_a_file_in_a_known_layout_loads_to_exactly_its_readings(
    tmp_path_factory: pytest.TempPathFactory, layout: Layout, seed: int
) -> None:
    readings = made_readings(layout, Random(seed))  # noqa: S311 - test data
    path = tmp_path_factory.getbasetemp() / "made.csv"
    path.write_bytes(layout.write(readings))
    report, found = read(path, layout.zone)
    assert report.format == layout.format
    assert found == expected(layout, readings)


@pytest.mark.parametrize("layout", NAMED)
def test_a_file_in_a_known_layout_tells_its_meter(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / "made.csv"
    path.write_bytes(layout.write(made_readings(layout, Random(1))))  # noqa: S311 - test data
    with ReportFile(str(path)) as file:
        parts = file.parts(layout.zone, skip_bad_rows=False, on_errors=lambda *_: None)
        assert [part.identifier for part in parts] == [layout.meter]


def stored(layout: Layout, readings: Iterable[Made]) -> list[tuple[str, str, str, bool]]:
    """What a database should have of readings, in order of time."""
    told = expected(layout, readings)
    return [
        (f"{start.astimezone(layout.zone):%Y-%m-%d %H:%M:%S}", each.energy, each.exported, mark)
        for start, each in sorted(told.items())
        for mark in [each.is_estimated]
    ]


def corrected(readings: Iterable[Made]) -> list[Made]:
    """Return readings of which every fifth has another energy, and is no estimate."""
    changed = []
    for number, each in enumerate(readings):
        values = each.energy, each.exported
        energy, exported = (value and value + Decimal(number % 5 == 0) for value in values)
        changed.append(replace(each, energy=energy, exported=exported))
    return changed


CONTENT = (
    "SELECT m.public_id, r.date, r.energy, r.exported_energy, f.flags FROM readings r"
    " JOIN meters m ON m.id = r.meter_id"
    " LEFT JOIN flags f ON f.meter_id = r.meter_id AND f.reading_id = r.id"
    " ORDER BY r.meter_id, r.utc"
)


def of_meter(content: bytes, meter: str | None, number: int) -> bytes:
    """Return a file with the identifier of another meter."""
    if meter is not None:
        for encoding in ("utf-8", "utf-16-le"):
            other = f"{meter[:-2]}{number:02}"
            content = content.replace(meter.encode(encoding), other.encode(encoding))
    return content


def test_files_in_all_known_layouts_and_their_corrections_are_stored_exactly(
    database: DatabaseFixture,
) -> None:
    wanted = {}
    for number, layout in enumerate(LAYOUTS):
        meter = f"meter-{number}"
        readings = made_readings(layout, Random(number))  # noqa: S311 - test data
        later = corrected(readings)
        database.configure(meter={"timezone": layout.zone.key})
        contents = [
            of_meter(layout.write(each), layout.meter, number) for each in (readings, later)
        ]
        paths = [database.file(content, f"{n}.csv") for n, content in enumerate(contents)]
        loading = database.load(*paths, meter=meter, register=True, allow_corrections=True)
        for summary in asyncio.run(loading):
            assert (summary.error, summary.format) == (None, layout.format)
        wanted[meter] = stored(layout, later)
    found = defaultdict(list)
    for meter, date, energy, exported, flags in database.run(CONTENT):
        values = (
            "" if value is None else _text(Decimal(value) / (10**5 if type(value) is int else 1))
            for value in (energy, exported)
        )
        found[meter].append((str(date), *values, bool((flags or 0) & ESTIMATED.bit)))
    assert found.keys() == wanted.keys()
    for meter, rows in wanted.items():
        assert found[meter] == rows, LAYOUTS[int(meter.removeprefix("meter-"))].format
