"""Results in order, of jobs that run ahead."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")


async def prefetch(
    jobs: AsyncGenerator[Coroutine[Any, Any, T]], concurrency: int = 2
) -> AsyncGenerator[T]:
    """Run jobs concurrently and yield their results in order; cancel the rest when closed."""
    running: deque[asyncio.Task[T]] = deque()
    try:
        async with aclosing(jobs):
            async for job in jobs:
                running.append(asyncio.create_task(job))
                if len(running) == concurrency:
                    yield await running.popleft()
            while running:
                yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
