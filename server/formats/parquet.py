"""Answers as Parquet, a group of rows at a time, each made in a thread."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from domain.quantities import DECIMALS, INTEGER_DIGITS
from domain.record_layout import FLAGS_COLUMN, RecordLayout
from server.formats.columns import column_writers, csv_rows
from storage.common.deflate import DeflateBlock
from storage.figures.result import FieldType, ResultTable
from storage.readings.reader import ReadingsResult

if TYPE_CHECKING:
    from server.formats.parquet_writer import ParquetFile

GROUP_ROWS = 2**16
"""Readings in a group of rows, at least; the last group may be smaller."""


SUM_DIGITS = 38
"""Digits that sums may have: as many as Parquet has room for."""

_KINDS = {"id": FieldType.COUNT, "date": FieldType.INSTANT, FLAGS_COLUMN: FieldType.TEXT}
"""Those of a reading's columns that are no quantities."""


async def readings_parquet(
    answer: ReadingsResult, shape: RecordLayout, zone: str
) -> AsyncGenerator[bytes]:
    """A file whose instants are shown in a zone."""
    columns = {column: _KINDS.get(column, FieldType.QUANTITY) for column in shape.columns}
    file = await asyncio.to_thread(_begun, columns, zone, digits=INTEGER_DIGITS + DECIMALS)
    parts = (
        page.plain() if isinstance(page, DeflateBlock) else page async for page in answer.pages
    )
    async with aclosing(answer.pages), aclosing(_groups(file, parts)) as groups:
        async for group in groups:
            yield group


async def table_parquet(table: ResultTable, zone: str | None) -> AsyncGenerator[bytes]:
    """The same of what is worked out from readings; without a zone, in the table's own."""
    columns = {field.name: field.kind for field in table.fields}
    zone = zone or (table.zone.name if table.zone else "UTC")
    file = await asyncio.to_thread(_begun, columns, zone, digits=SUM_DIGITS, null_texts=True)
    parts = csv_rows(table, column_writers(table.fields, str))
    async with aclosing(parts), aclosing(_groups(file, parts)) as groups:
        async for group in groups:
            yield group


async def _groups(file: "ParquetFile", parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The file, from rows of CSV."""
    waiting: list[bytes] = []
    count = 0
    async with aclosing(parts):
        async for part in parts:
            waiting.append(part)
            count += part.count(b"\n")
            if count >= GROUP_ROWS:
                yield await asyncio.to_thread(file.group, b"".join(waiting))
                waiting.clear()
                count = 0
    if waiting:
        yield await asyncio.to_thread(file.group, b"".join(waiting))
    yield await asyncio.to_thread(file.end)


def _begun(
    columns: Mapping[str, FieldType], zone: str, *, digits: int, null_texts: bool = False
) -> "ParquetFile":
    # pyarrow takes its time, and memory: nobody who doesn't want Parquet has to pay for it.
    from server.formats.parquet_writer import ParquetFile  # noqa: PLC0415 - see above

    return ParquetFile(columns, zone, digits=digits, null_texts=null_texts)
