"""Which mistakes there are, and a random choice of them.

The mistakes are those of Cosmic Ray's operators. It knows eleven other operators for each `+` and
two other numbers for each number, so a place is chosen first, and then one of its mistakes.
"""

import ast
import difflib
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

_ANNOTATIONS = {"tfpdef": 2, "annassign": 1}
"""Where a type stands: `name: type` and `: type = value`."""
_FORBIDDING = {"frozen", "slots", "strict"}


@dataclass(frozen=True)
class Mutant:
    """A module with one mistake in it."""

    module: str
    line: int
    operator: str
    before: str
    after: str
    source: str

    @property
    def change(self) -> str:
        """What is wrong, on one line."""
        return f"{self.module}:{self.line} ({self.operator}): {self.before}  ->  {self.after}"


def sample(modules: Iterable[Path], root: Path, seed: int) -> Iterator[Mutant]:
    """All places of the modules in random order, each with a random mistake.

    A place keeps its mistake while its line and its file's name stay, wherever they move.
    """
    drawn: list[tuple[str, Path, list[tuple[str, int]]]] = []
    for module in sorted(modules):
        source = module.read_text()
        lines = source.splitlines()
        places: dict[tuple[tuple[int, int], str], list[tuple[str, int]]] = defaultdict(list)
        for name, occurrence, position in _mistakes(source):
            places[position, get_operator(name).__module__].append((name, occurrence))
        alike: Counter[str] = Counter()
        for ((line, column), kind), mistakes in sorted(places.items()):
            place = f"{seed} {module.name} {lines[line - 1]} {column} {kind}"
            alike[place] += 1
            digest = hashlib.sha256(f"{place} {alike[place]}".encode()).hexdigest()
            drawn.append((digest, module, mistakes))
    for digest, module, mistakes in sorted(drawn):
        Random(digest).shuffle(mistakes)  # noqa: S311 - a sample that can be taken again
        source = module.read_text()
        for name, occurrence in mistakes:
            try:
                mutated = mutate_code(source, get_operator(name)(), occurrence)
            except AttributeError:
                continue  # Cosmic Ray cannot replace an exception whose name has a dot
            if _differs(source, mutated):
                yield _mutant(str(module.relative_to(root)), name, source, mutated)
                break


def _mistakes(source: str) -> Iterator[tuple[str, int, tuple[int, int]]]:
    """Every mistake that the operators know for a module: operator, number and position."""
    nodes = list(ast_nodes(get_ast(source)))
    for name in sorted(operator_names()):
        kind = get_operator(name)
        if kind.arguments():
            continue  # it wants to be told the names of variables
        operator, occurrence = kind(), 0
        for node in nodes:
            for start, _ in operator.mutation_positions(node):
                if not _is_for_readers(node):
                    yield name, occurrence, start
                occurrence += 1


def _is_for_readers(node: Any) -> bool:
    """Whether a node is part of a type, or only forbids what is not done anyway."""
    if node.parent is not None and node.parent.type == "parameters":
        return True  # the star that forbids to pass what follows by its place
    if node.type == "keyword" and node.parent.type == "argument":
        return node.parent.children[0].value in _FORBIDDING
    while (parent := node.parent) is not None:
        place = _ANNOTATIONS.get(parent.type)
        if place is not None and parent.children[place] is node:
            return True
        if parent.type == "funcdef" and parent.annotation is node:
            return True
        node = parent
    return False


def _differs(source: str, mutated: str) -> bool:
    """Whether a mistake is Python, and another program."""
    try:
        return ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


def _mutant(module: str, name: str, source: str, mutated: str) -> Mutant:
    lines, others = source.splitlines(), mutated.splitlines()
    changes = difflib.SequenceMatcher(None, lines, others, autojunk=False).get_opcodes()
    _, first, last, start, end = next(change for change in changes if change[0] != "equal")
    before = " ".join(text.strip() for text in lines[first:last])
    after = " ".join(text.strip() for text in others[start:end])
    return Mutant(module, first + 1, name.partition("/")[2], before, after, mutated)
