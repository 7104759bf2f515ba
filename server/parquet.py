"""Answers as Parquet, a group of rows at a time, each made in a thread."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from storage.pieces import Piece
from storage.reader import Answer
from storage.shape import Shape

if TYPE_CHECKING:
    from server.parquet_file import File

GROUP = 2**16
"""Readings in a group of rows, at least; the last group may be smaller."""


async def parquet(answer: Answer, shape: Shape, zone: str) -> AsyncGenerator[bytes]:
    """A file whose instants are shown in a zone."""
    file = await asyncio.to_thread(_begun, shape, zone)
    waiting: list[bytes] = []
    count = 0
    async with aclosing(answer.pages) as pages:
        async for page in pages:
            waiting.append(page.plain() if isinstance(page, Piece) else page)
            count += shape.counted(waiting[-1])
            if count >= GROUP:
                yield await asyncio.to_thread(file.group, b"".join(waiting))
                waiting.clear()
                count = 0
    if waiting:
        yield await asyncio.to_thread(file.group, b"".join(waiting))
    yield await asyncio.to_thread(file.end)


def _begun(shape: Shape, zone: str) -> "File":
    # pyarrow takes its time, and memory: nobody who doesn't want Parquet has to pay for it.
    from server.parquet_file import File  # noqa: PLC0415 - see above

    return File(shape, zone)
