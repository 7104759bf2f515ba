"""What this process has answered so far, counted cheaply enough to be done for every request."""

from bisect import bisect_left
from collections import defaultdict

from storage.backends.statistics import QueryTimer

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds up to which a histogram counts; a last count is for what took longer."""

Kind = tuple[str, str, int]
"""Route, method and status of an answer."""


class RequestTiming(QueryTimer):
    """When a request began and its answer did, and what statements took of that."""

    began: float
    first_byte = 0.0
    """Seconds after the beginning."""


class Histogram:
    """How often something took how long."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.counts = [0] * (len(BUCKETS) + 1)

    def add(self, seconds: float) -> None:
        """It took so long once more."""
        self.seconds += seconds
        self.counts[bisect_left(BUCKETS, seconds)] += 1


class RouteStatistics:
    """RouteStatistics of one kind."""

    __slots__ = ("bytes", "first_byte", "whole")

    def __init__(self) -> None:
        self.bytes = 0
        self.first_byte = Histogram()
        self.whole = Histogram()


class RequestCounters:
    """All answers, and the streams among them."""

    def __init__(self) -> None:
        self.answers: defaultdict[Kind, RouteStatistics] = defaultdict(RouteStatistics)
        self.streams_begun = 0
        self.streams_complete = 0
        self.streams_left = 0
        """Streams whose client went away."""
        self.streams_failed = 0
        """Streams that were cut off."""
        self.clients_let_go = 0
        """Clients that read too slowly."""
