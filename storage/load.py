"""How busy a database's connections are, and whom its statements were for."""

import time
from contextvars import ContextVar
from types import TracebackType


class Spent:
    """The seconds that statements took, on behalf of whoever holds this."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


SPENT: ContextVar[Spent | None] = ContextVar("spent", default=None)
"""Set by whoever wants to know; tasks begun after that count as well."""


class Load:
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

    def statement(self) -> "_Statement":
        """A statement, from being asked for to its rows."""
        return _Statement(self)

    def begin(self) -> None:
        """One more is asked for."""
        self._asked += 1

    def end(self, seconds: float) -> None:
        """One has ended, after so long."""
        self._asked -= 1
        self.statements += 1
        self.seconds += seconds
        if (spent := SPENT.get()) is not None:
            spent.seconds += seconds


class _Statement:
    __slots__ = ("_began", "_load")

    def __init__(self, load: Load) -> None:
        self._load = load
        self._began = time.perf_counter()

    def __enter__(self) -> None:
        self._load.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._load.end(time.perf_counter() - self._began)
