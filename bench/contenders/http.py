"""A contender that is an HTTP server."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from bench.http_client import fetch
from bench.measure import Sample
from bench.process import FailedError, Server

_MIN_READING_BYTES = 10
"""The least bytes of a reading, however well it is compressed."""


@dataclass(frozen=True, slots=True)
class HttpContender:
    """A request for all readings to a server."""

    name: str
    start: Callable[[], AbstractContextManager[Server]]
    path: str
    readings: int
    headers: Mapping[str, str] = field(default_factory=dict)
    warm: tuple[str, ...] = ()
    """Paths that are requested first, so that a run doesn't measure the first connections."""
    counts_memory: bool = True

    def run(self) -> Sample:
        """Request once, normally from a server that was just started."""
        with self.start() as server:
            headers = {**server.headers, **self.headers}
            for path in self.warm:
                fetch(server.port, path, headers)
            transfer = fetch(server.port, self.path, headers)
            if transfer.size < _MIN_READING_BYTES * self.readings:
                raise FailedError(f"it sent {transfer.size:,} bytes, too few for all readings")
            return Sample(
                transfer.seconds,
                transfer.first_byte,
                transfer.size,
                server.peak if self.counts_memory else None,
            )
