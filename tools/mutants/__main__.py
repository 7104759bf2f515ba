"""The command `python -m tools.mutants`: how many of a sample of mistakes the tests notice."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import StrEnum
from itertools import islice, zip_longest
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import click

from tools.mutants import chosen
from tools.mutants.reaching import Reaching, copied, measured
from tools.mutants.sampling import Mutant, sample

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "var" / "mutants"
ARGUED = Path(__file__).with_name("argued.toml")
LEAST_KILLED = 0.9
FEW_FILES, FEW_SECONDS = 3, 10
"""Where the tests of a first run stand and how long they take by themselves."""
QUICK_SECONDS = 20
"""How long the tests of a second run take; few mistakes get past them."""
SLOW_SECONDS = 120
"""How long those of a third run take, which are slower, or run other lines of the module."""
_STARTING, _SLOWER = 60, 4
"""A run is late when it takes so many seconds and so many times as long as it should."""
_LEAVING = 15


class Outcome(StrEnum):
    """What came of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    TIMED_OUT = "timed out"
    ARGUED = "argued"
    UNTRIED = "no time left"


class Trial:
    """Runs tests on mutants, each in a copy of the project that is its own meanwhile."""

    def __init__(self, reaching: Reaching, scratch: Path, jobs: int, deadline: float) -> None:
        self._reaching = reaching
        self._deadline = deadline
        self._copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            self._copies.put(copied(ROOT, scratch / f"{number}"))
        argued = tomllib.loads(ARGUED.read_text())["mutant"]
        self._argued = {(each["module"], each["before"], each["after"]) for each in argued}

    def outcome(self, mutant: Mutant) -> tuple[Mutant, Outcome]:
        """Runs the tests that reach a mutant, until one fails."""
        if (Path(mutant.module).name, mutant.before, mutant.after) in self._argued:
            return mutant, Outcome.ARGUED
        if time.monotonic() > self._deadline:
            return mutant, Outcome.UNTRIED
        copy = self._copies.get()
        file = copy / mutant.module
        source = file.read_text()
        try:
            for tests in self._runs(mutant, source):
                outcome = self._noticed(copy, mutant, source, tests)
                if outcome != Outcome.SURVIVED:
                    return mutant, outcome
            return mutant, Outcome.SURVIVED
        finally:
            _write(file, source)
            self._copies.put(copy)

    def _noticed(self, copy: Path, mutant: Mutant, source: str, tests: list[str]) -> Outcome:
        """Runs tests on a mutant; one that fails has to pass without the mistake."""
        while tests:
            _write(copy / mutant.module, mutant.source)
            outcome, failed = self._run(copy, tests)
            if outcome != Outcome.KILLED:
                return outcome
            failed = failed or tests[0]  # the module could not even be imported
            _write(copy / mutant.module, source)
            if self._run(copy, [failed]) == (Outcome.SURVIVED, None):
                return outcome
            tests = [test for test in tests if test != failed]
        return Outcome.SURVIVED

    def _runs(self, mutant: Mutant, source: str) -> Iterator[list[str]]:
        """The tests of each run: few of its own, then quick ones, then others of the module."""
        seconds = self._reaching.seconds
        near = self._reaching.statement(mutant.module, source, mutant.line)
        every = self._reaching.module(mutant.module)
        if not near:  # it runs on import, and shows where other modules use it
            both = zip_longest(every, self._reaching.folder(mutant.module))
            every = list(dict.fromkeys(test for pair in both for test in pair if test))
        own = [test for test in every if test in near] or every
        files = list(dict.fromkeys(map(_file, own)))[:FEW_FILES]
        few = self._within([test for test in own if _file(test) in files], FEW_SECONDS)
        others = sorted(near.difference(few), key=lambda test: (seconds[test], test))
        quick = self._within(others, QUICK_SECONDS)
        slow = self._within(others[len(quick) :], SLOW_SECONDS)
        seen = {*few, *near}
        rest = [test for test in every if test not in seen]
        slow += self._within(rest, SLOW_SECONDS - sum(seconds[test] for test in slow))
        yield from (tests for tests in (few, quick, slow) if tests)

    def _within(self, tests: Iterable[str], seconds: float) -> list[str]:
        """As many of some tests as fit into some time, the first before others; SQLite's first."""
        fitting = []
        for test in tests:
            if self._reaching.seconds[test] <= seconds:
                seconds -= self._reaching.seconds[test]
                fitting.append(test)
        return sorted(fitting, key=lambda test: "mariadb" in test)

    def _run(self, copy: Path, tests: Sequence[str]) -> tuple[Outcome, str | None]:
        """Runs tests in a copy, for as long as they may take, and names the one that failed."""
        listed, failed = copy.with_suffix(".json"), copy.with_suffix(".failed")
        listed.write_text(json.dumps(tests))
        failed.unlink(missing_ok=True)
        temporary = copy.with_suffix(".tmp")
        temporary.mkdir(exist_ok=True)
        files = sorted(set(map(_file, tests)))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", chosen.__name__]
        command += ["-p", "no:cacheprovider", "--hypothesis-seed=0", *files]
        seconds = sum(self._reaching.seconds[test] for test in tests)
        with (
            copy.with_suffix(".log").open("wb") as log,
            subprocess.Popen(
                command,
                cwd=copy,
                env={
                    **os.environ,
                    chosen.LIST: str(listed),
                    chosen.FAILED: str(failed),
                    "TMPDIR": str(temporary),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                status = process.wait(_STARTING + _SLOWER * seconds)
            except subprocess.TimeoutExpired:
                return Outcome.TIMED_OUT, None
            finally:
                _end(process)
        if not status:
            return Outcome.SURVIVED, None
        return Outcome.KILLED, failed.read_text() if failed.exists() else None


def _file(test: str) -> str:
    """The file of a test."""
    return test.partition("::")[0]


def _write(file: Path, source: str) -> None:
    """Writes a module, and forgets what Python keeps of it, which may look as old."""
    file.write_text(source)
    for kept in file.parent.glob(f"__pycache__/{file.stem}.*.pyc"):
        kept.unlink()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a run of tests with what it started; first so that it can clean up."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LEAVING)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _modules(configured: Mapping[str, Any]) -> list[Path]:
    """The modules that mistakes are put into."""
    files = [file for folder in configured["folders"] for file in (ROOT / folder).rglob("*.py")]
    return [file for file in files if not any(map(file.match, configured["leave-out"]))]


def _report(outcomes: Iterable[tuple[Mutant, Outcome]]) -> Iterator[str]:
    """What is looked at: the mutants that no test noticed, and the score."""
    counts: Counter[Outcome] = Counter()
    for mutant, outcome in outcomes:
        counts[outcome] += 1
        if outcome != Outcome.KILLED:
            yield f"{outcome}: {mutant.change}"
    yield ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome])


@click.command()
@click.option("--count", default=100, show_default=True, help="How many mutants are tried.")
@click.option("--seed", default=1, show_default=True, help="Which of the mutants they are.")
@click.option("--minutes", default=40, show_default=True, help="How long new ones are begun.")
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="How many at a time.")
def main(count: int, seed: int, minutes: int, jobs: int) -> None:
    """Puts small mistakes into the code, and tells which of them no test notices."""
    deadline = time.monotonic() + 60 * minutes
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutants"]
    mutants = list(islice(sample(_modules(configured), ROOT, seed), count))
    with TemporaryDirectory(prefix="mutants-") as made, ThreadPoolExecutor(jobs) as pool:
        scratch = Path(made)
        click.echo("Measuring which tests run which lines")
        reaching = measured(ROOT, FOLDER / "reached", configured["folders"], jobs, scratch)
        trial = Trial(reaching, scratch, jobs, deadline)
        outcomes = []
        for mutant, outcome in pool.map(trial.outcome, mutants):
            outcomes.append((mutant, outcome))
            click.echo(f"{len(outcomes)}/{count} {outcome}: {mutant.change}")
    lines = list(_report(outcomes))
    (FOLDER / f"seed-{seed}.txt").write_text("\n".join(lines) + "\n")
    click.echo("\n".join(lines))
    left_out = {Outcome.ARGUED, Outcome.UNTRIED}
    tried = [outcome for _, outcome in outcomes if outcome not in left_out]
    sys.exit(tried.count(Outcome.KILLED) < LEAST_KILLED * len(tried))


if __name__ == "__main__":
    main()
