"""A connection of a worker process, which waits for quick answers without the event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from storage.backends.mysql.direct_stream import DirectStream

LARGE = bytes(range(256)) * 2**15
"""More than what a socket holds on its way."""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def connected(serve: Serve) -> AsyncIterator[DirectStream]:
    """A stream to a server in the same event loop, which answers only while others can run."""

    ended: list[asyncio.Event] = []

    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.Event())
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            ended[-1].set()

    server = await asyncio.start_server(end, "127.0.0.1")
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert isinstance(writer.transport, asyncio.Transport)
    stream = DirectStream(writer.transport)
    try:
        yield stream
    finally:
        stream.close()
        writer.close()
        server.close()
        await server.wait_closed()
        for each in ended:
            await each.wait()


async def test_answer_that_takes_long_is_waited_for_while_others_run() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(8))

    async with connected(echo) as stream:
        stream.write(b"question")
        assert await stream.readexactly(5) == b"quest"
        assert await stream.readexactly(3) == b"ion"


async def test_what_is_written_is_sent_whole_when_the_server_reads_slowly() -> None:
    received = bytearray()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(received) < len(LARGE):
            received.extend(await reader.read(5000))
        writer.write(b"done")

    async with connected(take) as stream:
        stream.write(LARGE[:1000])
        stream.write(LARGE[1000:])
        await stream.drain()
        assert await stream.readexactly(4) == b"done"
    assert received == LARGE


async def test_server_that_hangs_up_in_an_answer_is_noticed() -> None:
    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half")

    async with connected(half) as stream:
        with pytest.raises(asyncio.IncompleteReadError):
            await stream.readexactly(8)


async def test_wait_for_an_answer_can_be_stopped() -> None:
    waits = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        waits.set()
        await reader.read()

    async with connected(wait) as stream:
        stream.write(b"?")
        answer = asyncio.ensure_future(stream.readexactly(1))
        await waits.wait()
        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer
