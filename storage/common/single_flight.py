"""One run of an operation for many who ask at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Calls an operation once for all who ask while an earlier call of it is under way.

    What a caller gets was always begun after it asked, so that it is never older than the
    question. An error of the operation reaches each of them.
    """

    def __init__(self, operation: Callable[[], Awaitable[T]]) -> None:
        self._operation = operation
        self._waiting: list[asyncio.Future[T]] = []
        self._runs: asyncio.Task[None] | None = None

    async def __call__(self) -> T:
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._runs is None:
            self._runs = asyncio.create_task(self._run())
        return await waiter

    async def _run(self) -> None:
        asked: list[asyncio.Future[T]] = []
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                try:
                    result = await self._operation()
                except Exception as error:  # noqa: BLE001 - whoever asked raises it
                    for waiter in _present(asked):
                        waiter.set_exception(error)
                else:
                    for waiter in _present(asked):
                        waiter.set_result(result)
        finally:
            self._runs = None
            for waiter in _present(asked + self._waiting):
                waiter.cancel()


def _present(asked: list[asyncio.Future[T]]) -> list[asyncio.Future[T]]:
    """Those whose caller has not gone meanwhile."""
    return [waiter for waiter in asked if not waiter.done()]
