"""Statistics of a database's connections, and the time of a request's statements."""

import time
from contextvars import ContextVar


class QueryTimer:
    """The seconds of the statements that were run for one request, and its user."""

    seconds = 0.0
    user: str | None = None
    """The user, once known and admitted."""


CURRENT_TIMER: ContextVar[QueryTimer | None] = ContextVar("current_timer", default=None)
"""The timer of the current context; tasks that are created in it count as well."""


class PoolStatistics:
    """Counts an engine's statements, their seconds, and those that run or wait."""

    def __init__(self, connections: int) -> None:
        self.connections = connections
        self.statements = 0
        self.seconds = 0.0
        self._running = 0

    @property
    def busy(self) -> int:
        """The number of connections in use."""
        return min(self._running, self.connections)

    @property
    def waiting(self) -> int:
        """The number of statements that wait for a connection."""
        return max(self._running - self.connections, 0)

    def begin(self) -> float:
        """Count a statement that begins; return the argument of `end`."""
        self._running += 1
        return time.perf_counter()

    def end(self, began: float) -> None:
        """Count the end of a statement, failed or not."""
        self._running -= 1
        self.record(began)

    def record(self, began: float) -> None:
        """Count a statement that needed none of the connections."""
        seconds = time.perf_counter() - began
        self.statements += 1
        self.seconds += seconds
        if (timer := CURRENT_TIMER.get()) is not None:
            timer.seconds += seconds
