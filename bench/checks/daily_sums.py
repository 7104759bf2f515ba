"""Item 9: figures by day and by month over a year, from the sums of days."""

import statistics

from bench.contenders.service import UNCACHED, Service
from bench.cpu_cost import request_cost
from bench.datasets import Dataset
from bench.http_client import request
from bench.targets import Check
from bench.workspace import ENGINES, Engine, Workspace

INTERVALS = ("day", "month")
ROUNDS = 3
SECONDS = 0.3
LIMIT = 60

_YEAR = "date=2000-01-01&end_date=2000-12-31"


def daily_sums(workspace: Workspace, dataset: Dataset) -> list[Check]:
    """Check the processor time of a year of one meter on both databases, without the cache."""
    return [check for engine in ENGINES for check in _of_one_meter(workspace, engine, dataset)]


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
            text = f"a year of {dataset.readings:,} readings by {interval}, {engine}: time of a core"
            checks.append(Check(9, text, LIMIT, cost, " ms"))
    return checks
