"""JSON: one document of data, meta and links; and lines of JSON."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from domain.record_layout import Encoding
from server.formats.columns import json_writer, written
from server.transport.content_coding import Chunk
from server.transport.streaming import JSON_MEDIA_TYPE
from server.v1.formats.base import (
    METER_COLUMN,
    TABLE_OPTIONS,
    Envelope,
    MeterReadings,
    Readings,
    V1Format,
    WriteOptions,
    exact_json,
)
from storage.common.deflate import DeflateBlock
from storage.figures.result import ResultTable


class JsonDocument(V1Format):
    """An object whose last member is the data: one that was cut short is not valid JSON."""

    name = "json"
    media_type = JSON_MEDIA_TYPE
    encoding = Encoding.JSON_OBJECTS
    is_file = False
    max_records = None

    async def readings(
        self,
        readings: Readings,
        document: Envelope,
        options: WriteOptions,  # noqa: ARG002 - there are none for JSON
    ) -> AsyncGenerator[Chunk]:
        """Yield pages of records in the document."""
        before = _start(document) + b"["
        async with aclosing(json_pages(readings)) as pages:
            async for page in pages:
                yield before
                yield page
                before = b","
        if before != b",":
            yield before
        yield b"]}"

    async def table(
        self,
        table: ResultTable,
        document: Envelope,
        options: WriteOptions,  # noqa: ARG002 - there are none for JSON
    ) -> AsyncGenerator[Chunk]:
        """Yield rows as objects in the document."""
        write = json_writer(table, TABLE_OPTIONS)
        before = _start(document) + (b"" if document.is_single else b"[")
        is_empty = True
        async with aclosing(table.rows) as chunks:
            async for rows in chunks:
                yield before + await written(write, rows)
                before, is_empty = b",", False
        if is_empty:
            yield before + (b"null" if document.is_single else b"")
        yield b"}" if document.is_single else b"]}"


class JsonLines(V1Format):
    """Records as lines of JSON, without a last one unless it is asked for."""

    name = "ndjson"
    media_type = "application/x-ndjson"
    encoding = Encoding.NDJSON
    is_file = False
    max_records = None

    async def readings(
        self, readings: Readings, document: Envelope, options: WriteOptions
    ) -> AsyncGenerator[Chunk]:
        """Yield pages of lines."""
        is_empty = True
        async with aclosing(json_pages(readings)) as pages:
            async for page in pages:
                yield page
                is_empty = False
        if is_empty or options.has_last_line:
            yield _last_line(document, options)

    async def table(
        self, table: ResultTable, document: Envelope, options: WriteOptions
    ) -> AsyncGenerator[Chunk]:
        """Yield rows as lines."""
        write = json_writer(table, TABLE_OPTIONS, "\n")
        is_empty = True
        async with aclosing(table.rows) as chunks:
            async for rows in chunks:
                yield await written(write, rows) + b"\n"
                is_empty = False
        if is_empty or options.has_last_line:
            yield _last_line(document, options)


async def json_pages(readings: Readings) -> AsyncGenerator[Chunk]:
    """Yield the pages of readings, whose records name the meter if there may be several."""
    async with aclosing(readings.meters) as meters:
        async for each in meters:
            async with aclosing(each.result.pages) as pages:
                async for page in pages:
                    yield _named(page, each) if readings.has_meter_column else page


def _named(page: Chunk, readings: MeterReadings) -> bytes:
    """Return records with their meter; no value of a record holds a brace."""
    plain = page.plain() if isinstance(page, DeflateBlock) else page
    assert readings.meter is not None
    return plain.replace(b"{", b'{"%b":"%b",' % (METER_COLUMN.encode(), readings.meter.encode()))


def _start(document: Envelope) -> bytes:
    meta, links = exact_json(document.meta), exact_json(document.links)
    return f'{{"meta":{meta},"links":{links},"data":'.encode()


def _last_line(document: Envelope, options: WriteOptions) -> bytes:
    if not options.has_last_line:
        return b""
    return (exact_json({"meta": document.meta, "links": document.links}) + "\n").encode()
