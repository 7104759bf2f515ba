"""Answers as Parquet, a group of rows at a time, each made in a thread."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from server.table_bodies import cells, writers
from storage.pieces import Piece
from storage.reader import Answer
from storage.reading import DECIMALS, INTEGER_DIGITS
from storage.shape import FLAGS_COLUMN, Shape
from storage.table import Kind, Table

if TYPE_CHECKING:
    from server.parquet_file import File

GROUP = 2**16
"""Readings in a group of rows, at least; the last group may be smaller."""


SUM_DIGITS = 38
"""Digits that sums may have: as many as Parquet has room for."""

_KINDS = {"id": Kind.COUNT, "date": Kind.INSTANT, FLAGS_COLUMN: Kind.TEXT}
"""Those of a reading's columns that are no quantities."""


async def parquet(answer: Answer, shape: Shape, zone: str) -> AsyncGenerator[bytes]:
    """A file whose instants are shown in a zone."""
    columns = {column: _KINDS.get(column, Kind.QUANTITY) for column in shape.columns}
    file = await asyncio.to_thread(_begun, columns, zone, digits=INTEGER_DIGITS + DECIMALS)
    parts = (page.plain() if isinstance(page, Piece) else page async for page in answer.pages)
    async with aclosing(answer.pages), aclosing(_groups(file, parts)) as groups:
        async for group in groups:
            yield group


async def parquet_table(table: Table, zone: str | None) -> AsyncGenerator[bytes]:
    """The same of what is worked out from readings; without a zone, in the table's own."""
    columns = {field.name: field.kind for field in table.fields}
    zone = zone or (table.zone.name if table.zone else "UTC")
    file = await asyncio.to_thread(_begun, columns, zone, digits=SUM_DIGITS, null_texts=True)
    parts = cells(table, writers(table.fields, str))
    async with aclosing(parts), aclosing(_groups(file, parts)) as groups:
        async for group in groups:
            yield group


async def _groups(file: "File", parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The file, from rows of CSV."""
    waiting: list[bytes] = []
    count = 0
    async with aclosing(parts):
        async for part in parts:
            waiting.append(part)
            count += part.count(b"\n")
            if count >= GROUP:
                yield await asyncio.to_thread(file.group, b"".join(waiting))
                waiting.clear()
                count = 0
    if waiting:
        yield await asyncio.to_thread(file.group, b"".join(waiting))
    yield await asyncio.to_thread(file.end)


def _begun(
    columns: Mapping[str, Kind], zone: str, *, digits: int, null_texts: bool = False
) -> "File":
    # pyarrow takes its time, and memory: nobody who doesn't want Parquet has to pay for it.
    from server.parquet_file import File  # noqa: PLC0415 - see above

    return File(columns, zone, digits=digits, null_texts=null_texts)
