"""Results in order, of work that is begun ahead."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")


async def prefetch(jobs: AsyncGenerator[Coroutine[Any, Any, T]], at_once: int) -> AsyncGenerator[T]:
    """The results of jobs in their order, so many of them under way at once.

    Where nobody wants further results, those under way are cancelled and waited for.
    """
    running: deque[asyncio.Task[T]] = deque()
    try:
        async with aclosing(jobs):
            async for job in jobs:
                running.append(asyncio.create_task(job))
                if len(running) == at_once:
                    yield await running.popleft()
            while running:
                yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
