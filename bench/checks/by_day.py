"""Readings put together by day, against the sums alone.

The bare statement asks for the same sums in the plainest way, by the day of local time, through the
driver; the service adds coverage, flags, the days' bounds and HTTP.
"""

import sqlite3
import statistics
import time
from contextlib import closing

from bench.asked import Check
from bench.client import fetch
from bench.data import Dataset
from bench.lab import ENGINES, Engine, Lab
from bench.sides.service import ONE, UNCACHED, Service
from storage.reading import COLUMNS, NAMES, Rule

ROUNDS = 3
BY_DAY = "/apielec/getAggregate?interval=day"

_FUNCTIONS = {
    Rule.TOTAL: ("SUM",),
    Rule.LEVEL: ("SUM", "COUNT", "MIN", "MAX"),
    Rule.DEMAND: ("MAX",),
    Rule.RATIO: (),
}
_SUMS = ", ".join(
    f"{function}({column.name})" for column in COLUMNS for function in _FUNCTIONS[column.rule]
)
_BARE = (
    f"SELECT {{day}} AS day, COUNT(COALESCE({', '.join(NAMES)})), {_SUMS}"
    " FROM {table} GROUP BY day"
)


def by_day(lab: Lab, dataset: Dataset) -> list[Check]:
    """On both databases, nothing cached."""
    checks = []
    for engine in ENGINES:
        lab.need(engine, dataset)
        with Service(lab, engine, dataset) as server:
            headers = {**server.headers, **UNCACHED}
            fetch(server.port, ONE, headers)
            ours, bare = [], []
            for _ in range(ROUNDS):
                ours.append(fetch(server.port, BY_DAY, headers).seconds)
                bare.append(_bare(lab, engine, dataset))
        service, alone = statistics.median(ours), statistics.median(bare)
        text = f"getAggregate by day of {dataset.readings:,}, {engine}"
        checks.append(
            Check(
                8,
                f"{text}: {service:.2f} s / the bare sums' {alone:.2f} s",
                1.5,
                service / alone,
                binding=False,
            )
        )
    return checks


def _bare(lab: Lab, engine: Engine, dataset: Dataset) -> float:
    """Seconds that the sums take without the service."""
    started = time.perf_counter()
    if engine == "mariadb":
        lab.mariadb.query(_BARE.format(day="DATE(date)", table=f"{dataset.schema}.consumpdata"))
    else:
        with closing(sqlite3.connect(f"{dataset.sqlite.as_uri()}?mode=ro", uri=True)) as file:
            file.execute(_BARE.format(day="substr(date, 1, 10)", table="consumpdata")).fetchall()
    return time.perf_counter() - started
