"""Item 9: figures by day and by month over a year, from the sums of days."""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.contenders.service import UNCACHED, Service
from bench.cpu_cost import request_cost
from bench.datasets import Dataset
from bench.fleets import START, Copies, day_after
from bench.http_client import request
from bench.paths import SERVICE_PYTHON
from bench.process import Server, timed
from bench.targets import Check
from bench.workspace import ENGINES, Engine, Workspace

INTERVALS = ("day", "month")
ROUNDS = 3
SECONDS = 0.3
LIMIT = 60
GROUP_LIMIT = 100
METERS = 200
DAYS = 366

_GROUP = "all"
_YEAR = "date=2000-01-01&end_date=2000-12-31"


def daily_sums(workspace: Workspace, dataset: Dataset) -> list[Check]:
    """Check the processor time of a year on both databases: of a meter, and of many together.

    Both are asked for over HTTP, without the cache.
    """
    return [
        check
        for engine in ENGINES
        for check in (
            *_of_one_meter(workspace, engine, dataset),
            *_of_many_meters(workspace, engine),
        )
    ]


def _of_one_meter(workspace: Workspace, engine: Engine, dataset: Dataset) -> list[Check]:
    workspace.require(engine, dataset)
    checks = []
    with Service(workspace, engine, dataset) as server:
        for interval in INTERVALS:
            path = f"/apielec/getAggregate?interval={interval}&{_YEAR}"
            message = request(path, {**server.headers, **UNCACHED})
            cost = statistics.median(
                request_cost(workspace, server, message, SECONDS) for _ in range(ROUNDS)
            )
            text = (
                f"a year of {dataset.readings:,} readings by {interval}, {engine}: time of a core"
            )
            checks.append(Check(9, text, LIMIT, cost, " ms"))
    return checks


@contextmanager
def group_of_year(
    workspace: Workspace, engine: Engine
) -> Iterator[tuple[Server, Callable[[str], str]]]:
    """Yield a service with a group of many meters, and what makes the path of its sums."""
    fleet = Copies("year", METERS, DAYS)
    workspace.clear(engine, fleet)
    workspace.deliver(engine, fleet, fleet, "--register")
    timed(
        [str(SERVICE_PYTHON), "-m", "bench.group_of_all", _GROUP],
        changes=workspace.settings(engine, fleet),
    )
    period = f"from={START}&to={day_after(DAYS)}"
    with Service(workspace, engine, fleet) as server:
        yield (
            server,
            lambda resolution: f"/v1/groups/{_GROUP}/aggregates?resolution={resolution}&{period}",
        )


def _of_many_meters(workspace: Workspace, engine: Engine) -> list[Check]:
    checks = []
    with group_of_year(workspace, engine) as (server, path):
        for resolution, name in (("P1D", "day"), ("P1M", "month")):
            message = request(path(resolution), {**server.headers, **UNCACHED})
            cost = statistics.median(
                request_cost(workspace, server, message, SECONDS) for _ in range(ROUNDS)
            )
            text = f"a year of a group of {METERS} meters by {name}, {engine}: time of a core"
            checks.append(Check(9, text, GROUP_LIMIT, cost, " ms"))
    return checks
