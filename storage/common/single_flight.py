"""Single flight: concurrent callers share one run of an operation."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Callers that arrive during a run of an operation share the next one.

    So every caller's run began after its call, and no result is older than the call. An error
    of the operation is raised in each of its callers.
    """

    def __init__(self, operation: Callable[[], Awaitable[T]]) -> None:
        self._operation = operation
        self._waiting: list[asyncio.Future[T]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self) -> T:
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await waiter

    async def _run(self) -> None:
        callers: list[asyncio.Future[T]] = []
        try:
            while self._waiting:
                callers, self._waiting = self._waiting, []
                try:
                    result = await self._operation()
                except Exception as error:  # noqa: BLE001 - the callers raise it
                    for waiter in _pending(callers):
                        waiter.set_exception(error)
                else:
                    for waiter in _pending(callers):
                        waiter.set_result(result)
        finally:
            self._task = None
            for waiter in _pending(callers + self._waiting):
                waiter.cancel()


def _pending(callers: list[asyncio.Future[T]]) -> list[asyncio.Future[T]]:
    """Return those whose caller has not left."""
    return [waiter for waiter in callers if not waiter.done()]
