"""Which mistakes there are, and a random choice of them.

The mistakes are those of Cosmic Ray's operators. It knows eleven other operators for each `+` and
two other numbers for each number, so a place is chosen first, and then one of its mistakes.
"""

import ast
import difflib
from collections import defaultdict
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
    """All places of the modules in random order, each with a random mistake."""
    random = Random(seed)  # noqa: S311 - a sample that can be taken again
    places: dict[tuple[Path, tuple[int, int], str], list[tuple[str, int]]] = defaultdict(list)
    for module in sorted(modules):
        for name, occurrence, position in _mistakes(module.read_text()):
            places[module, position, get_operator(name).__module__].append((name, occurrence))
    for (module, (line, _), _), mistakes in random.sample(list(places.items()), len(places)):
        random.shuffle(mistakes)
        source = module.read_text()
        for name, occurrence in mistakes:
            try:
                mutated = mutate_code(source, get_operator(name)(), occurrence)
            except AttributeError:
                continue  # Cosmic Ray cannot replace an exception whose name has a dot
            if _differs(source, mutated):
                yield _mutant(str(module.relative_to(root)), line, name, source, mutated)
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


def _mutant(module: str, line: int, name: str, source: str, mutated: str) -> Mutant:
    changes = list(difflib.ndiff(source.splitlines(), mutated.splitlines()))
    before = " ".join(text[2:].strip() for text in changes if text.startswith("- "))
    after = " ".join(text[2:].strip() for text in changes if text.startswith("+ "))
    return Mutant(module, line, name.partition("/")[2], before, after, mutated)
