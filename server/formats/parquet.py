"""Parquet: one row group at a time, each made in a thread."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from domain.quantities import DECIMALS, INTEGER_DIGITS, QUANTITY_NAMES
from domain.record_layout import FLAGS_COLUMN, Encoding, TimeStyle
from server.formats.base import Format, ReadingsOptions, TableOptions
from server.formats.cells import count_pieces
from server.formats.columns import cell_writers, column_writers
from server.formats.csv import csv_rows
from server.transport.content_coding import Chunk
from storage.common.deflate import DeflateBlock
from storage.figures.result import FieldType, ResultTable
from storage.readings.reader import ReadingsResult

if TYPE_CHECKING:
    from server.formats.parquet_writer import ParquetWriter

ROW_GROUP_ROWS = 2**16
"""The fewest rows of a row group, except for the last."""

_SUM_DIGITS = 38
"""Digits of a sum: as many as Parquet's decimals can have."""

_TYPES = {"id": FieldType.COUNT, "date": FieldType.INSTANT, FLAGS_COLUMN: FieldType.TEXT}
"""The types of a reading's columns that are not quantities."""


class Parquet(Format):
    """A file of typed columns."""

    name = "parquet"
    media_type = "application/vnd.apache.parquet"
    encoding = Encoding.CSV_TYPED
    default_columns = ("id", "date", *QUANTITY_NAMES)
    is_file = True
    is_typed = True

    async def readings(
        self, result: ReadingsResult, options: ReadingsOptions
    ) -> AsyncGenerator[bytes]:
        """Yield a file; instants have the zone of the options."""
        columns = {name: _TYPES.get(name, FieldType.QUANTITY) for name in options.layout.columns}
        async with aclosing(readings_file(columns, options.zone, result.pages)) as groups:
            async for group in groups:
                yield group

    async def table(self, table: ResultTable, options: TableOptions) -> AsyncGenerator[bytes]:
        """Yield a file; instants have the table's zone unless the options say UTC."""
        columns = {field.name: field.kind for field in table.fields}
        zone = "UTC" if table.zone is None or options.time is TimeStyle.UTC else table.zone.name
        writer = await asyncio.to_thread(
            _writer, columns, zone, digits=_SUM_DIGITS, null_texts=True
        )
        cells = cell_writers(table.fields, count_pieces)
        chunks = csv_rows(table, column_writers(table.fields, str), cells)
        async with aclosing(chunks), aclosing(_row_groups(writer, chunks)) as groups:
            async for group in groups:
                yield group


async def readings_file(
    columns: Mapping[str, FieldType], zone: str, pages: AsyncGenerator[Chunk]
) -> AsyncGenerator[bytes]:
    """Yield the file of readings, given as pages of typed CSV; instants have a zone."""
    digits = INTEGER_DIGITS + DECIMALS
    writer = await asyncio.to_thread(_writer, columns, zone, digits=digits)
    chunks = (page.plain() if isinstance(page, DeflateBlock) else page async for page in pages)
    async with aclosing(pages), aclosing(_row_groups(writer, chunks)) as groups:
        async for group in groups:
            yield group


async def _row_groups(
    writer: "ParquetWriter", chunks: AsyncGenerator[bytes]
) -> AsyncGenerator[bytes]:
    """Yield the file of some rows, given as CSV."""
    pending: list[bytes] = []
    count = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            pending.append(chunk)
            count += chunk.count(b"\n")
            if count >= ROW_GROUP_ROWS:
                yield await asyncio.to_thread(writer.row_group, b"".join(pending))
                pending.clear()
                count = 0
    if pending:
        yield await asyncio.to_thread(writer.row_group, b"".join(pending))
    yield await asyncio.to_thread(writer.end)


def _writer(
    columns: Mapping[str, FieldType], zone: str, *, digits: int, null_texts: bool = False
) -> "ParquetWriter":
    # Loading pyarrow costs time and memory: only clients that ask for Parquet should pay for it.
    from server.formats.parquet_writer import ParquetWriter  # noqa: PLC0415 - see above

    return ParquetWriter(columns, zone, digits=digits, null_texts=null_texts)
