"""What is derived from the rows of a report agrees with exact decimals made of these rows."""

import asyncio
import csv
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest

from domain.fixed_point import format_scaled
from domain.quantities import QUANTITY_NAMES
from storage.figures.aggregate import Aggregate
from storage.figures.data_quality import DataQuality
from storage.figures.profile import Profile
from storage.figures.result import FieldType, FigureQuery
from storage.figures.summary import Summary
from tests.support.databases import DatabaseFixture
from tests.support.paths import SAMPLE
from tests.support.report_factory import quarters, report, row

Record = dict[str, str | None]

NOVEMBER = {"date": "2019-11-01", "end_date": "2019-12-01", "end": "exclusive"}
QUARTER = Fraction(1, 4)
UNITS = {
    "energy": "kWh",
    "power_mean": "kW",
    "power_factor_mean": "1",
    "reactive_energy_ratio": "kVArh/kWh",
    "reactive_energy_inductive": "kVArh",
}


async def records(
    database: DatabaseFixture, kind: type[Any], **params: str
) -> tuple[Mapping[str, Any], list[Record]]:
    """Return the metadata and the records of a figure, quantities as decimals in texts."""
    query: FigureQuery = kind.of(params)
    async with database.reader() as reader:
        table = await reader.figures(query, await reader.state())
        return table.metadata, [
            {
                field.name: format_scaled(int(value))
                if field.kind is FieldType.QUANTITY and value is not None
                else (None if value is None else str(value))
                for field, value in zip(table.fields, values, strict=True)
            }
            async for rows in table.rows
            for values in rows
        ]


def text(value: Fraction) -> str:
    """Return a number with five decimals, halves rounded away from zero."""
    with localcontext() as context:
        context.prec = 60
        decimal = Decimal(value.numerator) / Decimal(value.denominator)
        return str(decimal.quantize(Decimal("0.00001"), ROUND_HALF_UP))


def rows_of(lines: Sequence[str]) -> list[dict[str, Fraction]]:
    """Return the quantities of a report's rows, without the missing ones."""
    rows = csv.reader(lines)
    return [
        {name: Fraction(cell) for name, cell in zip(QUANTITY_NAMES, cells, strict=True) if cell}
        for _, *cells in rows
    ]


def total(rows: Sequence[Mapping[str, Fraction]], name: str) -> Fraction:
    return sum((row[name] for row in rows if name in row), Fraction(0))


async def test_figures_of_the_sample_are_those_of_its_rows(database: DatabaseFixture) -> None:
    """Raw and clean are told apart, and both power factors, by what they are made of."""
    await database.load(SAMPLE)
    lines = [line for line in SAMPLE.read_text().splitlines()[1:] if " Nov 2019 " in line]
    rows = rows_of(lines)
    _, listed = await records(database, DataQuality, list="flagged", flag="implausible", **NOVEMBER)
    left_out = [Fraction(record["energy"] or 0) for record in listed]
    assert len(left_out) == 2
    raw, clean = total(rows, "energy"), total(rows, "energy") - sum(left_out)
    factors = [row["power_factor"] for row in rows if "power_factor" in row]
    reactive = [row["reactive_power"] for row in rows if "reactive_power" in row]
    assert min(row["power"] for row in rows if "power" in row) >= 0
    for quality, energy in (("raw", raw), ("clean", clean)):
        metadata, [summary] = await records(database, Summary, quality=quality, **NOVEMBER)
        assert metadata["quality"] == quality
        assert metadata["implausible"] == {"readings": "2", "energy": text(Fraction(sum(left_out)))}
        assert (summary["energy_raw"], summary["energy_clean"]) == (text(raw), text(clean))
        assert summary["energy"] == text(energy)
        metadata, [month] = await records(
            database, Aggregate, interval="month", quality=quality, **NOVEMBER
        )
        assert metadata["quality"] == quality
        assert month["energy"] == text(energy)
        assert metadata["units"].items() >= UNITS.items()
        if quality == "raw":
            shares = {
                "power_factor_mean": text(sum(factors, Fraction()) / len(factors)),
                "reactive_energy_ratio": text(total(rows, "reactive_energy") / raw),
                "reactive_energy_inductive": text(sum(q for q in reactive if q > 0) * QUARTER),
                "reactive_energy_capacitive": text(-sum(q for q in reactive if q < 0) * QUARTER),
            }
            assert {name: summary[name] for name in shares} == shares
            assert {name: month[name] for name in shares} == shares


async def test_both_power_factors_are_shown_by_time_of_day(database: DatabaseFixture) -> None:
    moments = quarters("2019-08-01", 192)
    cells = {0: ("3", "4", "", "", "", "", "", "0.2"), 96: ("9", "12", "", "", "", "", "", "0.5")}
    await database.load(report(*(row(at, *cells.get(n, ())) for n, at in enumerate(moments))))
    _, [midnight] = await records(database, Profile, column="power_factor", by="none")
    expected = {"time": "00:00:00", "mean": "0.35000", "power_factor_of_energy": "0.60000"}
    assert midnight.items() >= expected.items()


@pytest.mark.parametrize("share", [0, 0.5])
async def test_power_is_energy_over_its_interval_where_none_was_measured(
    database: DatabaseFixture, share: float
) -> None:
    """For a meter that records energy only, and for one that records power now and then."""
    chance = random.Random(7)  # noqa: S311 - test data
    moments = quarters("2019-10-26", 4 * 96 + 4)
    lines = []
    for moment in moments:
        energy = f"{chance.randrange(3000) / 1000:.3f}" if chance.random() > 0.03 else ""
        power = f"{chance.randrange(20_000) / 1000:.3f}" if chance.random() < share else ""
        lines.append(row(moment, energy, "", power))
    await database.load(report(*lines))
    rows = rows_of([line.strip() for line in lines])

    def powers(some: Sequence[Mapping[str, Fraction]]) -> list[Fraction]:
        return [r["power"] if "power" in r else r["energy"] / QUARTER for r in some if r]

    by_day: dict[str, list[dict[str, Fraction]]] = defaultdict(list)
    by_time: dict[str, list[dict[str, Fraction]]] = defaultdict(list)
    for moment, quantities in zip(moments, rows, strict=True):
        day, time = moment[: moment.index("2019") + 4], moment[-8:]
        by_day[day].append(quantities)
        by_time[time].append(quantities)
    _, days = await records(database, Aggregate, interval="day", columns="power")
    _, times = await records(database, Profile, by="none", percentiles="50")
    for found, groups, names in (
        (days, by_day, ("power_mean", "power_min", "power_max")),
        (times, by_time, ("mean", "min", "max")),
    ):
        assert len(found) == len(groups)
        for record, group in zip(found, groups.values(), strict=True):
            some = powers(group)
            values = (sum(some, Fraction()) / len(some), min(some), max(some))
            assert [record[name] for name in names] == [text(value) for value in values]
            assert record["power_derived"] == str(sum("power" not in r for r in group if r))
    _, [summary] = await records(database, Summary)
    ranked = sorted(powers(rows))
    expected = {
        "base_load": text(ranked[-(-len(ranked) * 5 // 100) - 1]),
        "energy_readings": str(sum("energy" in r for r in rows)),
        "power_readings": str(sum("power" in r for r in rows)),
        "power_derived": str(sum("power" not in r for r in rows if r)),
    }
    assert {name: summary[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("cells", "counts"),
    [
        (("", "", "2.5"), ("0", "8", "0")),
        (("", "", "", "", "", "230.0"), ("0", "0", "0")),
    ],
)
async def test_meter_without_energy_says_so(
    database: DatabaseFixture, cells: tuple[str, ...], counts: tuple[str, ...]
) -> None:
    await database.load(report(*(row(moment, *cells) for moment in quarters("2019-08-01", 8))))
    _, [summary] = await records(database, Summary)
    names = ("energy_readings", "power_readings", "power_derived")
    assert tuple(summary[name] for name in names) == counts
    nothing = ("energy", "energy_raw", "energy_clean", "mean_demand", "reactive_energy_ratio")
    assert {summary[name] for name in nothing} == {None}


def test_energy_after_a_gap_gives_no_power(database: DatabaseFixture) -> None:
    """It is of more than its interval; there is a maximeter, which tells."""
    moments = quarters("2019-08-01", 12)
    lines = [row(at, "1", "", "", "4") for at in moments]
    lines[5:11] = [row(at) for at in moments[5:11]]
    lines[11] = row(moments[11], "7", "", "", "4")

    async def check() -> None:
        await database.load(report(*lines))
        for interval in ("day", "hour"):
            _, found = await records(database, Aggregate, interval=interval, columns="power")
            assert max(record["power_max"] or "" for record in found) == "4.00000"
            assert sum(int(record["power_derived"] or 0) for record in found) == 5
        _, flagged = await records(database, DataQuality, list="flagged", flag="catch_up")
        assert [record["energy"] for record in flagged] == ["7.00000"]
        assert "2 * maximeter * hours" in str(flagged[0]["rule"])

    asyncio.run(check())
