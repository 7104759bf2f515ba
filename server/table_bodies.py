"""The body of an answer that is worked out from readings, in each format of text.

Values are written column by column, some thousand rows at a time: row by row takes twice as long.
"""

import csv
import io
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import lru_cache

from server.bodies import TAIL, head, members
from server.coding import Part
from storage.table import ROWS, Field, Kind, Row, Table, Value, quantity

_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""What a formula begins with."""

Texts = Sequence[str | None]
"""The values of a column as texts, None where they are missing."""

Written = Callable[[Sequence[Value]], Texts]
"""What makes them."""


def writers(fields: Sequence[Field], date: Callable[[int], str]) -> list[Written]:
    """How to write each field, instants as a function says."""
    # Where one record ends, the next one begins.
    dated = lru_cache(2 * ROWS)(date)

    def written(kind: Kind) -> Written:
        if kind is Kind.INSTANT:
            return lambda values: [None if value is None else dated(int(value)) for value in values]
        if kind is Kind.QUANTITY:
            return lambda values: [
                None if value is None else quantity(int(value)) for value in values
            ]
        return lambda values: [None if value is None else str(value) for value in values]

    return [written(field.kind) for field in fields]


def objects(
    fields: Sequence[Field], writers: Sequence[Written], *, numbers: bool
) -> Callable[[Sequence[Row]], list[str]]:
    """What makes JSON objects of rows."""

    def literals(field: Field, write: Written) -> Written:
        if field.kind is Kind.TEXT:
            return lambda values: [json.dumps(text) for text in write(values)]
        if numbers and field.kind in (Kind.QUANTITY, Kind.COUNT):
            return lambda values: [text or "null" for text in write(values)]
        return lambda values: ["null" if text is None else f'"{text}"' for text in write(values)]

    literal = [literals(field, write) for field, write in zip(fields, writers, strict=True)]
    template = "{" + ",".join(f'"{field.name}":%s' for field in fields) + "}"
    return lambda rows: [template % values for values in _texts(rows, literal)]


async def envelope(
    table: Table, objects_of: Callable[[Sequence[Row]], list[str]], facts: Mapping[str, str]
) -> AsyncGenerator[Part]:
    """An answer as the contract has it."""
    before = head(table.count, "" if table.count else "No data found", facts)
    async with aclosing(table.rows) as chunks:
        async for rows in chunks:
            yield before + ",".join(objects_of(rows)).encode()
            before = b","
    yield TAIL if before == b"," else before + TAIL


async def lines(
    table: Table, objects_of: Callable[[Sequence[Row]], list[str]], facts: Mapping[str, str]
) -> AsyncGenerator[Part]:
    """A line of JSON for each row, and a last one that tells how many they are."""
    async with aclosing(table.rows) as chunks:
        async for rows in chunks:
            yield ("\n".join(objects_of(rows)) + "\n").encode()
    yield b'{"numrecs":%d%b}\n' % (table.count, members(facts))


async def sheet(table: Table, writers: Sequence[Written]) -> AsyncGenerator[Part]:
    """Rows of CSV under a heading."""
    safe = [
        _harmless(write) if field.kind is Kind.TEXT else write
        for field, write in zip(table.fields, writers, strict=True)
    ]
    yield _csv([[field.name for field in table.fields]])
    async with aclosing(cells(table, safe)) as parts:
        async for part in parts:
            yield part


async def cells(table: Table, writers: Sequence[Written]) -> AsyncGenerator[bytes]:
    """Rows of CSV."""
    async with aclosing(table.rows) as chunks:
        async for rows in chunks:
            yield _csv(_texts(rows, writers))


def harmless(text: str) -> str:
    """A report's own text for a cell, where a spreadsheet must not take it for a formula."""
    return f"'{text}" if text.lstrip()[:1] in _FORMULA else text


def _harmless(write: Written) -> Written:
    return lambda values: [text and harmless(text) for text in write(values)]


def _texts(rows: Sequence[Row], writers: Sequence[Written]) -> Iterator[tuple[str | None, ...]]:
    columns = zip(*rows, strict=True)
    return zip(
        *(write(values) for write, values in zip(writers, columns, strict=True)), strict=True
    )


def _csv(rows: Iterator[Sequence[str | None]] | Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
