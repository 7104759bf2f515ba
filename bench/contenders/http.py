"""A side that answers over HTTP."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from bench.http_client import fetch
from bench.measure import Sample
from bench.process import FailedError, Server

_LEAST = 10
"""Bytes that a reading takes however well it is compressed."""


@dataclass(frozen=True, slots=True)
class HttpSide:
    """A request for all readings to a server."""

    name: str
    start: Callable[[], AbstractContextManager[Server]]
    path: str
    readings: int
    headers: Mapping[str, str] = field(default_factory=dict)
    warm: tuple[str, ...] = ()
    """What is asked for beforehand, so that a run doesn't measure the first connections."""
    counts_memory: bool = True

    def run(self) -> Sample:
        """Asks once, as a rule a server that has just been started."""
        with self.start() as server:
            headers = {**server.headers, **self.headers}
            for path in self.warm:
                fetch(server.port, path, headers)
            transfer = fetch(server.port, self.path, headers)
            if transfer.size < _LEAST * self.readings:
                raise FailedError(f"it sent {transfer.size:,} bytes, too few for all readings")
            return Sample(
                transfer.seconds,
                transfer.first_byte,
                transfer.size,
                server.peak if self.counts_memory else None,
            )
