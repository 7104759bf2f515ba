"""A bounded pool of connections, for both databases."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from storage.backends.statistics import CURRENT_TIMER
from storage.common.errors import Unreachable


class Connection(Protocol):
    """What the pool must know of a connection."""

    @property
    def is_usable(self) -> bool:
        """Whether it is open, and the server has not hung up."""

    def close(self) -> None:
        """Close it, without waiting for the server."""


C = TypeVar("C", bound=Connection)

Permits = tuple[asyncio.Semaphore, ...]


class ConnectionPool(Generic[C]):
    """At most so many connections, each opened when first needed and kept for the next statement.

    Whoever needs one gets the first that is released or opened: while opening one hangs, the
    others serve everybody. Half of them are reserved for small statements, which have a permit at
    once however many others run or wait. Long statements of one user get half of the rest, but at
    least two.
    """

    def __init__(
        self,
        connect: Callable[[], Coroutine[Any, Any, C]],
        limit: int,
        timeout: float,
        *,
        most_long: int | None = None,
    ) -> None:
        """Set how many there may be, and how many of them long statements may use at most."""
        self._connect = connect
        self._timeout = timeout
        self._permits = asyncio.Semaphore(limit)
        unreserved = limit - limit // 2
        self._long_permits = asyncio.Semaphore(min(unreserved, most_long or unreserved))
        """Statements that are not small have one of these before one of the others."""
        self._share = max(2, unreserved // 2)
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """Long statements of a user have one of these before both."""
        self._held: dict[C, Permits] = {}
        """What the statement of a connection in use holds."""
        self._free: list[C] = []
        self._used: set[C] = set()
        self._waiting: deque[asyncio.Future[C]] = deque()
        self._opening: set[asyncio.Task[C]] = set()
        self._cleanups: set[asyncio.Task[None]] = set()
        self._is_shut = False

    async def acquire(self, *, small: bool = False) -> C:
        """Return a connection; raise Unreachable if none becomes free in time."""
        permits: Permits = (self._permits,)
        if not small:
            permits = (*self._own_share(), self._long_permits, *permits)
        if any(each.locked() for each in permits):
            await self._wait_for(permits)
        else:
            for each in permits:
                await each.acquire()  # which does not wait
        try:
            connection = await self.take()
        except BaseException:
            _release(permits)
            raise
        self._held[connection] = permits
        return connection

    def release(self, connection: C) -> None:
        """Take a connection back, and its permits."""
        permits = self._held.pop(connection)
        self.put(connection)
        _release(permits)

    async def take(self) -> C:
        """Return a connection under a permit that is held already."""
        if self._is_shut:
            raise Unreachable("all connections were ended")
        while self._free:
            connection = self._free.pop()
            if connection.is_usable:
                self._used.add(connection)
                return connection
            connection.close()
        waiter: asyncio.Future[C] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if len(self._opening) < len(self._waiting):
            task = asyncio.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opened)
        try:
            async with asyncio.timeout(self._timeout):
                return await waiter
        except (asyncio.CancelledError, TimeoutError):
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:
                self.put(waiter.result())
            raise

    def put(self, connection: C) -> None:
        """Take a connection back, if it is usable, and leave its permit held."""
        self._used.discard(connection)
        if self._is_shut or not connection.is_usable:
            connection.close()
        elif (waiter := self._next_waiter()) is None:
            self._free.append(connection)
        else:
            self._used.add(connection)
            waiter.set_result(connection)

    def discard_unusable(self) -> None:
        """Close free connections that are no longer usable."""
        usable = [connection for connection in self._free if connection.is_usable]
        for connection in self._free:
            if not connection.is_usable:
                connection.close()
        self._free = usable

    def clean_up(self, connection: C, work: Coroutine[Any, Any, None]) -> None:
        """End a connection's abandoned statement in the background, and then its permits.

        The connection is put back by the work, or at once.
        """
        permits = self._held.pop(connection)

        def cleaned_up(task: asyncio.Task[None]) -> None:
            self._cleanups.remove(task)
            _release(permits)

        task = asyncio.create_task(work)
        self._cleanups.add(task)
        task.add_done_callback(cleaned_up)

    def shut(self) -> None:
        """Open no further connection, and close each one as soon as nobody uses it."""
        self._is_shut = True
        while self._free:
            self._free.pop().close()
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(Unreachable("all connections were ended"))

    async def close(self) -> None:
        """Close all connections, once abandoned statements have ended."""
        while self._cleanups:
            await asyncio.gather(*self._cleanups, return_exceptions=True)
        self.shut()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in self._used:
            connection.close()

    def _own_share(self) -> Permits:
        """Return the permits of the user for whom statements run, none if nobody is known."""
        timer = CURRENT_TIMER.get()
        if timer is None or timer.user is None:
            return ()
        share = self._shares.get(timer.user)
        if share is None:
            share = self._shares[timer.user] = asyncio.Semaphore(self._share)
        return (share,)

    async def _wait_for(self, permits: Permits) -> None:
        """Take permits as they become free; raise Unreachable if they do not in time."""
        taken: list[asyncio.Semaphore] = []
        try:
            async with asyncio.timeout(self._timeout):
                for each in permits:
                    await each.acquire()
                    taken.append(each)
        except BaseException as error:
            _release(taken)
            if isinstance(error, TimeoutError):
                raise Unreachable(
                    f"all connections (database.connections) were busy for {self._timeout:g} s"
                ) from None
            raise

    def _opened(self, task: asyncio.Task[C]) -> None:
        self._opening.remove(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None and not task.result().is_usable:
            task.result().close()
            error = Unreachable("the server closed a new connection at once")
        if error is None:
            self.put(task.result())
        elif len(self._opening) < len(self._waiting) and (waiter := self._next_waiter()):
            waiter.set_exception(error)

    def _next_waiter(self) -> "asyncio.Future[C] | None":
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None


def _release(permits: Iterable[asyncio.Semaphore]) -> None:
    for each in permits:
        each.release()
