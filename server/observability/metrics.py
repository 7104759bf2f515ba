"""`/metrics`: the state of the whole service, for Prometheus."""

import asyncio
import json
import logging
import platform
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from domain.time_zone import DAY_SECONDS
from server import VERSION
from server.cache.store import CACHE
from server.context import DATABASE, SETTINGS
from server.errors import ApiError
from server.observability.counters import BUCKETS, COUNTERS
from server.observability.loop_watchdog import LOOP_WATCHDOG
from server.observability.worker_snapshots import Snapshot, WorkerSnapshots, merge_snapshots
from server.security.audit_trail import AUDIT_TRAIL
from server.security.authentication import is_admin
from server.security.connection_limits import CONNECTION_LIMITER
from server.security.rate_limits import FIGURE_LIMITER
from server.security.tokens import TOKENS
from server.transport.client_address import client_address, is_among, is_forwarded_by_untrusted
from server.transport.streaming import STREAM_STATISTICS
from storage.common.errors import StorageError

log = logging.getLogger("server")

WORKER_SNAPSHOTS = web.AppKey("worker_snapshots", WorkerSnapshots)

_DATABASE_TIMEOUT = 3.0
"""Seconds in which the database has to respond."""

_STALE_DAYS = (2, 7, 40)
"""Days in which meters should have had a reading."""

_SNAPSHOT_INTERVAL = 1.0
_BOUNDS = [*map(str, BUCKETS), "+Inf"]
_COUNTS = {
    "streams_begun": "Streamed responses that began",
    "streams_complete": "Streamed responses that were sent completely",
    "streams_left": "Streamed responses whose client disconnected",
    "streams_failed": "Streamed responses that failed; their connection was reset",
    "figures_refused": "Figures refused because too many were being computed (limits.figures)",
    "clients_let_go": "Clients disconnected because they read too slowly (limits.slowest_client)",
    "connections_refused": "Connections above limits.connections or connections_per_address",
    "cache_hits": "Responses found in the cache",
    "cache_misses": "Responses not found in the cache",
    "cache_refused": "Entries of the cache that were damaged or not made by this service",
    "audit_entries_lost": "Entries of the audit trail lost while it could not be written",
    "database_statements": "Statements run by the database",
    "database_seconds": "Seconds of statements, including the wait for a connection",
}
_LEVELS = {
    "workers": "Worker processes",
    "connections_open": "Open connections",
    "streams_active": "Responses being streamed",
    "figures_active": "Figures being computed",
    "cache_bytes": "Memory of cached responses, without those in Redis",
    "audit_entries_waiting": "Entries of the audit trail that wait for the database",
    "pool_connections": "Maximum number of connections to the database",
    "pool_busy": "Connections in use",
    "pool_waiting": "Statements waiting for a connection",
}


@dataclass(frozen=True, slots=True)
class DataStatistics:
    """What the metrics say of the data."""

    version: str | None
    """Of the meter that requests mean without naming one; None if they have to name one."""
    newest: float | None
    """Start of the newest reading of all meters, seconds since 1970."""
    imported: float | None
    """When the last import of all meters was written, seconds since 1970."""
    meters: int
    stale: Sequence[int] | None
    """How many meters have no reading of the last days, by `_STALE_DAYS`; an older layout does not
    tell."""


async def metrics(request: web.Request) -> web.Response:
    """Return the metrics of all workers. Raise ApiError if the client may not read them."""
    await _admit(request)
    app = request.app
    data = await _data(app)
    own = snapshot(app)
    if snapshots := app.get(WORKER_SNAPSHOTS):
        # This process publishes first: a later scrape must not see smaller counts.
        await snapshots.publish(own)
        total = merge_snapshots(await asyncio.to_thread(snapshots.collect))
    else:
        total = merge_snapshots([own])
    registry = CollectorRegistry()
    registry.register(_SnapshotCollector(total, data, app[TOKENS].signing_ends()))
    encode, kind = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=encode(registry), headers={hdrs.CONTENT_TYPE: kind})


ROUTES = [web.get("/metrics", metrics)]


async def _admit(request: web.Request) -> None:
    server, address = request.app[SETTINGS].server, client_address(request)
    # A proxy that does not say for whom it asks may ask for anybody.
    is_allowed = is_among(address, server.metrics_from) and not is_among(address, server.proxies)
    if is_allowed and not is_forwarded_by_untrusted(request):
        return
    try:
        async with asyncio.timeout(_DATABASE_TIMEOUT):
            may_read = await is_admin(request)
    except TimeoutError:
        raise ApiError(503, "The database did not answer in time") from None
    if not may_read:
        raise ApiError(403, "Metrics are for the networks of server.metrics_from, and for admins")


async def _data(app: web.Application) -> DataStatistics | None:
    database, zone = app[DATABASE], app[SETTINGS].meter.timezone
    try:
        async with asyncio.timeout(_DATABASE_TIMEOUT):
            state = await database.state()
            newest = await database.newest_reading(zone)
            imported = await database.newest_import()
            meters = await database.count_meters()
            ages = [days * DAY_SECONDS for days in _STALE_DAYS]
            stale = await database.count_stale(int(time.time()), ages)
    except (StorageError, TimeoutError):
        return None
    return DataStatistics(
        None if state.is_ambiguous else state.version,
        newest,
        None if imported is None else imported.timestamp(),
        meters,
        stale,
    )


def snapshot(app: web.Application) -> Snapshot:
    """Return the metrics of this process."""
    counters, streams = app[COUNTERS], app[STREAM_STATISTICS]
    cache, pool, figures = app[CACHE], app[DATABASE].load, app[FIGURE_LIMITER]
    trail = app[AUDIT_TRAIL]
    connections, lag = app[CONNECTION_LIMITER], app[LOOP_WATCHDOG].lag
    return {
        "routes": {
            json.dumps(kind): [
                route.bytes,
                [route.first_byte.seconds, route.first_byte.counts],
                [route.duration.seconds, route.duration.counts],
            ]
            for kind, route in counters.routes.items()
        },
        "counts": {
            "streams_begun": streams.begun,
            "streams_complete": streams.complete,
            "streams_left": streams.left,
            "streams_failed": streams.failed,
            "figures_refused": figures.refused,
            "clients_let_go": counters.clients_let_go,
            "connections_refused": connections.refused,
            "loop_lag": [lag.seconds, lag.counts],
            "cache_hits": cache.hits,
            "cache_misses": cache.misses,
            "cache_refused": cache.refused,
            "audit_entries_lost": trail.lost,
            "database_statements": pool.statements,
            "database_seconds": pool.seconds,
        },
        "levels": {
            "workers": 1,
            "connections_open": connections.open,
            "streams_active": streams.active,
            "figures_active": figures.active,
            "cache_bytes": cache.bytes,
            "audit_entries_waiting": trail.waiting,
            "pool_connections": pool.connections,
            "pool_busy": pool.busy,
            "pool_waiting": pool.waiting,
        },
    }


def publish_snapshots(folder: Path) -> Any:
    """Return a cleanup context that publishes this worker's snapshot every second."""

    @asynccontextmanager
    async def publishing(app: web.Application) -> AsyncIterator[None]:
        snapshots = app[WORKER_SNAPSHOTS] = WorkerSnapshots(folder)
        problem = ""

        async def publish() -> None:
            nonlocal problem
            try:
                await snapshots.publish(snapshot(app))
            except OSError as error:
                if str(error) != problem:
                    problem = str(error)
                    log.error("the metrics of this worker cannot be shared: %s", problem)
            else:
                problem = ""

        async def publish_every_second() -> None:
            while True:
                await publish()
                await asyncio.sleep(_SNAPSHOT_INTERVAL)

        task = asyncio.create_task(publish_every_second())
        yield
        task.cancel()
        await asyncio.wait([task])
        await publish()
        await snapshots.close()

    return publishing


class _SnapshotCollector(Collector):
    """Collects snapshots and data for prometheus-client."""

    def __init__(self, total: Snapshot, data: DataStatistics | None, signing_ends: float) -> None:
        self._total = total
        self._data = data
        self._signing_ends = signing_ends

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield from self._routes()
        for name, text in _COUNTS.items():
            count = self._total["counts"][name]
            yield CounterMetricFamily(f"elecdata_{name}", text, value=count)
        for name, text in _LEVELS.items():
            level = self._total["levels"][name]
            yield GaugeMetricFamily(f"elecdata_{name}", text, value=level)
        yield self._lag()
        yield from self._data_metrics()
        yield GaugeMetricFamily(
            "elecdata_signing_ends_timestamp_seconds",
            "From when on no signing key will sign, +Inf if one always will",
            value=self._signing_ends,
        )
        build = GaugeMetricFamily(
            "elecdata_build_info",
            "Version of the service and of Python",
            labels=["version", "python"],
        )
        build.add_metric([VERSION, platform.python_version()], 1)
        yield build

    def _routes(self) -> Iterator[Metric]:
        labels = ["route", "method", "status"]
        requests = CounterMetricFamily("elecdata_requests", "Responses sent", labels=labels)
        sent = CounterMetricFamily(
            "elecdata_sent_bytes", "Bytes of responses, including headers", labels=labels
        )
        refused = 0
        routes: dict[str, list[Any]] = {}
        for key, (size, first_byte, duration) in self._total["routes"].items():
            route, method, status = json.loads(key)
            count = sum(duration[1])
            requests.add_metric([route, method, str(status)], count)
            sent.add_metric([route, method, str(status)], size)
            if route == "/login" and status in (401, 429):
                refused += count
            routes.setdefault(route, []).append((first_byte, duration))
        yield requests
        yield sent
        yield CounterMetricFamily("elecdata_logins_refused", "Logins refused", value=refused)
        for index, (name, text) in enumerate(
            [
                ("first_byte", "Seconds from a request to the first byte of its response"),
                ("request", "Seconds from a request to the last byte of its response"),
            ]
        ):
            histogram = HistogramMetricFamily(f"elecdata_{name}_seconds", text, labels=["route"])
            for route, kinds in routes.items():
                times = [kind[index] for kind in kinds]
                counts = accumulate(map(sum, zip(*(time[1] for time in times), strict=True)))
                buckets = list(zip(_BOUNDS, counts, strict=True))
                histogram.add_metric([route], buckets, sum(time[0] for time in times))
            yield histogram

    def _lag(self) -> Metric:
        seconds, counts = self._total["counts"]["loop_lag"]
        lag = HistogramMetricFamily(
            "elecdata_event_loop_lag_seconds",
            "Seconds for which the event loop kept others waiting",
        )
        lag.add_metric([], list(zip(_BOUNDS, accumulate(counts), strict=True)), seconds)
        return lag

    def _data_metrics(self) -> Iterator[Metric]:
        up = int(self._data is not None)
        yield GaugeMetricFamily("elecdata_database_up", "Whether the database responds", value=up)
        if self._data is None:
            return
        if self._data.version is not None:
            version = GaugeMetricFamily(
                "elecdata_data_info", "The data of the default meter", labels=["version"]
            )
            version.add_metric([self._data.version], 1)
            yield version
        yield GaugeMetricFamily("elecdata_meters", "Meters", value=self._data.meters)
        if self._data.stale is not None:
            stale = GaugeMetricFamily(
                "elecdata_meters_stale",
                "Meters without any reading that began in so many days until now",
                labels=["days"],
            )
            for days, count in zip(_STALE_DAYS, self._data.stale, strict=True):
                stale.add_metric([str(days)], count)
            yield stale
        if self._data.newest is not None:
            yield GaugeMetricFamily(
                "elecdata_newest_reading_timestamp_seconds",
                "Start of the newest reading of all meters",
                value=self._data.newest,
            )
        if self._data.imported is not None:
            yield GaugeMetricFamily(
                "elecdata_newest_import_timestamp_seconds",
                "When the last import of all meters was written",
                value=self._data.imported,
            )
