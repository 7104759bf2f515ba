"""The long run, which is published, and the short one, which tells whether promises still hold."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace

from bench.checks.cached import cached
from bench.checks.figures import figures
from bench.checks.lookups import lookups
from bench.checks.side_by_side import pings, workers
from bench.checks.slow_clients import slow_clients
from bench.contenders import clickhouse, datasette, imports, limits, roapi, scripts, service
from bench.contenders.http import HttpSide
from bench.datasets import Dataset
from bench.http_client import save
from bench.measure import LONGEST, Comparison, Side, compare
from bench.paths import MissingError
from bench.process import Server
from bench.targets import Check, importing, importing_again, memory, streaming
from bench.workspace import ENGINES, Lab

SMALL = 10_000
_CACHED = 100_000
_QUICK_ROUNDS = 2

Say = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """All that was measured, by number of readings."""

    answers: dict[int, Comparison] = field(default_factory=dict)
    imports: dict[int, Comparison] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)


def long_run(lab: Lab, sizes: Sequence[int], rounds: int, say: Say) -> Outcome:
    """Every side at every size, and the whole list."""
    outcome = Outcome()
    for size in sizes:
        dataset = Dataset(size)
        say(f"{size:,} readings: imports")
        outcome.imports[size] = Comparison()
        compare(imports.sides(lab, dataset), rounds, outcome.imports[size])
        say(f"{size:,} readings: answers")
        outcome.answers[size] = Comparison()
        sides = _all_sides(lab, dataset, outcome.answers[size])
        sides = _affordable(sides, size, outcome.answers)
        compare(sides, rounds, outcome.answers[size])
    size = _main_size(sizes)
    outcome.checks = _checks(lab, outcome, size, size, say)
    say("figures")
    outcome.checks += figures(lab, Dataset(size))
    return outcome


def short_run(lab: Lab, readings: int, say: Say) -> Outcome:
    """The list, from as few runs as will do."""
    outcome = Outcome(answers={SMALL: Comparison(), readings: Comparison()})
    dataset, small, tenth = Dataset(readings), Dataset(SMALL), Dataset(readings // 10)
    say(f"{readings:,} readings: imports")
    outcome.imports[readings] = Comparison()
    compare(imports.firsts(lab, dataset), 1, outcome.imports[readings])
    outcome.imports[tenth.readings] = Comparison()
    both = [
        *(imports.Import(lab, engine, tenth) for engine in ENGINES),
        *imports.agains(lab, tenth),
    ]
    compare(both, 1, outcome.imports[tenth.readings])

    say(f"{readings:,} readings: answers")
    with ExitStack() as stack:
        mariadb, mariadb_gzip, *_ = service.sides(lab, "mariadb", dataset)
        sqlite, *_ = service.sides(lab, "sqlite", dataset)
        outcomes = outcome.answers[readings]
        sides: list[Side] = [
            _kept(stack, mariadb),
            limits.MariadbDump(lab, dataset),
            _kept(stack, mariadb_gzip),
            _kept(stack, sqlite),
            limits.SqliteDump(dataset),
            *(_kept(stack, side) for side in _others(dataset, outcomes)),
        ]
        compare(sides, _QUICK_ROUNDS, outcomes)

        say(f"{SMALL:,} readings, and the original")
        for engine in ENGINES:
            lab.need(engine, small)
        firsts = [_kept(stack, service.sides(lab, engine, small)[0]) for engine in ENGINES]
        compare(firsts, _QUICK_ROUNDS, outcome.answers[SMALL])
        lab.need("mariadb", tenth)
        at_tenth = outcome.answers.get(tenth.readings, Comparison())
        compare([scripts.original(lab, tenth)], 1, at_tenth)
        outcome.answers.setdefault(tenth.readings, at_tenth)
    outcome.checks = _checks(lab, outcome, readings, tenth.readings, say)
    return outcome


def _checks(lab: Lab, outcome: Outcome, readings: int, repeated: int, say: Say) -> list[Check]:
    """The whole list; `repeated` is how many readings were imported twice."""
    dataset, small = Dataset(readings), Dataset(SMALL)
    for engine in ENGINES:
        lab.need(engine, small)
    say("slow clients")
    slow = slow_clients(lab, dataset)
    say("cached answers")
    from_cache = cached(lab, Dataset(min(_CACHED, readings)))
    say("lookups")
    few = lookups(lab, dataset)
    say("workers, and pings beside a stream")
    together = [*workers(lab, small), *pings(lab, Dataset(max(outcome.answers)))]
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


def _all_sides(lab: Lab, dataset: Dataset, comparison: Comparison) -> list[Side]:
    with service.Service(lab, "mariadb", dataset) as server:
        headers = {**server.headers, **service.UNCACHED}
        save(server.port, service.ALL, headers, dataset.answer)
    return [
        *(side for engine in ENGINES for side in service.sides(lab, engine, dataset)),
        scripts.original(lab, dataset),
        scripts.plain(lab, dataset),
        *_others(dataset, comparison),
        *_from_datasette(dataset, comparison),
        *limits.sides(lab, dataset, service.middlewares()),
    ]


def _others(dataset: Dataset, comparison: Comparison) -> list[HttpSide]:
    """The peers that hold the data themselves, where they are to be had."""
    dataset.make_texts()
    sides = []
    for name, make in ((roapi.ROAPI, roapi.side), (clickhouse.CLICKHOUSE, clickhouse.side)):
        try:
            sides.append(make(dataset))
        except MissingError as error:
            comparison.left_out[name] = str(error)
    return sides


def _from_datasette(dataset: Dataset, comparison: Comparison) -> list[HttpSide]:
    try:
        return datasette.sides(dataset)
    except MissingError as error:
        comparison.left_out["Datasette"] = str(error)
        return []


def _affordable(sides: Sequence[Side], size: int, answers: dict[int, Comparison]) -> list[Side]:
    """Those that won't take too long, going by a smaller size."""
    kept = []
    for side in sides:
        expected = _expected(side.name, size, answers)
        if expected > LONGEST:
            answers[size].left_out[side.name] = f"it would take about {expected:,.0f} s"
        else:
            kept.append(side)
    return kept


def _expected(name: str, size: int, answers: dict[int, Comparison]) -> float:
    known = [smaller for smaller in answers if name in answers[smaller].series]
    if not known:
        return 0
    return answers[max(known)].series[name].seconds.median * size / max(known)


def _kept(stack: ExitStack, side: HttpSide) -> HttpSide:
    """The same side with one server for all its runs."""
    running: list[Server] = []

    def start() -> AbstractContextManager[Server]:
        if not running:
            running.append(stack.enter_context(side.start()))
        return nullcontext(running[0])

    return replace(side, start=start)


def _main_size(sizes: Sequence[int]) -> int:
    """A million, or the largest below."""
    return max((size for size in sizes if size <= 1_000_000), default=min(sizes))
