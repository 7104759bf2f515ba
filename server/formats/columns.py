"""The body of an answer that is worked out from readings, in each format of text.

Values are written column by column, some thousand rows at a time: row by row takes twice as long.
"""

import csv
import io
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import lru_cache

from domain.fixed_point import format_scaled
from server.formats.text import ENVELOPE_END, envelope_start, json_members
from server.transport.content_coding import Chunk
from storage.figures.result import CHUNK_ROWS, Field, FieldType, ResultTable, Row, Value

_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""What a formula begins with."""

Texts = Sequence[str | None]
"""The values of a column as texts, None where they are missing."""

ColumnWriter = Callable[[Sequence[Value]], Texts]
"""What makes them."""


def column_writers(fields: Sequence[Field], date: Callable[[int], str]) -> list[ColumnWriter]:
    """How to write each field, instants as a function says."""
    # Where one record ends, the next one begins.
    dated = lru_cache(2 * CHUNK_ROWS)(date)

    def written(kind: FieldType) -> ColumnWriter:
        if kind is FieldType.INSTANT:
            return lambda values: [None if value is None else dated(int(value)) for value in values]
        if kind is FieldType.QUANTITY:
            return lambda values: [
                None if value is None else format_scaled(int(value)) for value in values
            ]
        return lambda values: [None if value is None else str(value) for value in values]

    return [written(field.kind) for field in fields]


def json_objects(
    fields: Sequence[Field], writers: Sequence[ColumnWriter], *, numbers: bool
) -> Callable[[Sequence[Row]], list[str]]:
    """What makes JSON objects of rows."""

    def literals(field: Field, write: ColumnWriter) -> ColumnWriter:
        if field.kind is FieldType.TEXT:
            return lambda values: [json.dumps(text) for text in write(values)]
        if numbers and field.kind in (FieldType.QUANTITY, FieldType.COUNT):
            return lambda values: [text or "null" for text in write(values)]
        return lambda values: ["null" if text is None else f'"{text}"' for text in write(values)]

    literal = [literals(field, write) for field, write in zip(fields, writers, strict=True)]
    template = "{" + ",".join(f'"{field.name}":%s' for field in fields) + "}"
    return lambda rows: [template % values for values in _texts(rows, literal)]


async def table_envelope(
    table: ResultTable, objects_of: Callable[[Sequence[Row]], list[str]], facts: Mapping[str, str]
) -> AsyncGenerator[Chunk]:
    """An answer as the contract has it."""
    before = envelope_start(table.count, "" if table.count else "No data found", facts)
    async with aclosing(table.rows) as chunks:
        async for rows in chunks:
            yield before + ",".join(objects_of(rows)).encode()
            before = b","
    yield ENVELOPE_END if before == b"," else before + ENVELOPE_END


async def table_ndjson(
    table: ResultTable, objects_of: Callable[[Sequence[Row]], list[str]], facts: Mapping[str, str]
) -> AsyncGenerator[Chunk]:
    """A line of JSON for each row, and a last one that tells how many they are."""
    async with aclosing(table.rows) as chunks:
        async for rows in chunks:
            yield ("\n".join(objects_of(rows)) + "\n").encode()
    yield b'{"numrecs":%d%b}\n' % (table.count, json_members(facts))


async def table_csv(table: ResultTable, writers: Sequence[ColumnWriter]) -> AsyncGenerator[Chunk]:
    """Rows of CSV under a heading."""
    safe = [
        _harmless(write) if field.kind is FieldType.TEXT else write
        for field, write in zip(table.fields, writers, strict=True)
    ]
    yield _csv([[field.name for field in table.fields]])
    async with aclosing(csv_rows(table, safe)) as parts:
        async for part in parts:
            yield part


async def csv_rows(table: ResultTable, writers: Sequence[ColumnWriter]) -> AsyncGenerator[bytes]:
    """Rows of CSV."""
    async with aclosing(table.rows) as chunks:
        async for rows in chunks:
            yield _csv(_texts(rows, writers))


def neutralize_formula(text: str) -> str:
    """A report's own text for a cell, where a spreadsheet must not take it for a formula."""
    return f"'{text}" if text.lstrip()[:1] in _FORMULA else text


def _harmless(write: ColumnWriter) -> ColumnWriter:
    return lambda values: [text and neutralize_formula(text) for text in write(values)]


def _texts(
    rows: Sequence[Row], writers: Sequence[ColumnWriter]
) -> Iterator[tuple[str | None, ...]]:
    columns = zip(*rows, strict=True)
    return zip(
        *(write(values) for write, values in zip(writers, columns, strict=True)), strict=True
    )


def _csv(rows: Iterator[Sequence[str | None]] | Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
