"""The pages of docs/: that they are found, lead somewhere, and are what they are made of."""

import asyncio
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.databases import SqliteDatabase
from tests.support.paths import ROOT
from tests.support.report_factory import numbered, quarters, report
from tools import command_line_page, configuration_page

DOCS = ROOT / "docs"
TABLES = (
    "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
)
FOLDERS = {"tutorials", "how-to", "reference", "explanation"}
PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted(DOCS.rglob("*.md"))]


def links(text: str) -> list[str]:
    """What a page links to in the project."""
    return re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)


def test_index_leads_to_every_page_and_each_lies_in_a_folder_of_its_kind() -> None:
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {"index.md"}
    assert {page.partition("/")[0] for page in pages} == FOLDERS
    assert pages <= set(links((DOCS / "index.md").read_text()))


@pytest.mark.parametrize("file", PAGES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_links_of_a_page_lead_to_something(file: Path) -> None:
    for link in links(file.read_text()):
        assert (file.parent / link).exists(), link


@pytest.mark.parametrize("file", PAGES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_places_within_pages_that_are_linked_are_there(file: Path) -> None:
    for path, place in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", file.read_text()):
        target = file.parent / path if path else file
        headings = re.findall(r"(?m)^#+ (.+)$", target.read_text())
        anchors = {
            re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings
        }
        assert place in anchors, (path, place)


def test_readme_is_one_screen_with_the_command_the_pictures_and_the_figures() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 60
    assert re.findall(r"(?ms)^```sh\n(.*?)^```", text) == ["make run\n"]
    for shown in ("docs/dashboard.png", "docs/dashboard-dark.png", "bench/results.svg"):
        assert shown in text
        assert (ROOT / shown).exists()
    assert "docs/index.md" in links(text)


@pytest.mark.parametrize("tool", [configuration_page, command_line_page])
def test_generated_page_is_up_to_date(tool: ModuleType) -> None:
    """If it isn't, `make reference-pages` writes it again."""
    assert tool.PAGE.read_text() == tool.page()


def test_developing_page_names_every_folder_and_files_that_there_are() -> None:
    text = (DOCS / "how-to" / "developing.md").read_text()
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - set(re.findall(r"`(\w+)/`", text)) == set()
    questions = re.findall(r"(?m)^\| Wh.+\? \| (.+) \|$", text)
    assert len(questions) >= 20
    for files in questions:
        for file in files.split(", "):
            assert (ROOT / file.strip("`")).is_file(), file


def test_database_page_has_every_table_and_column(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    asyncio.run(database.load(report(*numbered(quarters("2019-08-01", 4)))))
    tables = {name for (name,) in database.run(TABLES)}
    page = (DOCS / "reference" / "database.md").read_text()
    sections = dict(re.findall(r"(?ms)^## (\w+)\n(.*?)(?=^## |\Z)", page))
    assert sections.keys() == tables
    for table, text in sections.items():
        columns = {row[1] for row in database.run(f"PRAGMA table_info({table})")}
        named = re.findall(r"(?m)^\| (`.+?) \|", text)
        assert set(re.findall(r"`(\w+)`", " ".join(named))) == columns
