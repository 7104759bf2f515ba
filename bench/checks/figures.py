"""Figures of all readings, against plain statements.

A bare statement asks for the main part of the same in the plainest way, through the driver: for
getAggregate the same sums by the day of local time, for getSummary and getProfile no more
than their totals, for getPeaks the highest readings however close to each other. The service adds
coverage, flags, percentiles, the buckets' bounds and HTTP.
"""

import sqlite3
import time
from contextlib import closing

from bench.contenders.service import ONE, UNCACHED, Service
from bench.datasets import Dataset
from bench.http_client import fetch
from bench.targets import Check
from bench.workspace import ENGINES, Engine, Workspace
from domain.quantities import QUANTITIES, QUANTITY_NAMES, AggregationRule

ROUNDS = 2

_FUNCTIONS = {
    AggregationRule.TOTAL: ("SUM",),
    AggregationRule.LEVEL: ("SUM", "COUNT", "MIN", "MAX"),
    AggregationRule.DEMAND: ("MAX",),
    AggregationRule.RATIO: (),
}
_SUMS = ", ".join(
    f"{function}({column.name})" for column in QUANTITIES for function in _FUNCTIONS[column.rule]
)
_PRESENT = f"COUNT(COALESCE({', '.join(QUANTITY_NAMES)}))"

_DAY: dict[Engine, str] = {"mariadb": "DATE(date)", "sqlite": "substr(date, 1, 10)"}

FIGURES = {
    "getAggregate?interval=day": (
        f"SELECT {{day}} AS day, {_PRESENT}, {_SUMS} FROM {{table}} GROUP BY day"
    ),
    "getSummary": (
        f"SELECT COUNT(*), {_PRESENT}, MIN(date), MAX(date), SUM(energy), SUM(reactive_energy),"
        " MAX(maximeter), MIN(power) FROM {table}"
    ),
    "getProfile": (
        "SELECT SUBSTR(date, 12) AS time, COUNT(power), SUM(power), MIN(power), MAX(power)"
        " FROM {table} GROUP BY time"
    ),
    "getPeaks": "SELECT date, maximeter FROM {table} ORDER BY maximeter DESC LIMIT 10",
}
"""The route of the service, and the bare statement."""

ALLOWED = {"getAggregate?interval=day": 1.5}
"""The maximum ratio of a response's time to its statement's; 3 by default."""


def figures(workspace: Workspace, dataset: Dataset) -> list[Check]:
    """Compare all figures with their statements on both databases, without the cache."""
    checks = []
    for engine in ENGINES:
        workspace.require(engine, dataset)
        with Service(workspace, engine, dataset) as server:
            headers = {**server.headers, **UNCACHED}
            fetch(server.port, ONE, headers)
            for path, statement in FIGURES.items():
                ours, bare = [], []
                for _ in range(ROUNDS):
                    ours.append(fetch(server.port, f"/apielec/{path}", headers).seconds)
                    bare.append(_bare(workspace, engine, dataset, statement))
                service, alone = min(ours), min(bare)
                text = (
                    f"{path} of {dataset.readings:,}, {engine}: {service:.2f} s"
                    f" / the bare statement's {alone:.2f} s"
                )
                checks.append(Check(8, text, ALLOWED.get(path, 3), service / alone, binding=False))
    return checks


def _bare(workspace: Workspace, engine: Engine, dataset: Dataset, statement: str) -> float:
    """Return the seconds that a statement takes without the service."""
    started = time.perf_counter()
    day = _DAY[engine]
    if engine == "mariadb":
        workspace.mariadb.query(statement.format(day=day, table=f"{dataset.schema}.consumpdata"))
    else:
        with closing(sqlite3.connect(f"{dataset.sqlite.as_uri()}?mode=ro", uri=True)) as file:
            file.execute(statement.format(day=day, table="consumpdata")).fetchall()
    return time.perf_counter() - started
