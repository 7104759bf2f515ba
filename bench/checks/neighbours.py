"""Item 9: a meter among thousands, against the same meter in a database of its own.

Among thousands, ten users have a grant for each meter; alone, the user may see all there is.
"""

import statistics
from contextlib import ExitStack

from bench.contenders.service import UNCACHED, USER, Service
from bench.cpu_cost import request_cost
from bench.fleets import FIRST_METER, START, Fleet, day_after
from bench.http_client import request
from bench.targets import Check
from bench.workspace import ENGINES, Engine, Workspace

ROUNDS = 3
SECONDS = 0.3
DAYS = 365
LIST_LIMIT = 30
TABLE_LIMIT = 1000
_PAGE = 1000

_METER = f"meter={FIRST_METER}"
_RANGE = f"/apielec/getDataByRange?{_METER}&date={START}T00:00:00&end_date="
REQUESTS = {
    "getData of a year": f"/apielec/getData?{_METER}",
    "a day": f"{_RANGE}{START}T23:59:59",
    "a year by range": f"{_RANGE}{day_after(DAYS - 1)}T23:59:59",
    "by id": f"/apielec/getDataById?{_METER}&id=5",
}


def neighbours(workspace: Workspace, meters: int) -> list[Check]:
    """Check all requests on both databases, cached and not."""
    return [check for engine in ENGINES for check in _requests(workspace, engine, meters)]


def _requests(workspace: Workspace, engine: Engine, meters: int) -> list[Check]:
    others = Fleet("neighbours", meters, 1)
    year = Fleet("alone", 1, DAYS)
    workspace.register(engine, others)
    workspace.deliver(engine, others, others)
    workspace.deliver(engine, year, others)
    workspace.grant(engine, others, [USER, *(f"user{number}" for number in range(1, 10))])
    workspace.register(engine, year)
    workspace.deliver(engine, year, year)
    checks = []
    with ExitStack() as stack:
        among, alone = (
            stack.enter_context(Service(workspace, engine, fleet)) for fleet in (others, year)
        )
        for name, path in REQUESTS.items():
            for is_cached, headers in ((False, UNCACHED), (True, {})):
                costs: dict[Service, list[float]] = {among: [], alone: []}
                for _ in range(ROUNDS):
                    for server, found in costs.items():
                        message = request(path, {**server.headers, **headers})
                        found.append(request_cost(workspace, server, message, SECONDS))
                ours, theirs = map(statistics.median, costs.values())
                text = (
                    f"{name}, {'cached, ' if is_cached else ''}{engine}: a meter of {meters:,}"
                    f" with {10 * meters:,} grants {ours:.3g} ms of a core / alone {theirs:.3g} ms"
                )
                checks.append(Check(9, text, 1.2, ours / theirs))
        checks += _lists(workspace, engine, among, meters)
    return checks


def _lists(workspace: Workspace, engine: Engine, server: Service, meters: int) -> list[Check]:
    """Check what tells of all meters; a list of them comes in pages of a thousand."""
    checks = []
    for path, name, limit in (
        (f"/v1/meters?limit={_PAGE}", f"a list of {_PAGE:,} meters", LIST_LIMIT),
        (f"/v1/completeness?limit={meters}", f"completeness of {meters:,} meters", TABLE_LIMIT),
    ):
        message = request(path, {**server.headers, **UNCACHED})
        cost = statistics.median(
            request_cost(workspace, server, message, SECONDS) for _ in range(ROUNDS)
        )
        checks.append(Check(9, f"{name}, {engine}: time of a core", limit, cost, " ms"))
    return checks
