"""Counters of the responses of this process, cheap enough for every request."""

from bisect import bisect_left
from collections import defaultdict

from aiohttp import web

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds up to which a histogram counts; a last count is for what took longer."""

Kind = tuple[str, str, int]
"""Route, method and status of a response."""


class Histogram:
    """How often something took how long."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.counts = [0] * (len(BUCKETS) + 1)

    def add(self, seconds: float) -> None:
        """Count a duration in seconds."""
        self.seconds += seconds
        self.counts[bisect_left(BUCKETS, seconds)] += 1


class RouteStatistics:
    """Responses of one route, method and status."""

    __slots__ = ("bytes", "duration", "first_byte")

    def __init__(self) -> None:
        self.bytes = 0
        self.first_byte = Histogram()
        self.duration = Histogram()


class RequestCounters:
    """All responses by route, method and status, and slow clients."""

    def __init__(self) -> None:
        self.routes: defaultdict[Kind, RouteStatistics] = defaultdict(RouteStatistics)
        self.clients_let_go = 0
        """Clients that were disconnected since they read too slowly."""

    def count_client_let_go(self) -> None:
        """Count a client that was disconnected since it read too slowly."""
        self.clients_let_go += 1


COUNTERS = web.AppKey("counters", RequestCounters)
