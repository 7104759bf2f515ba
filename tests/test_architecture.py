"""The direction of imports, and where SQL may stand."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MAY_IMPORT = {
    "domain": set(),
    "settings": set(),
    "cli": set(),
    "storage": {"domain", "settings"},
    "server": {"domain", "settings", "cli", "storage"},
    "loader": {"domain", "settings", "cli", "storage"},
}
ENGINES = re.compile(r"storage\.backends\.(mysql|sqlite)|aiomysql|pymysql|sqlite3")
SQL = re.compile(
    r"\b(SELECT .+ FROM|INSERT INTO|UPDATE .+ SET|DELETE FROM|(CREATE|ALTER|DROP) TABLE)\b"
)
FILES = [file for folder in MAY_IMPORT for file in (ROOT / folder).rglob("*.py")]
relative = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))


def imported(file: Path) -> Iterator[str]:
    """The full names that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a name comes from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(file: Path) -> str:
    return file.relative_to(ROOT).parts[0]


@relative
def test_imports_go_one_way(file: Path) -> None:
    others = {name.partition(".")[0] for name in imported(file)} & MAY_IMPORT.keys()
    assert others - {part(file)} <= MAY_IMPORT[part(file)]


@relative
def test_only_storage_knows_engines_and_sql(file: Path) -> None:
    if part(file) == "storage":
        return
    assert [name for name in imported(file) if ENGINES.match(name)] == []
    assert SQL.findall(file.read_text()) == []


def test_only_one_file_of_storage_chooses_an_engine() -> None:
    choosing = {
        file.name
        for file in (ROOT / "storage").rglob("*.py")
        if {"MysqlEngine", "SqliteEngine"} <= {name.rpartition(".")[2] for name in imported(file)}
    }
    assert choosing == {"factory.py"}
