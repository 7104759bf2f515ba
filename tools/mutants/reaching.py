"""Which tests run a line, by what the plugin `reached` noted."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import coverage

from tools.mutants import reached

_FINGERPRINT = "code.sha256"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Reaching:
    """The tests that passed, how long each took, and what each of them ran."""

    def __init__(self, folder: Path) -> None:
        self._lines = coverage.CoverageData(str(folder / "all"))
        self._lines.read()
        self._all_lines: Counter[str] = Counter()
        for module in self._lines.measured_files():
            self._all_lines += self._counts(module)
        self.seconds: dict[str, float] = {}
        self._sharing: dict[str, set[str]] = {}
        for file in folder.glob("tests-*.json"):
            for name, test in json.loads(file.read_text()).items():
                self.seconds[name] = test["seconds"]
                for other in (name, name.partition("::")[0], *test["fixtures"]):
                    self._sharing.setdefault(other, set()).add(name)

    def statement(self, module: str, source: str, line: int) -> set[str]:
        """The tests that run the statement of a line; none where it runs on import."""
        lines = _lines_of_statement(ast.parse(source), line)
        return self._tests(module, lines) if lines else set()

    def module(self, module: str) -> list[str]:
        """The tests that run any line of a module; first those that run little else."""
        return self._shared(self._counts(module))

    def folder(self, module: str) -> list[str]:
        """The same of all modules in a module's folder."""
        folder = Path(module).parent
        counts: Counter[str] = Counter()
        for other in self._lines.measured_files():
            if Path(other).parent == folder:
                counts += self._counts(other)
        return self._shared(counts)

    def _shared(self, inside: Counter[str]) -> list[str]:
        """The tests of some names, those first to whose lines these are the most."""
        shares = {
            test: max(inside[name] / self._all_lines[name] for name in names)
            for test, names in self._names(inside).items()
        }
        return sorted(shares, key=lambda test: (-shares[test], self.seconds[test], test))

    def _tests(self, module: str, lines: Iterable[int]) -> set[str]:
        contexts = self._lines.contexts_by_lineno(module)
        return set(self._names({name for line in lines for name in contexts.get(line, ())}))

    def _names(self, wanted: Iterable[str]) -> dict[str, list[str]]:
        """The tests that run what was noted under some names, and under which of them."""
        names = defaultdict(list)
        for name in wanted:
            for test in self._sharing.get(name, ()):
                names[test].append(name)
        return names

    def _counts(self, module: str) -> Counter[str]:
        """How many lines of a module each name has."""
        contexts = self._lines.contexts_by_lineno(module).values()
        return Counter(name for names in contexts for name in names)


def _lines_of_statement(tree: ast.Module, line: int) -> range | None:
    """The lines of the statement at a line, without those inside it; none outside functions.

    What stands in the head of a function shows wherever the function runs.
    """
    holding = [
        node
        for node in ast.walk(tree)  # what stands inside comes after what it stands in
        if isinstance(node, ast.stmt) and _first(node) <= line <= _last(node)
    ]
    if not any(isinstance(statement, _FUNCTIONS) for statement in holding):
        return None
    innermost = holding[-1]
    if isinstance(innermost, _FUNCTIONS):
        return range(_first(innermost.body[0]), _last(innermost) + 1)
    body = getattr(innermost, "body", None)
    end = _first(body[0]) if body else _last(innermost) + 1
    return range(innermost.lineno, max(end, innermost.lineno + 1))


def _first(statement: ast.stmt) -> int:
    """The first line of a statement, decorators included."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *[decorator.lineno for decorator in decorators]])


def _last(statement: ast.stmt) -> int:
    return statement.end_lineno or statement.lineno


def copied(root: Path, folder: Path) -> Path:
    """A copy of the project, which may be spoilt."""
    ignored = shutil.ignore_patterns(".git", ".venv*", "var", "*_cache", ".hypothesis")
    return Path(shutil.copytree(root, folder, ignore=ignored))


def measured(root: Path, folder: Path, source: list[str], jobs: int, scratch: Path) -> Reaching:
    """What the tests run, measured unless it is known of just this code."""
    fingerprint = _fingerprint(root)
    known = folder / _FINGERPRINT
    if not known.exists() or known.read_text() != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        reached.configure(folder, source)
        command = [sys.executable, "-m", "pytest", "-q", "-p", reached.__name__]
        command += ["-n", str(jobs), "--dist", "worksteal"]
        with (folder / "log").open("wb") as log:
            subprocess.run(
                command,
                cwd=copied(root, scratch / "measured"),
                env={**os.environ, reached.FOLDER: str(folder)},
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,  # a test that fails here is not used
            )
        data = coverage.CoverageData(str(folder / "all"))
        for file in folder.glob("lines.*"):
            some = coverage.CoverageData(str(file))
            some.read()
            data.update(some)
        data.write()
        known.write_text(fingerprint)
    return Reaching(folder)


def _fingerprint(root: Path) -> str:
    """Changes when the code does, or its tests."""
    digest = hashlib.sha256()
    for file in sorted(_code(root)):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _code(root: Path) -> Iterator[Path]:
    for folder in ("cli", "domain", "files", "loader", "server", "settings", "storage", "tests"):
        yield from (root / folder).rglob("*.py")
