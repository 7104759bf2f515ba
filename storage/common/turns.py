"""Turns of the event loop for long work in Python, which is done in pieces, one at a time.

However many long answers are worked out, between two pieces the loop serves everybody else.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from itertools import islice
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

PIECE_ROWS = 100
"""Rows that are made, or read, in one piece: a millisecond or two."""

_LOCKS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
"""One for each loop: whoever holds it has the next piece."""


async def turn() -> None:
    """Return when a piece of work may be done, which must follow at once."""
    async with _lock():
        await asyncio.sleep(0)


async def in_thread(function: Callable[..., T], *args: object) -> T:
    """Do a piece of work in a thread, while no other piece is done.

    Python runs one thread at a time: several of them would delay the loop by turns.
    """
    async with _lock():
        return await asyncio.to_thread(function, *args)


async def in_pieces(items: Iterable[T], size: int = PIECE_ROWS) -> AsyncGenerator[list[T]]:
    """Yield items in lists of a size, each made in the turn in which it can be worked on."""
    rest = iter(items)
    while True:
        await turn()
        piece = list(islice(rest, size))
        if not piece:
            return
        yield piece


async def in_turns(items: Iterable[T]) -> AsyncGenerator[T]:
    """Yield items, those of a piece in one turn."""
    async for piece in in_pieces(items):
        for item in piece:
            yield item


def _lock() -> asyncio.Lock:
    return _LOCKS.setdefault(asyncio.get_running_loop(), asyncio.Lock())
