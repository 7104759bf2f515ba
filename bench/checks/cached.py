"""Item 4: cached responses, compared with a handler that only sends the same bytes."""

import resource
import statistics
from contextlib import ExitStack

from bench import load_generator
from bench.contenders.limits import BareHandler
from bench.contenders.service import ALL, GZIP, ONE, Service
from bench.datasets import DAY, Dataset
from bench.http_client import fetch, request, save
from bench.paths import WORK
from bench.process import FailedError, Server
from bench.targets import Check
from bench.workspace import ENGINES, Workspace

ROUNDS = 3
SECONDS = 0.6
MAX_CONNECTIONS = 10_000
_LARGE_CONNECTIONS = 8
"""Connections for large responses; with more, the last ones would take too long."""


def cached(workspace: Workspace, large: Dataset) -> list[Check]:
    """Check the rates of small and large responses, and the queries of repeated requests."""
    for engine in ENGINES:
        workspace.require(engine, large)
    with Service(workspace, "sqlite", large) as server:
        small = _share(
            workspace, server, ONE, "a small one, sqlite", {}, load_generator.CONNECTIONS
        )
    with Service(workspace, "mariadb", large) as server:
        return [
            _share(workspace, server, ONE, "a small one, mariadb", {}, load_generator.CONNECTIONS),
            small,
            _share(
                workspace,
                server,
                ALL,
                f"{large.readings:,} readings, plain",
                {},
                _LARGE_CONNECTIONS,
            ),
            _share(
                workspace,
                server,
                ALL,
                f"{large.readings:,} readings, gzip",
                GZIP,
                _LARGE_CONNECTIONS,
            ),
            _unmodified(workspace, server),
            _at_once(workspace, server),
        ]


def _share(
    workspace: Workspace,
    server: Server,
    path: str,
    what: str,
    accept: dict[str, str],
    connections: int,
) -> Check:
    """Compare the service's rate with a bare handler's."""
    headers = {**server.headers, **accept}
    fetch(server.port, path, headers)
    file = WORK / "cached.body"
    answered = save(server.port, path, headers, file)
    encoding = answered.get("content-encoding", "")
    bare = BareHandler(
        str(file), middlewares=workspace.middlewares, chunked=False, encoding=encoding
    )
    with ExitStack() as stack:
        stack.enter_context(bare)
        contenders = [(server.port, request(path, headers)), (bare.port, request("/", headers))]
        rates: list[list[float]] = [[], []]
        for _ in range(ROUNDS):
            for (port, message), found in zip(contenders, rates, strict=True):
                found.append(load_generator.rate(port, message, SECONDS, connections))
    ours, theirs = map(statistics.median, rates)
    if accept and not encoding:
        what += " (not compressed)"
    text = f"cached, {what}: {ours:,.0f}/s of a bare handler's {theirs:,.0f}/s"
    return Check(4, text, 0.85, ours / theirs, at_least=True)


def _unmodified(workspace: Workspace, server: Server) -> Check:
    """Count the queries of responses that the client has already."""
    etag = save(server.port, ALL, server.headers, WORK / "cached.body")["etag"]
    message = request(ALL, {**server.headers, "If-None-Match": etag})
    with workspace.mariadb.watched() as queries:
        load_generator.burst(server.port, message, 100)
    return Check(4, "queries of readings for 100 times If-None-Match", 0, len(queries))


def _at_once(workspace: Workspace, server: Server) -> Check:
    """Count the queries of many concurrent equal requests, compared with one request."""
    path = f"/apielec/getDataByDate?date={DAY}%2012:%25"
    with workspace.mariadb.watched() as for_one:
        fetch(server.port, path, {**server.headers, "Cache-Control": "no-cache"})
    with workspace.mariadb.watched() as for_many:
        load_generator.burst(server.port, request(path, server.headers), _connections())
    if not for_one:
        raise FailedError("the database's log shows no query of readings")
    text = f"queries of readings: {_connections():,} equal requests at once / one request"
    return Check(4, text, 1, len(for_many) / len(for_one))


def _connections() -> int:
    """Return how many connections this process may open, with some in reserve."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MAX_CONNECTIONS, soft - 100)
