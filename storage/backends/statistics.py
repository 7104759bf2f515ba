"""How busy a database's connections are, and whom its statements were for."""

import time
from contextvars import ContextVar


class QueryTimer:
    """The seconds that statements took, on behalf of whoever holds this."""

    seconds = 0.0


CURRENT_TIMER: ContextVar[QueryTimer | None] = ContextVar("spent", default=None)
"""Set by whoever wants to know; tasks begun after that count as well."""


class PoolStatistics:
    """Statements of one engine: how many there were, how long they took, how many there are."""

    def __init__(self, connections: int) -> None:
        self.connections = connections
        self.statements = 0
        self.seconds = 0.0
        self._asked = 0

    @property
    def busy(self) -> int:
        """Connections in use."""
        return min(self._asked, self.connections)

    @property
    def waiting(self) -> int:
        """Statements that no connection is free for."""
        return max(self._asked - self.connections, 0)

    def begin(self) -> float:
        """A statement is asked for; gives what `end` wants to be told."""
        self._asked += 1
        return time.perf_counter()

    def end(self, began: float) -> None:
        """It has ended, well or not."""
        self._asked -= 1
        self.took(began)

    def took(self, began: float) -> None:
        """The same, of a statement that none of the connections was needed for."""
        seconds = time.perf_counter() - began
        self.statements += 1
        self.seconds += seconds
        if (spent := CURRENT_TIMER.get()) is not None:
            spent.seconds += seconds
