"""The full run, which is published, and the quick one, which checks the targets."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

from bench.checks.cached import cached
from bench.checks.columnar import beside_columnar
from bench.checks.daily_sums import daily_sums
from bench.checks.deliveries import deliveries
from bench.checks.described_formats import described_formats
from bench.checks.figures import figures
from bench.checks.lookups import lookups
from bench.checks.neighbours import neighbours
from bench.checks.side_by_side import pings, workers
from bench.checks.slow_clients import slow_clients
from bench.contenders import columnar, datasette, imports, limits, roapi, scripts, service
from bench.contenders.http import HttpContender
from bench.datasets import Dataset
from bench.http_client import save
from bench.measure import MAX_SECONDS, Comparison, Contender, compare
from bench.paths import MissingError
from bench.process import Server
from bench.targets import Check, importing, importing_again, memory, streaming
from bench.workspace import ENGINES, Workspace

SMALL = 10_000
_CACHED = 100_000
_QUICK_ROUNDS = 2
_METERS = 10_000
_QUICK_METERS = 1_000
_ROWS = 100_000

Say = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """All measurements, by number of readings."""

    answers: dict[int, Comparison] = field(default_factory=dict)
    imports: dict[int, Comparison] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)


def long_run(workspace: Workspace, sizes: Sequence[int], rounds: int, say: Say) -> Outcome:
    """Measure every contender at every size, and check all targets."""
    outcome = Outcome()
    for size in sizes:
        dataset = Dataset(size)
        say(f"{size:,} readings: imports")
        outcome.imports[size] = Comparison()
        compare(imports.contenders(workspace, dataset), rounds, outcome.imports[size])
        say(f"{size:,} readings: answers")
        outcome.answers[size] = Comparison()
        contenders = _all_contenders(workspace, dataset, outcome.answers[size])
        contenders = _affordable(contenders, size, outcome.answers)
        compare(contenders, rounds, outcome.answers[size])
    size = _main_size(sizes)
    outcome.checks = _checks(workspace, outcome, size, size, say)
    say("figures")
    outcome.checks += figures(workspace, Dataset(size))
    outcome.checks += _fleets(workspace, Dataset(size), _METERS, say)
    outcome.checks += _formats(say)
    say("beside columnar engines")
    outcome.checks += beside_columnar(workspace, size, outcome.answers[size])
    return outcome


def short_run(workspace: Workspace, readings: int, say: Say) -> Outcome:
    """Check the targets with as few runs as possible."""
    outcome = Outcome(answers={SMALL: Comparison(), readings: Comparison()})
    dataset, small, tenth = Dataset(readings), Dataset(SMALL), Dataset(readings // 10)
    say(f"{readings:,} readings: imports")
    outcome.imports[readings] = Comparison()
    compare(imports.first_imports(workspace, dataset), 1, outcome.imports[readings])
    outcome.imports[tenth.readings] = Comparison()
    both = [
        *(imports.Import(workspace, engine, tenth) for engine in ENGINES),
        *imports.repeated_imports(workspace, tenth),
    ]
    compare(both, 1, outcome.imports[tenth.readings])

    say(f"{readings:,} readings: answers")
    with ExitStack() as stack:
        mariadb, mariadb_gzip, *_ = service.contenders(workspace, "mariadb", dataset)
        sqlite, *_ = service.contenders(workspace, "sqlite", dataset)
        outcomes = outcome.answers[readings]
        contenders: list[Contender] = [
            _with_one_server(stack, mariadb),
            limits.MariadbDump(workspace, dataset),
            _with_one_server(stack, mariadb_gzip),
            _with_one_server(stack, sqlite),
            limits.SqliteDump(dataset),
            *(_with_one_server(stack, contender) for contender in _peers(dataset, outcomes)),
        ]
        compare(contenders, _QUICK_ROUNDS, outcomes)

        say(f"{SMALL:,} readings, and the original")
        for engine in ENGINES:
            workspace.require(engine, small)
        first_imports = [
            _with_one_server(stack, service.contenders(workspace, engine, small)[0])
            for engine in ENGINES
        ]
        compare(first_imports, _QUICK_ROUNDS, outcome.answers[SMALL])
        workspace.require("mariadb", tenth)
        at_tenth = outcome.answers.get(tenth.readings, Comparison())
        compare([scripts.original(workspace, tenth)], 1, at_tenth)
        outcome.answers.setdefault(tenth.readings, at_tenth)
    outcome.checks = _checks(workspace, outcome, readings, tenth.readings, say)
    outcome.checks += _fleets(workspace, dataset, _QUICK_METERS, say)
    outcome.checks += _formats(say)
    say("beside columnar engines")
    outcome.checks += beside_columnar(workspace, readings, outcome.answers[readings])
    return outcome


def _formats(say: Say) -> list[Check]:
    """Return the checks of reading reports in other formats."""
    say(f"{_ROWS:,} rows in described formats")
    return described_formats(_ROWS)


def _fleets(workspace: Workspace, dataset: Dataset, meters: int, say: Say) -> list[Check]:
    """Return the checks of many meters."""
    say(f"{meters:,} meters: a delivery")
    checks = deliveries(workspace, meters)
    say(f"{meters:,} meters: requests for one of them")
    checks += neighbours(workspace, meters)
    say("sums of days")
    return checks + daily_sums(workspace, dataset)


def _checks(
    workspace: Workspace, outcome: Outcome, readings: int, repeated: int, say: Say
) -> list[Check]:
    """Return all checks; `repeated` is how many readings were imported twice."""
    dataset, small = Dataset(readings), Dataset(SMALL)
    for engine in ENGINES:
        workspace.require(engine, small)
    say("slow clients")
    slow = slow_clients(workspace, dataset)
    say("cached answers")
    from_cache = cached(workspace, Dataset(min(_CACHED, readings)))
    say("lookups")
    few = lookups(workspace, dataset)
    say("workers, and pings beside a stream")
    together = [*workers(workspace, small), *pings(workspace, Dataset(max(outcome.answers)))]
    return [
        *streaming(outcome.answers, readings),
        *memory(outcome.answers),
        *slow,
        *from_cache,
        *few,
        *importing(outcome.imports[readings], readings),
        *importing_again(outcome.imports[repeated], repeated),
        *together,
    ]


def _all_contenders(
    workspace: Workspace, dataset: Dataset, comparison: Comparison
) -> list[Contender]:
    with service.Service(workspace, "mariadb", dataset) as server:
        headers = {**server.headers, **service.UNCACHED}
        save(server.port, service.ALL, headers, dataset.answer)
    return [
        *(
            contender
            for engine in ENGINES
            for contender in service.contenders(workspace, engine, dataset)
        ),
        scripts.original(workspace, dataset),
        scripts.plain(workspace, dataset),
        *_peers(dataset, comparison),
        *_datasette(dataset, comparison),
        *limits.contenders(workspace, dataset),
    ]


def _peers(dataset: Dataset, comparison: Comparison) -> list[HttpContender]:
    """Return the contenders that store the data themselves, if they are installed."""
    dataset.make_texts()
    contenders = []
    peers: list[tuple[str, Callable[[Dataset], HttpContender]]] = [
        (roapi.ROAPI, roapi.contender),
        *((name, partial(columnar.contender, engine)) for engine, name in columnar.ANSWERS.items()),
    ]
    for name, make in peers:
        try:
            contenders.append(make(dataset))
        except MissingError as error:
            comparison.left_out[name] = str(error)
    return contenders


def _datasette(dataset: Dataset, comparison: Comparison) -> list[HttpContender]:
    try:
        return datasette.contenders(dataset)
    except MissingError as error:
        comparison.left_out["Datasette"] = str(error)
        return []


def _affordable(
    contenders: Sequence[Contender], size: int, answers: dict[int, Comparison]
) -> list[Contender]:
    """Return the contenders that won't take too long, estimated from a smaller size."""
    affordable = []
    for contender in contenders:
        expected = _expected(contender.name, size, answers)
        if expected > MAX_SECONDS:
            answers[size].left_out[contender.name] = f"it would take about {expected:,.0f} s"
        else:
            affordable.append(contender)
    return affordable


def _expected(name: str, size: int, answers: dict[int, Comparison]) -> float:
    known = [smaller for smaller in answers if name in answers[smaller].series]
    if not known:
        return 0
    return answers[max(known)].series[name].seconds.median * size / max(known)


def _with_one_server(stack: ExitStack, contender: HttpContender) -> HttpContender:
    """Return the contender with one server for all its runs."""
    running: list[Server] = []

    def start() -> AbstractContextManager[Server]:
        if not running:
            running.append(stack.enter_context(contender.start()))
        return nullcontext(running[0])

    return replace(contender, start=start)


def _main_size(sizes: Sequence[int]) -> int:
    """Return a million, or the largest size below."""
    return max((size for size in sizes if size <= 1_000_000), default=min(sizes))
