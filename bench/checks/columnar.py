"""Item 10: figures and exports of one meter and of a group, beside columnar engines.

The engines are asked by the plainest statement for the same sums, and answer behind a handler that
only passes on what they wrote; the service's whole answers are not cached.
"""

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.checks.daily_sums import DAYS, METERS, group_of_year
from bench.contenders import columnar
from bench.contenders.columnar import TITLES, ColumnarServer, Table, table_of
from bench.contenders.service import TITLES as SERVICE_TITLES
from bench.contenders.service import UNCACHED, Service
from bench.datasets import Dataset
from bench.fleets import Copies
from bench.http_client import Connection, fetch, request
from bench.measure import Comparison
from bench.paths import MissingError
from bench.process import FailedError, Server
from bench.targets import Check
from bench.workspace import ENGINES, Engine, Workspace

ROUNDS = 3
ITEM = 10
INTERVAL = 900


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the service and of the engines, and what is promised."""

    name: str
    path: str
    engine_path: str
    most: float | None = None
    """The most of chDB's time that is allowed; None if it is for comparison."""


_HOURS = "date=2000-01-01&end_date=2010-12-31"

FIGURES = (
    Question("by day", "getAggregate?interval=day", "by-day", 1),
    Question("by day, clean", "getAggregate?interval=day&quality=clean", "by-day", 2.5),
    Question(
        "by day in another zone", "getAggregate?interval=day&timezone=Asia/Tokyo", "by-day", 2.5
    ),
    Question("eleven years by hour", f"getAggregate?interval=hour&{_HOURS}", "by-hour", 1),
    Question("profile", "getProfile", "profile", 1.5),
    Question("peaks", "getPeaks", "peaks"),
    Question("summary", "getSummary", "summary"),
    Question("all readings, JSON", "getData", "readings"),
    Question("all readings, CSV", "getData?format=csv", "readings?form=csv"),
    Question("all readings, Parquet", "getData?format=parquet", "readings?form=parquet"),
)


def beside_columnar(workspace: Workspace, readings: int, into: Comparison) -> list[Check]:
    """Compare whole answers, and the bytes on disk; what is not installed is left out of `into`."""
    dataset = Dataset(readings, INTERVAL)
    peers = []
    for engine in TITLES:
        try:
            columnar.require(engine)
            peers.append(engine)
        except MissingError as error:
            into.left_out[TITLES[engine]] = str(error)
    for engine in ENGINES:
        workspace.require(engine, dataset)
    return [
        *_figures(workspace, dataset, peers),
        *_group(workspace, peers),
        *_disk(workspace, dataset, peers),
    ]


def _figures(workspace: Workspace, dataset: Dataset, peers: Sequence[str]) -> list[Check]:
    checks = []
    with ExitStack() as stack:
        theirs = {
            peer: stack.enter_context(ColumnarServer(table_of(peer, dataset))) for peer in peers
        }
        for engine in ENGINES:
            with Service(workspace, engine, dataset) as ours:
                for question in FIGURES:
                    path = f"/apielec/{question.path}"
                    what = f"{question.name} of {dataset.readings:,}"
                    checks += _compared(engine, ours, path, theirs, question, what)
    return checks


def _group(workspace: Workspace, peers: Sequence[str]) -> list[Check]:
    fleet = Copies("year", METERS, DAYS)
    fleet.make_reports()
    question = Question("by day", "", "group-by-day", 1)
    checks = []
    with ExitStack() as stack:
        theirs: dict[str, Server] = {}
        for peer in peers:
            table = Table(peer, fleet.reports[0], fleet.schema, METERS)
            theirs[peer] = stack.enter_context(ColumnarServer(table))
        for engine in ENGINES:
            with group_of_year(workspace, engine) as (ours, path):
                what = f"a year of a group of {METERS} meters by day"
                checks += _compared(engine, ours, path("P1D"), theirs, question, what)
    return checks


def _compared(
    engine: Engine,
    ours: Server,
    path: str,
    theirs: Mapping[str, Server],
    question: Question,
    what: str,
) -> list[Check]:
    """Ask the service and the engines in turn; return a check for each engine."""
    headers = {**ours.headers, **UNCACHED}
    fetch(ours.port, path, headers)
    own: list[float] = []
    others: dict[str, list[float]] = {peer: [] for peer in theirs}
    inside: dict[str, list[float]] = {peer: [] for peer in theirs}
    for _ in range(ROUNDS):
        own.append(fetch(ours.port, path, headers).seconds * 1000)
        for peer, server in theirs.items():
            with Connection(server.port) as connection:
                answer = connection.exchange(request(f"/{question.engine_path}", {}))
            if answer.status != 200:
                raise FailedError(f"{peer}: {question.engine_path}: HTTP {answer.status}")
            others[peer].append(answer.seconds * 1000)
            inside[peer].append(columnar.engine_milliseconds(answer.head) or 0)
    took = statistics.median(own)
    checks = []
    for peer, seconds in others.items():
        other, alone = statistics.median(seconds), statistics.median(inside[peer])
        is_promised = peer == "chdb" and question.most is not None
        text = (
            f"{what}, {SERVICE_TITLES[engine].partition(', ')[2]}: {took:,.1f} ms"
            f" / {TITLES[peer]}'s {other:,.1f} ms ({alone:,.1f} ms of them its own)"
        )
        checks.append(Check(ITEM, text, question.most or 1, took / other, binding=is_promised))
    return checks


def _disk(workspace: Workspace, dataset: Dataset, peers: Sequence[str]) -> list[Check]:
    sizes = {
        "SQLite": dataset.sqlite.stat().st_size,
        "MariaDB": workspace.mariadb.size(dataset.schema),
    }
    sizes |= {TITLES[peer]: table_of(peer, dataset).size for peer in peers}
    return [
        Check(
            ITEM,
            f"bytes of a reading on disk, {name}",
            200,
            size / dataset.readings,
            binding=False,
        )
        for name, size in sizes.items()
    ]
