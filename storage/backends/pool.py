"""The places of a bounded number of connections."""

import asyncio
from typing import Literal

from storage.common.errors import Unreachable


class ConnectionPool(asyncio.Semaphore):
    """As many places as there are connections, for which nobody waits without end."""

    def __init__(self, connections: int, patience: float) -> None:
        super().__init__(connections)
        self._connections = connections
        self._patience = patience

    async def acquire(self) -> Literal[True]:
        """Takes a place; raises Unreachable where none becomes free in time."""
        if not self.locked():
            return await super().acquire()
        try:
            async with asyncio.timeout(self._patience):
                return await super().acquire()
        except TimeoutError:
            raise Unreachable(
                f"all {self._connections} connections (database.connections) were busy for"
                f" {self._patience:g} s"
            ) from None
