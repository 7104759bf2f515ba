"""The rules of the source folders: what each may import, where SQL stands, how names are used."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from tests.support.paths import ROOT

MAY_IMPORT = {
    "domain": set(),
    "files": set(),
    "settings": {"files"},
    "cli": set(),
    "storage": set(),
    "storage.common": {"domain"},
    "storage.backends": {"domain", "storage.common"},
    "storage.backends.mysql": {
        *("domain", "files", "settings", "storage.common", "storage.backends"),
    },
    "storage.backends.sqlite": {
        *("domain", "files", "settings", "storage.common", "storage.backends"),
    },
    "storage.meters": {"domain", "storage.common", "storage.backends"},
    "storage.meter_directory": {
        *("storage.common", "storage.backends", "storage.meters", "storage.access"),
    },
    "storage.meter_removal": {
        *("storage.backends", "storage.meters", "storage.meter_directory", "storage.access"),
    },
    "storage.sessions": {"storage.common", "storage.backends"},
    "storage.users": {"storage.common", "storage.backends", "storage.sessions"},
    "storage.audit": {"storage.common", "storage.backends"},
    "storage.access": {"domain", "storage.common", "storage.backends", "storage.meters"},
    "storage.readings": {"domain", "storage.common", "storage.backends"},
    "storage.columns": {"domain", "storage.common", "storage.backends", "storage.readings"},
    "storage.figures": {
        *("domain", "storage.common", "storage.backends", "storage.meters", "storage.columns"),
    },
    "storage.completeness": {"domain", "storage.common", "storage.backends", "storage.meters"},
    "storage.groups": {
        *("domain", "storage.common", "storage.backends", "storage.meters", "storage.figures"),
        "storage.columns",
    },
    "storage.imports": {
        *("domain", "settings", "storage.common", "storage.backends"),
        *("storage.readings", "storage.users", "storage.meters", "storage.columns"),
    },
    "storage.import_history": {
        *("domain", "storage.common", "storage.backends", "storage.figures", "storage.meters"),
    },
    "storage.database": {
        *("domain", "storage.common", "storage.backends"),
        *("storage.readings", "storage.figures", "storage.users", "storage.meters"),
        *("storage.sessions", "storage.audit", "storage.access", "storage.groups"),
        *("storage.completeness", "storage.import_history", "storage.sorted_meters"),
    },
    "storage.sorted_meters": {
        *("storage.common", "storage.backends", "storage.access", "storage.meters"),
        "storage.figures",
    },
    "storage.factory": {
        *("settings", "storage.backends", "storage.backends.mysql", "storage.backends.sqlite"),
        *("storage.common", "storage.database", "storage.imports", "storage.readings"),
        *("storage.users", "storage.meters", "storage.meter_directory", "storage.meter_removal"),
        *("storage.audit", "storage.access"),
    },
    "server": set(),
    "server.context": {
        *("domain", "settings", "storage.access", "storage.backends", "storage.database"),
    },
    "server.errors": {"domain", "server.context", "storage.common"},
    "server.transport": {"settings", "server.context", "server.errors", "storage.common"},
    "server.middleware": {
        *("server.context", "server.errors", "server.transport", "storage.backends"),
    },
    "server.security": {
        *("domain", "settings", "server.context", "server.errors", "server.transport"),
        *("storage.common", "storage.users", "storage.sessions", "storage.audit"),
        *("storage.access", "storage.database"),
    },
    "server.cache": {
        *("domain", "settings", "server.transport", "storage.common", "storage.database"),
    },
    "server.formats": {
        *("domain", "server.errors", "server.transport"),
        *("storage.common", "storage.readings", "storage.figures"),
    },
    "server.api.openapi": {"domain", "server.formats", "storage.figures"},
    "server.api": {
        *("domain", "settings", "server.context", "server.errors", "server.transport"),
        *("server.security", "server.cache", "server.formats", "server.api.openapi"),
        *("storage.common", "storage.database", "storage.readings", "storage.figures"),
        *("storage.users", "storage.sessions", "storage.meters"),
    },
    "server.v1.formats": {
        *("domain", "server.errors", "server.transport", "server.formats"),
        *("storage.common", "storage.readings", "storage.figures"),
    },
    "server.v1": {
        *("domain", "server.context", "server.errors", "server.transport", "server.security"),
        *("server.formats", "server.api", "server.v1.formats"),
        *("storage.common", "storage.database", "storage.readings", "storage.figures"),
        *("storage.meters", "storage.import_history", "storage.groups", "storage.completeness"),
        *("storage.access", "storage.sorted_meters"),
    },
    "server.web": {"server.transport", "server.security"},
    "server.observability": {
        *("cli", "domain", "settings", "server", "server.context", "server.errors"),
        *("server.transport", "server.security", "server.cache"),
        *("storage.common", "storage.backends", "storage.factory"),
    },
    "server.app": {
        *("settings", "server.context", "server.middleware", "server.transport"),
        *("server.security", "server.cache", "server.api", "server.v1", "server.web"),
        *("server.observability", "storage.database"),
    },
    "server.process": {
        *("cli", "settings", "server.app", "server.context", "server.transport"),
        *("server.security", "server.cache", "server.api", "server.observability"),
        *("storage.common", "storage.database", "storage.factory"),
    },
    "server.keys": {"cli", "files"},
    "server.__main__": {"cli", "server.observability", "server.process"},
    "loader.rows": {"domain", "files", "cli"},
    "loader.sources": {"files", "loader.rows"},
    "loader.table": {"domain", "settings", "loader.rows"},
    "loader.values": {"domain", "settings", "loader.rows"},
    "loader.cells": {"domain"},
    "loader.formats": {
        *("domain", "settings", "loader.rows", "loader.sources", "loader.table", "loader.values"),
        "loader.cells",
    },
    "loader": {
        *("domain", "files", "settings", "cli", "loader.rows", "loader.sources", "loader.table"),
        "loader.formats",
        *("storage.common", "storage.factory", "storage.imports"),
        *("storage.users", "storage.sessions", "storage.audit"),
        *("storage.meters", "storage.meter_directory", "storage.access", "server.keys"),
    },
    "loader.inspect.texts": {"settings"},
    "loader.inspect": {
        *("domain", "settings", "cli", "loader", "loader.rows", "loader.table"),
        *("loader.sources", "loader.formats", "loader.inspect.texts"),
    },
}
"""What the files of a folder, or a file that has a line of its own, may import besides itself."""

FOLDERS = sorted({name.partition(".")[0] for name in MAY_IMPORT})
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
MAX_MODULES = 12

SEVERAL_MODULES = {
    "log": "the logger of a module",
    "main": "a command",
    "ROUTES": "the routes of a module, which the application collects",
    "T": "a type variable",
    "FIELDS": "the columns of a figure",
    "Row": "the values of a row, as its folder has them",
    "translate_error": "a driver's errors as ours",
    "audit": "a command of the loader, and what writes the server's audit log",
}
"""Public names that several modules may define, and what they are in each."""

ENGINES = {"aiomysql", "pymysql", "sqlite3"}
SQL = re.compile(
    r"\b(SELECT .+ FROM|INSERT INTO|UPDATE .+ SET|DELETE FROM|(CREATE|ALTER|DROP) TABLE)\b"
)


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def module(file: Path) -> str:
    """The full name of a file's module."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def line(name: str) -> str:
    """The line of the table that a module, or a name in it, falls under."""
    while name not in MAY_IMPORT:
        name = name.rpartition(".")[0]
    return name


def imported(file: Path) -> Iterator[str]:
    """The full names that a file imports, those for type checkers and in functions included."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module(file)}: a relative import hides where a name is from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def crossings(file: Path) -> set[tuple[str, str]]:
    """The lines of the table between which a file's imports go."""
    ours = (name for name in imported(file) if name.partition(".")[0] in FOLDERS)
    own = line(module(file))
    return {(own, line(name)) for name in ours} - {(own, own)}


def allowed() -> set[tuple[str, str]]:
    return {(own, other) for own, others in MAY_IMPORT.items() for other in others}


def definitions(file: Path) -> Iterator[str]:
    """The names that the top level of a file defines; those of blocks in it as well."""
    blocks = list(tree(file).body)
    while blocks:
        match blocks.pop():
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AsyncFunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=targets):
                names = (node for target in targets for node in ast.walk(target))
                for node in names:
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                        yield node.id
            case ast.If(body=body, orelse=orelse):
                blocks += body + orelse


def assignments(file: Path) -> Iterator[str]:
    """What a file sets or deletes in modules and classes that it imports."""
    names = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree(file)):
        target = None
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            target = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in {"setattr", "delattr", "__setattr__", "__delattr__"} and node.args:
                target = node.args[0]
        root = target
        while isinstance(root, ast.Attribute):
            root = root.value
        if target is not None and isinstance(root, ast.Name) and root.id in names:
            yield ast.unparse(node)


def found(look: Callable[[Path], Iterable[object]]) -> dict[str, list[object]]:
    """What a look at each file finds wrong."""
    return {module(file): wrong for file in FILES if (wrong := list(look(file)))}


def several(names: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    """The names that occur more than once, and in which modules."""
    places = defaultdict(list)
    for name, file in names:
        places[name].append(module(file))
    return {name: where for name, where in places.items() if len(where) > 1}


def test_files_import_what_their_folder_may() -> None:
    assert found(lambda file: crossings(file) - allowed()) == {}


def test_folders_may_not_import_in_a_circle() -> None:
    TopologicalSorter(MAY_IMPORT).prepare()


def test_folders_have_few_modules() -> None:
    counts = Counter(file.parent for file in FILES if file.name != "__init__.py")
    names = {str(folder.relative_to(ROOT)): count for folder, count in counts.items()}
    large = {n: count for n, count in names.items() if count > MAX_MODULES}
    assert large == {}


def test_sql_stands_in_storage_alone() -> None:
    outside = [file for file in FILES if not module(file).startswith("storage.")]
    assert {module(file) for file in outside if SQL.search(file.read_text())} == set()


def test_engines_are_imported_in_backends_alone() -> None:
    importing = found(lambda file: ENGINES & {name.partition(".")[0] for name in imported(file)})
    assert {name for name in importing if not name.startswith("storage.backends.")} == set()


def test_nothing_is_set_in_what_is_imported() -> None:
    assert found(assignments) == {}


def test_docstrings_begin_with_one_sentence() -> None:
    def firsts(file: Path) -> Iterator[str]:
        first, *more = (ast.get_docstring(tree(file)) or "").splitlines() or [""]
        if not first.endswith(".") or ". " in first or more[:1] not in ([], [""]):
            yield first

    assert found(firsts) == {}


def test_public_name_is_defined_in_one_module() -> None:
    public = several(
        (name, file)
        for file in FILES
        for name in set(definitions(file))
        if not name.startswith("_")
    )
    assert public.keys() - SEVERAL_MODULES.keys() == set(), public


def test_no_two_classes_have_one_name() -> None:
    """Private ones and those in classes and functions included."""
    classes = several(
        (node.name, file)
        for file in FILES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ClassDef)
    )
    assert classes.keys() == set(), classes
