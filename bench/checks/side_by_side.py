"""Item 7: two workers against one, and small requests beside a long stream."""

import statistics
import threading
from contextlib import ExitStack

from bench import load_generator
from bench.contenders.service import ALL, ONE, TITLES, UNCACHED, Service
from bench.datasets import Dataset
from bench.http_client import Connection, fetch, request
from bench.process import FailedError
from bench.targets import Check
from bench.workspace import Workspace

ROUNDS = 3
SECONDS = 0.7
PINGS = 400
WORKERS = 2


def workers(workspace: Workspace, dataset: Dataset) -> list[Check]:
    """Compare the rates of a cached response."""
    text = f"cached answers, {WORKERS} workers / one, asked by {load_generator.program_name()}"
    rates: dict[int, list[float]] = {1: [], WORKERS: []}
    try:
        with ExitStack() as stack:
            servers = {
                count: stack.enter_context(Service(workspace, "sqlite", dataset, workers=count))
                for count in rates
            }
            for _ in range(ROUNDS):
                for count, server in servers.items():
                    rates[count].append(
                        load_generator.efficient_rate(server.port, ONE, server.headers, SECONDS)
                    )
    except FailedError:
        return [Check(7, f"{text} (they did not start)", 1.6, None, at_least=True)]
    one, two = (statistics.median(found) for found in rates.values())
    text += f": {two:,.0f}/s and {one:,.0f}/s"
    return [Check(7, text, 1.6, two / one, at_least=True)]


def pings(workspace: Workspace, dataset: Dataset) -> list[Check]:
    """Measure /apielec/ping in a worker that streams all readings meanwhile."""
    checks = []
    for engine in ("mariadb", "sqlite"):
        with Service(workspace, engine, dataset) as server:
            over = threading.Event()

            def stream(server: Service = server, over: threading.Event = over) -> None:
                while not over.is_set():
                    fetch(server.port, ALL, {**server.headers, **UNCACHED})

            streaming = threading.Thread(target=stream)
            streaming.start()
            try:
                with Connection(server.port) as connection:
                    message = request("/apielec/ping", server.headers)
                    times = [connection.exchange(message).seconds for _ in range(PINGS)]
            finally:
                over.set()
                streaming.join()
        p99 = statistics.quantiles(times, n=100)[-1] * 1000
        checks.append(Check(7, f"p99 of ping beside a stream, {TITLES[engine]}", 20, p99, " ms"))
    return checks
