"""JSON: the envelope of the contract."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from domain.quantities import RECORD_KEYS
from domain.readings_query import NOTHING_FOUND
from domain.record_layout import Encoding
from server.formats.base import Format, ReadingsOptions, TableOptions
from server.formats.columns import json_writer, written
from server.transport.content_coding import Chunk
from server.transport.streaming import JSON_MEDIA_TYPE
from storage.figures.result import Metadata, ResultTable
from storage.readings.reader import ReadingsResult

ENVELOPE_END = b"]}}"


class Json(Format):
    """Records in an envelope with their number and the metadata."""

    name = "json"
    media_type = JSON_MEDIA_TYPE
    encoding = Encoding.JSON_OBJECTS
    default_columns = RECORD_KEYS

    async def readings(
        self, result: ReadingsResult, options: ReadingsOptions
    ) -> AsyncGenerator[Chunk]:
        """Yield pages of records in an envelope."""
        members = json_members(options.metadata, numbers=options.layout.numbers)
        before = _start(result.count, members, options.message)
        async with aclosing(result.pages) as pages:
            async for page in pages:
                yield before
                yield page
                before = b","
        if before != b",":
            yield before
        yield ENVELOPE_END

    async def table(self, table: ResultTable, options: TableOptions) -> AsyncGenerator[Chunk]:
        """Yield rows as objects in an envelope."""
        write = json_writer(table, options)
        before = _start(table.count, json_members(table.metadata, numbers=options.numbers))
        async with aclosing(table.rows) as chunks:
            async for rows in chunks:
                yield before + await written(write, rows)
                before = b","
        yield ENVELOPE_END if before == b"," else before + ENVELOPE_END


def envelope_start(count: int, message: str, members: bytes = b"") -> bytes:
    """Return the start of a success with some records, up to the first of them."""
    return (
        b'{"message":"%b","status":"OK","statusCode":200,"values":{"numrecs":%d%b,"records":['
        % (message.encode(), count, members)
    )


def json_members(metadata: Metadata, *, numbers: bool) -> bytes:
    """Return metadata as further members of a JSON object, each after a comma."""
    members = []
    for name, value in metadata.items():
        text = json.dumps(value, separators=(",", ":"))
        if numbers and name in ("left_out", "implausible") and isinstance(value, Mapping):
            text = "{" + ",".join(f'"{key}":{number}' for key, number in value.items()) + "}"
        members.append(f',"{name}":{text}')
    return "".join(members).encode()


def _start(count: int, members: bytes, message: str = NOTHING_FOUND) -> bytes:
    return envelope_start(count, "" if count else message, members)
