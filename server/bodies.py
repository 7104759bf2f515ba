"""The body of an answer in each format of text, made while it is sent."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from server.coding import Part
from storage.reader import Answer
from storage.shape import Shape

TAIL = b"]}}"


def head(count: int, message: str, facts: Mapping[str, str] | None = None) -> bytes:
    """How an answer begins that holds so many records; facts are JSON texts."""
    return (
        b'{"message":"%b","status":"OK","statusCode":200,"values":{"numrecs":%d%b,"records":['
        % (message.encode(), count, members(facts or {}))
    )


async def envelope(answer: Answer, facts: Mapping[str, str]) -> AsyncGenerator[Part]:
    """An answer as the contract has it."""
    before = head(answer.count, "" if answer.count else "No data found", facts)
    async with aclosing(answer.pages) as pages:
        async for page in pages:
            yield before
            yield page
            before = b","
    if before != b",":
        yield before
    yield TAIL


async def lines(answer: Answer, facts: Mapping[str, str]) -> AsyncGenerator[Part]:
    """A line of JSON for each record, and a last one that tells how many they are."""
    async with aclosing(answer.pages) as pages:
        async for page in pages:
            yield page
    yield b'{"numrecs":%d%b}\n' % (answer.count, members(facts))


async def rows(answer: Answer, shape: Shape) -> AsyncGenerator[Part]:
    """A report."""
    yield shape.heading.encode()
    async with aclosing(answer.pages) as pages:
        async for page in pages:
            yield page


def members(facts: Mapping[str, str]) -> bytes:
    """Facts as further members of an object."""
    return "".join(f',"{name}":{text}' for name, text in facts.items()).encode()
