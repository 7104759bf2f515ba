"""One run of an operation for many who ask at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Calls an operation once for all who ask while an earlier call of it is under way.

    What a caller gets was always begun after it asked, so that it is never older than the
    question. An error of the operation reaches each of them.
    """

    def __init__(self, operation: Callable[[], Awaitable[T]]) -> None:
        self._operation = operation
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        if self._next is None:
            self._next = asyncio.create_task(self._run_after(self._running))
            self._next.add_done_callback(_take_exception)
        return await asyncio.shield(self._next)

    async def _run_after(self, earlier: asyncio.Task[T] | None) -> T:
        if earlier is not None:
            await asyncio.wait([earlier])
        self._running, self._next = self._next, None
        return await self._operation()


def _take_exception(task: asyncio.Task[T]) -> None:
    """Marks an exception as seen: all who asked may have gone."""
    if not task.cancelled():
        task.exception()
