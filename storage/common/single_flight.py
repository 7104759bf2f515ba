"""Single flight: concurrent callers share one run of an operation."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
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

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for a result."""
        return self._task is None and not self._waiting

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


class SingleFlights(Generic[K, T]):
    """A single flight for each key."""

    def __init__(self, operation: Callable[[K], Awaitable[T]]) -> None:
        self._operation = operation
        self._flights: dict[K, SingleFlight[T]] = {}

    async def __call__(self, key: K) -> T:
        """Return the result of the operation with a key."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = SingleFlight(lambda: self._operation(key))
        try:
            return await flight()
        finally:
            if flight.is_idle and self._flights.get(key) is flight:
                del self._flights[key]


def _pending(callers: list[asyncio.Future[T]]) -> list[asyncio.Future[T]]:
    """Return those whose caller has not left."""
    return [waiter for waiter in callers if not waiter.done()]
