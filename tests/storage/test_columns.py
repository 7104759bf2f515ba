"""Readings as arrays are those of the rows, in the order of time; aggregates of them are exact."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.columns import Column, Columns
from domain.flags import IMPLAUSIBLE, MISSING, ZERO_VOLTAGE
from domain.quantities import QUANTITY_NAMES
from storage.backends.dialect import ANY_VALUE
from storage.columns import reader
from storage.columns.aggregates import (
    as_list,
    exact_sums,
    first_maxima,
    group_counts,
    group_starts,
    group_sums,
    maxima,
    minima,
)
from storage.columns.reader import read_columns, read_meter_columns
from storage.columns.row_source import SEGMENT_READINGS, MeterPeriod
from storage.columns.texts import fetch_columns
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import report, row, written

FIRST = datetime(2019, 3, 1, tzinfo=UTC)
DAY = 86400


def line(place: int, values: list[str]) -> str:
    return row(written(FIRST + timedelta(minutes=15 * place)), *values)


def some_values(chance: random.Random) -> list[str]:
    return [
        "" if chance.random() < 0.1 else f"{chance.uniform(-50, 50):.5f}" for _ in QUANTITY_NAMES
    ]


def scaled(value: object) -> int | None:
    if value is None or isinstance(value, int):
        return value
    return int(Decimal(str(value)) * 10**5)


async def test_columns_are_those_of_the_rows_when_readings_came_late(
    database: DatabaseFixture,
) -> None:
    chance = random.Random(7)  # noqa: S311 - test data
    lines = [line(place, some_values(chance)) for place in range(3 * SEGMENT_READINGS)]
    late = set(chance.sample(range(len(lines)), 1000))
    database.configure(meter={"timezone": "UTC"})
    await database.load(
        report(*(each for place, each in enumerate(lines) if place not in late)),
        report(*(lines[place] for place in sorted(late))),
    )
    start = int(FIRST.timestamp()) + 10 * DAY
    until = start + 90 * DAY
    bounds = [str(FIRST.date() + timedelta(days=day)) for day in (10, 100)]
    rows = await database.rows(
        f"SELECT id, {', '.join(QUANTITY_NAMES)} FROM readings"
        f" WHERE date >= '{bounds[0]} 00:00:00' AND date < '{bounds[1]} 00:00:00' ORDER BY utc"
    )

    async with database.reader() as opened:
        engine = opened._engine
        parts = [part async for part in read_columns(engine, 1, start, until, QUANTITY_NAMES)]

    found = Columns.joined(parts)
    assert found.ids.tolist() == [ident for ident, *_ in rows]
    assert found.utc.tolist() == list(range(start, until, 900))
    for name, values in zip(QUANTITY_NAMES, [*zip(*rows, strict=True)][1:], strict=True):
        column = found.quantities[name]
        known = zip(column.values.tolist(), column.present.tolist(), strict=True)
        assert [value if is_known else None for value, is_known in known] == [*map(scaled, values)]


async def test_only_segments_with_readings_of_some_spans_are_read(
    database: DatabaseFixture,
) -> None:
    """The last reading has no block, which would tell its time."""
    places = 2 * SEGMENT_READINGS + 1
    database.configure(meter={"timezone": "UTC"})
    await database.load(report(*(line(place, ["1"]) for place in range(places))))
    last = int(FIRST.timestamp()) + 900 * (2 * SEGMENT_READINGS - 1)
    spans = np.array([last - 900, last]), np.array([last, last])

    async with database.reader() as reader:
        parts = read_columns(reader._engine, 1, 0, 2**33, ["energy"], spans)
        found = Columns.joined([part async for part in parts])

    assert found.ids.tolist() == [*range(SEGMENT_READINGS + 1, places + 1)]


async def test_columns_have_the_flags_of_their_readings(database: DatabaseFixture) -> None:
    """The first is missing, the third is implausible, and the last has no voltage."""
    database.configure(meter={"timezone": "UTC"})
    await database.load(
        report(
            line(0, []),
            line(1, ["1", "", "", "8"]),
            line(2, ["900", "", "", "2"]),
            line(3, ["1", "", "", "8", "", "0", "5"]),
        )
    )

    async with database.reader() as opened:
        parts = [part async for part in read_columns(opened._engine, 1, 0, 2**33, ["energy"])]

    found = Columns.joined(parts)
    assert found.flags.tolist() == [MISSING.bit, 0, IMPLAUSIBLE.bit, ZERO_VOLTAGE.bit]
    assert found.without_flags(IMPLAUSIBLE.bit).ids.tolist() == [1, 2, 4]


async def test_meters_come_in_turn_each_with_the_readings_of_its_time_when_read_in_pieces(
    database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has a block, rows after it and late readings; the second nothing of its time."""
    monkeypatch.setattr(reader, "READINGS_AT_ONCE", SEGMENT_READINGS)
    monkeypatch.setattr(reader, "METERS_IN_SOURCE", 3)
    database.configure(meter={"timezone": "UTC"})
    counts = {"a": SEGMENT_READINGS + 500, "b": 10, "c": 300, "d": 300}
    late = 100, 200
    for meter, count in counts.items():
        lines = [line(place, ["", "1"] if place % 3 else []) for place in range(count)]
        reports = [report(*lines[: late[0]], *lines[late[1] :]), report(*lines[slice(*late)])]
        await database.load(*reports[: 2 if count > late[1] else 1], meter=meter, register=True)
    start = int(FIRST.timestamp())
    bounds = {1: (50, 4400), 2: (10, 20), 4: (150, 170), 3: (250, 999)}
    periods = [
        MeterPeriod(meter, start + 900 * first, start + 900 * after)
        for meter, (first, after) in bounds.items()
    ]

    async with database.reader() as opened:
        batches = read_meter_columns(opened._engine, periods, ["energy", ANY_VALUE])
        found = [each async for batch in batches for each in batch]

    assert [meter for meter, _ in groupby(found, lambda each: each[0])] == [1, 4, 3]
    for number, ends in ((1, bounds[1]), (4, bounds[4]), (3, (250, counts["c"]))):
        columns = Columns.joined([each for other, each in found if other == number])
        places = range(*ends)
        assert columns.utc.tolist() == [start + 900 * place for place in places]
        assert not columns.quantities["energy"].present.any()
        assert columns.quantities[ANY_VALUE].present.tolist() == [place % 3 > 0 for place in places]
    assert max(len(columns) for _, columns in found) <= 2 * SEGMENT_READINGS


quantities = st.one_of(st.none(), st.integers(-(10**15), 10**15), st.integers(-3, 3))


@given(st.lists(st.tuples(st.integers(0, 3), quantities), max_size=60))
def test_aggregates_are_exact_however_large_the_values_are(
    readings: list[tuple[int, int | None]],
) -> None:
    keys = np.array([key for key, _ in readings], np.int64)
    column = Column(
        np.array([value or 0 for _, value in readings], np.int64),
        np.array([value is not None for _, value in readings], bool),
    )
    groups = [[value for _, value in run] for _, run in groupby(readings, lambda each: each[0])]
    known = [[value for value in group if value is not None] for group in groups]
    starts = group_starts(keys)

    assert group_sums(column, starts) == [sum(group) if group else None for group in known]
    assert group_counts(column, starts) == [*map(len, known)]
    assert as_list(minima(column, starts)) == [min(group, default=None) for group in known]
    assert as_list(maxima(column, starts)) == [max(group, default=None) for group in known]
    for group, some, start, place in zip(
        groups, known, starts, first_maxima(column, starts), strict=True
    ):
        if some:
            assert place - start == group.index(max(some))


def test_sums_are_exact_beyond_64_bits() -> None:
    values = np.full(20_000, 10**15, np.int64)

    assert exact_sums(values, np.array([0, 1])) == [10**15, 19_999 * 10**15]
    assert exact_sums(-values, np.array([0])) == [-20_000 * 10**15]


async def test_columns_of_rows_are_exact_beyond_64_bits(database: DatabaseFixture) -> None:
    database.configure(meter={"timezone": "UTC"})
    await database.load(report(line(0, [])))
    numbers = [10**19, -(10**19), 2**63 - 1, 5]
    rows = " UNION ALL ".join(f"SELECT '{number}' AS number" for number in numbers)

    async with database.reader() as reader:
        (column,) = await fetch_columns(
            reader._engine, ["number"], f"({rows} UNION ALL SELECT NULL) AS numbers"
        )

    assert as_list(column) == [*numbers, None]
