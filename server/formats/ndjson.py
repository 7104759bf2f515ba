"""Newline-delimited JSON: a line for each record, and a last one with their number."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from domain.quantities import RECORD_KEYS
from domain.record_layout import Encoding
from server.formats.base import Format, ReadingsOptions, TableOptions
from server.formats.columns import json_writer, written
from server.formats.json import json_members
from server.transport.content_coding import Chunk
from storage.figures.result import Metadata, ResultTable
from storage.readings.reader import ReadingsResult


class Ndjson(Format):
    """Lines of JSON."""

    name = "ndjson"
    media_type = "application/x-ndjson"
    encoding = Encoding.NDJSON
    default_columns = RECORD_KEYS

    async def readings(
        self, result: ReadingsResult, options: ReadingsOptions
    ) -> AsyncGenerator[Chunk]:
        """Yield pages of lines, and the last line."""
        async with aclosing(result.pages) as pages:
            async for page in pages:
                yield page
        yield _last_line(result.count, options.metadata, numbers=options.layout.numbers)

    async def table(self, table: ResultTable, options: TableOptions) -> AsyncGenerator[Chunk]:
        """Yield rows as lines, and the last line."""
        write = json_writer(table, options, "\n")
        async with aclosing(table.rows) as chunks:
            async for rows in chunks:
                yield await written(write, rows) + b"\n"
        yield _last_line(table.count, table.metadata, numbers=options.numbers)


def _last_line(count: int, metadata: Metadata, *, numbers: bool) -> bytes:
    return b'{"numrecs":%d%b}\n' % (count, json_members(metadata, numbers=numbers))
