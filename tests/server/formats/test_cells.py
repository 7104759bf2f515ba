"""Columns as text are, to the byte, what rows of the same values are as text."""

import json
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.columns import Column
from domain.record_layout import TimeStyle
from domain.time.time_zone import TimeZone
from server.formats.base import TableOptions
from server.formats.csv import Csv
from server.formats.json import Json
from server.formats.ndjson import Ndjson
from server.formats.parquet import Parquet
from server.v1.formats.base import DIALECTS, Envelope, WriteOptions
from server.v1.formats.document import JsonDocument, JsonLines
from server.v1.formats.table_files import CsvTable
from server.v1.formats.workbook import Xlsx
from storage.columns.aggregates import integers
from storage.figures.result import ColumnRows, Field, FieldType, ResultTable, Row

FIELDS = [
    Field("date", FieldType.INSTANT, "Start"),
    Field("energy", FieldType.QUANTITY, "Energy", "kWh"),
    Field("present", FieldType.COUNT, "Readings"),
]
FIRST = -62_135_000_000
"""In the year 1."""
LAST = 253_370_000_000
"""In the year 9998."""

ZONES = ["Europe/Madrid", "Asia/Kolkata", "America/St_Johns", "UTC"]

instants = st.one_of(st.integers(FIRST, LAST), st.integers(0, 10**7), st.just(1_572_134_400))
quantities = st.one_of(st.integers(-(10**6), 10**6), st.integers(-(10**19), 10**19))
counts = st.one_of(st.integers(0, 100), st.integers(0, 10**9))
rows_of_values = st.lists(
    st.tuples(st.none() | instants, st.none() | quantities, st.none() | counts), min_size=1
)


def as_columns(rows: Sequence[Row]) -> ColumnRows:
    columns = []
    for values in zip(*rows, strict=True):
        known = None if None not in values else np.array([value is not None for value in values])
        columns.append(Column(integers([int(value or 0) for value in values]), known))
    return ColumnRows(columns)


async def body(write: Any, rows: Sequence[Row], zone: str | None, *options: Any) -> bytes:
    async def chunks() -> Any:
        yield rows

    here = None if zone is None else TimeZone(ZoneInfo(zone))
    table = ResultTable(FIELDS, here, len(rows), chunks())
    return b"".join([bytes(chunk) async for chunk in write.table(table, *options)])


async def assert_same(write: Any, rows: Sequence[Row], zone: str | None, *options: Any) -> None:
    columns = as_columns(rows)
    assert [*columns] == [*rows]
    assert await body(write, columns, zone, *options) == await body(write, rows, zone, *options)


@given(
    rows=rows_of_values,
    zone=st.sampled_from([None, *ZONES]),
    style=st.sampled_from([*TimeStyle]),
    numbers=st.booleans(),
)
@example(rows=[(-(10**10), 0, 0)], zone="Europe/Madrid", style=TimeStyle.OFFSET, numbers=False)
@example(rows=[(0, -1, 10_000), (0, 99_999, 9999)], zone=None, style=TimeStyle.UTC, numbers=True)
@example(rows=[(0, 10**9, 10**8), (1, 5, 7)], zone="UTC", style=TimeStyle.LOCAL, numbers=True)
async def test_columns_are_written_like_rows(
    rows: list[tuple[int | None, ...]], zone: str | None, style: TimeStyle, *, numbers: bool
) -> None:
    for write in (Json(), Ndjson(), Csv()):
        await assert_same(write, rows, zone, TableOptions(style, numbers=numbers))


@given(rows=rows_of_values, dialect=st.sampled_from([*DIALECTS.values()]))
async def test_columns_are_written_like_rows_in_formats_of_v1(
    rows: list[tuple[int | None, ...]], dialect: Any
) -> None:
    document = Envelope({"timezone": "Europe/Madrid"}, {"self": "/"})
    options = WriteOptions(dialect)
    for write in (JsonDocument(), JsonLines(), CsvTable()):
        await assert_same(write, rows, "Europe/Madrid", document, options)


@pytest.mark.parametrize("write", [Parquet(), Xlsx()], ids=["parquet", "xlsx"])
async def test_columns_are_written_like_rows_in_files(write: Any) -> None:
    rows = [(1_572_134_400, 12_345_678, 4), (1_572_138_000, None, 0), (1_572_141_600, -5, 3)]
    options: tuple[Any, ...] = (TableOptions(TimeStyle.OFFSET, numbers=False),)
    if isinstance(write, Xlsx):
        options = (Envelope({}, {}), WriteOptions())

    await assert_same(write, rows, "Europe/Madrid", *options)


async def test_row_of_columns_is_json() -> None:
    rows = as_columns([(1_572_134_400, -12_345_678, 4), (1_572_138_000, None, 0)])

    found = await body(Json(), rows, "Europe/Madrid", TableOptions(TimeStyle.OFFSET, numbers=False))

    assert json.loads(found)["values"]["records"] == [
        {"date": "2019-10-27T02:00:00+02:00", "energy": "-123.45678", "present": "4"},
        {"date": "2019-10-27T02:00:00+01:00", "energy": None, "present": "0"},
    ]
