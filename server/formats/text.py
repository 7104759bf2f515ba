"""The body of an answer in each format of text, made while it is sent."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from domain.record_layout import RecordLayout
from server.transport.content_coding import Chunk
from storage.readings.reader import ReadingsResult

ENVELOPE_END = b"]}}"


def envelope_start(count: int, message: str, facts: Mapping[str, str] | None = None) -> bytes:
    """How an answer begins that holds so many records; facts are JSON texts."""
    return (
        b'{"message":"%b","status":"OK","statusCode":200,"values":{"numrecs":%d%b,"records":['
        % (message.encode(), count, json_members(facts or {}))
    )


async def readings_envelope(
    answer: ReadingsResult, facts: Mapping[str, str]
) -> AsyncGenerator[Chunk]:
    """An answer as the contract has it."""
    before = envelope_start(answer.count, "" if answer.count else "No data found", facts)
    async with aclosing(answer.pages) as pages:
        async for page in pages:
            yield before
            yield page
            before = b","
    if before != b",":
        yield before
    yield ENVELOPE_END


async def readings_ndjson(
    answer: ReadingsResult, facts: Mapping[str, str]
) -> AsyncGenerator[Chunk]:
    """A line of JSON for each record, and a last one that tells how many they are."""
    async with aclosing(answer.pages) as pages:
        async for page in pages:
            yield page
    yield b'{"numrecs":%d%b}\n' % (answer.count, json_members(facts))


async def readings_csv(answer: ReadingsResult, shape: RecordLayout) -> AsyncGenerator[Chunk]:
    """A report."""
    yield shape.heading.encode()
    async with aclosing(answer.pages) as pages:
        async for page in pages:
            yield page


def json_members(facts: Mapping[str, str]) -> bytes:
    """Facts as further members of an object."""
    return "".join(f',"{name}":{text}' for name, text in facts.items()).encode()
