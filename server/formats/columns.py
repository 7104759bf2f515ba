"""Column-wise formatting of figures: half the time of formatting row by row, or less for arrays."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from domain.columns import Column
from domain.fixed_point import format_scaled
from domain.record_layout import TimeStyle
from domain.time.time_zone import TimeZone
from server.formats.base import TableOptions
from server.formats.cells import (
    CellWriter,
    Pieces,
    count_pieces,
    instant_writer,
    joined_rows,
    nullable,
    quantity_pieces,
)
from storage.common.turns import PIECE_ROWS, in_thread
from storage.figures.result import ColumnRows, Field, FieldType, ResultTable, Row, Value

Texts = Sequence[str | None]
"""The values of a column as texts, None for missing ones."""

ColumnWriter = Callable[[Sequence[Value]], Texts]

RowsWriter = Callable[[Sequence[Row]], bytes]
"""Formats rows."""


async def written(write: RowsWriter, rows: Sequence[Row]) -> bytes:
    """Return formatted rows; arrays, of which there are many at once, are formatted in a thread."""
    return await in_thread(write, rows) if isinstance(rows, ColumnRows) else write(rows)


def instant_formatter(style: TimeStyle, zone: TimeZone | None) -> Callable[[int], str]:
    """Return the function that formats seconds since 1970 in a style."""
    if style is TimeStyle.UTC or zone is None:
        return lambda instant: f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%dT%H:%M:%SZ}"
    if style is TimeStyle.OFFSET:
        return lambda instant: zone.at(instant).isoformat()
    return lambda instant: str(zone.at(instant).replace(tzinfo=None))


def instant_cells(style: TimeStyle, zone: TimeZone | None) -> CellWriter:
    """Return what formats columns of seconds since 1970 in a style."""
    return instant_writer(style, zone, instant_formatter(style, zone))


def cell_writers(
    fields: Sequence[Field], instants: CellWriter, quantities: CellWriter = quantity_pieces
) -> list[CellWriter]:
    """Return what formats whole columns of each field, none of which are texts."""
    writers = {FieldType.QUANTITY: quantities, FieldType.INSTANT: instants}
    return [writers.get(field.kind, count_pieces) for field in fields]


def column_writers(
    fields: Sequence[Field], format_instant: Callable[[int], str]
) -> list[ColumnWriter]:
    """Return the function that formats the values of each field."""
    # The end of a record is the start of the next one.
    cached_instant = lru_cache(2 * PIECE_ROWS)(format_instant)

    def writer(kind: FieldType) -> ColumnWriter:
        if kind is FieldType.INSTANT:
            return lambda values: [
                None if value is None else cached_instant(int(value)) for value in values
            ]
        if kind is FieldType.QUANTITY:
            return lambda values: [
                None if value is None else format_scaled(int(value)) for value in values
            ]
        return lambda values: [None if value is None else str(value) for value in values]

    return [writer(field.kind) for field in fields]


def json_writer(table: ResultTable, options: TableOptions, separator: str = ",") -> RowsWriter:
    """Return the function that formats rows as JSON objects."""
    names = [field.name for field in table.fields]
    is_number = [
        options.numbers and field.kind in (FieldType.QUANTITY, FieldType.COUNT)
        for field in table.fields
    ]

    def literals(field: Field, write: ColumnWriter, *, is_number: bool) -> ColumnWriter:
        if field.kind is FieldType.TEXT:
            return lambda values: [json.dumps(text) for text in write(values)]
        if is_number:
            return lambda values: [text or "null" for text in write(values)]
        return lambda values: ["null" if text is None else f'"{text}"' for text in write(values)]

    writers = column_writers(table.fields, instant_formatter(options.time, table.zone))
    columns = [
        literals(field, write, is_number=is_plain)
        for field, write, is_plain in zip(table.fields, writers, is_number, strict=True)
    ]
    template = "{" + ",".join(f'"{name}":%s' for name in names) + "}"
    cells = cell_writers(table.fields, instant_cells(options.time, table.zone))
    quotes = [b"" if is_plain else b'"' for is_plain in is_number]

    def write(rows: Sequence[Row]) -> bytes:
        if isinstance(rows, ColumnRows):
            parts: list[bytes | Pieces] = []
            before = f"{separator}{{"
            for name, column, cell, quote in zip(names, rows.columns, cells, quotes, strict=True):
                parts += [f'{before}"{name}":'.encode(), nullable(column, cell, b"null", quote)]
                before = ","
            return joined_rows([*parts, b"}"], len(rows))[len(separator) :]
        texts = (template % values for values in formatted_rows(rows, columns))
        return separator.join(texts).encode()

    return write


def formatted_rows(
    rows: Sequence[Row], writers: Sequence[ColumnWriter]
) -> Iterator[tuple[str | None, ...]]:
    """Return rows of texts, formatted column by column."""
    columns = zip(*rows, strict=True)
    return zip(
        *(write(values) for write, values in zip(writers, columns, strict=True)), strict=True
    )


def separated_rows(columns: Sequence[Column], cells: Sequence[CellWriter], separator: str) -> bytes:
    """Return columns as lines of CSV, in which no value needs quotes."""
    parts: list[bytes | Pieces] = []
    before = b""
    for column, write in zip(columns, cells, strict=True):
        parts += [before, nullable(column, write, b"")]
        before = separator.encode()
    return joined_rows([*parts, b"\r\n"], len(columns[0].values))
