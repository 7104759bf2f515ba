"""Item 5: few readings of many, against the driver alone.

The driver's round trip ends where the rows are there; to it belongs the round trip of a bare
aiohttp handler that sends the same bytes, which no service over HTTP can do without.
"""

import asyncio
import re
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import aiomysql
import uvloop

from bench.contenders.limits import BareHandler
from bench.contenders.service import ONE, UNCACHED, Service
from bench.datasets import DAY, KEYS, PER_DAY, Dataset
from bench.http_client import Connection, fetch, request, save
from bench.paths import WORK
from bench.process import FailedError, Server
from bench.targets import Check
from bench.workspace import ENGINES, Engine, Workspace

ROUNDS = 8
_BY_ID = "id = 5"
_BY_DAY = f"date >= '{DAY} 00:00:00' AND date <= '{DAY} 23:59:59'"
LOOKUPS = {
    "getDataById": (ONE, _BY_ID, 25),
    "getDataByDate": (f"/apielec/getDataByDate?date={DAY}%25", _BY_DAY, 8),
    "getDataByRange": (
        f"/apielec/getDataByRange?date={DAY}T00:00:00&end_date={DAY}T23:59:59",
        _BY_DAY,
        8,
    ),
}
"""Path, condition, and requests a round."""


def lookups(workspace: Workspace, dataset: Dataset) -> list[Check]:
    """Check every lookup on both databases, and MariaDB's plan for a pattern."""
    checks = []
    for engine in ENGINES:
        workspace.require(engine, dataset)
        with (
            Service(workspace, engine, dataset) as server,
            _driver(workspace, engine, dataset) as driver,
        ):
            for name, (path, condition, count) in LOOKUPS.items():
                checks += _against_driver(
                    f"{name}, {engine}", server, path, driver, condition, count
                )
            if engine == "mariadb":
                checks.append(_plan(workspace, server, dataset))
    return checks


def _against_driver(
    name: str,
    server: Server,
    path: str,
    driver: Callable[[str, int], list[float]],
    condition: str,
    count: int,
) -> list[Check]:
    headers = {**server.headers, **UNCACHED}
    file = WORK / "lookup.body"
    save(server.port, path, headers, file)
    with ExitStack() as stack:
        bare = stack.enter_context(BareHandler(str(file), middlewares=0, chunked=False))
        ours = stack.enter_context(Connection(server.port))
        theirs = stack.enter_context(Connection(bare.port))
        times: list[list[float]] = [[], [], []]
        for _ in range(ROUNDS):
            times[0] += _exchanges(ours, request(path, headers), count)
            times[1] += driver(condition, count)
            times[2] += _exchanges(theirs, request("/", headers), count)
    service, alone, http = (statistics.median(found) * 1000 for found in times)
    text = f"{name}: {service:.2f} ms / driver's {alone:.2f} ms"
    return [
        Check(5, f"{text} + bare handler's {http:.2f} ms", 1.5, service / (alone + http)),
        Check(5, text, 1.5, service / alone, binding=False),
    ]


def _exchanges(connection: Connection, message: bytes, count: int) -> list[float]:
    return [connection.exchange(message).seconds for _ in range(count)]


@contextmanager
def _driver(
    workspace: Workspace, engine: Engine, dataset: Dataset
) -> Iterator[Callable[[str, int], list[float]]]:
    """Yield a function that runs a query repeatedly through the driver; it returns the seconds."""
    if engine == "sqlite":
        with closing(sqlite3.connect(f"{dataset.sqlite.as_uri()}?mode=ro", uri=True)) as file:
            yield lambda condition, count: _sqlite_times(file, condition, count)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        connection = runner.run(_connected(workspace, dataset))
        try:
            yield lambda condition, count: runner.run(_mysql_times(connection, condition, count))
        finally:
            connection.close()


def _sqlite_times(connection: sqlite3.Connection, condition: str, count: int) -> list[float]:
    times = []
    for _ in range(count):
        started = time.perf_counter()
        connection.execute(_select(condition)).fetchall()
        times.append(time.perf_counter() - started)
    return times


async def _connected(workspace: Workspace, dataset: Dataset) -> aiomysql.Connection:
    return await aiomysql.connect(
        host=workspace.mariadb.host,
        port=workspace.mariadb.port,
        user=workspace.mariadb.root_user,
        password=workspace.mariadb.root_password,
        db=dataset.schema,
    )


async def _mysql_times(connection: aiomysql.Connection, condition: str, count: int) -> list[float]:
    times = []
    async with connection.cursor() as cursor:
        for _ in range(count):
            started = time.perf_counter()
            await cursor.execute(_select(condition))
            await cursor.fetchall()
            times.append(time.perf_counter() - started)
    return times


def _select(condition: str) -> str:
    # The only meter of the database is the first one.
    return f"SELECT {', '.join(KEYS)} FROM readings WHERE meter_id = 1 AND {condition} ORDER BY id"


def _plan(workspace: Workspace, server: Server, dataset: Dataset) -> Check:
    """Compare the rows that MariaDB plans to read for a day's pattern with the day's rows."""
    path = LOOKUPS["getDataByDate"][0]
    with workspace.mariadb.watched() as queries:
        fetch(server.port, path, {**server.headers, **UNCACHED})
    if not queries:
        raise FailedError("the database's log shows no query of readings")
    in_schema = [
        re.sub(r"\b(FROM|JOIN) (\w+)", rf"\1 {dataset.schema}.\2", query) for query in queries
    ]
    rows = [
        int(row[-2] or 0)
        for query in in_schema
        for row in workspace.mariadb.query(f"EXPLAIN {query}")
    ]
    text = "getDataByDate, mariadb: rows that EXPLAIN expects to read / rows of the day"
    return Check(5, text, 1.5, max(rows) / PER_DAY)
