"""The dashboard for readers who see little, hear it, or have no mouse: examined by axe-core.

Its rules are those of WCAG 2.2, levels A and AA, and what its authors call best practice.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.app_client import Serve
from tests.support.browser import Browser
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.paths import ROOT
from tests.support.report_factory import numbered, quarters, report
from tests.web.test_dashboard import add_meters
from tools.screenshots import drawn, log_in

AXE = (ROOT / "tests" / "web" / "axe" / "axe.min.js").read_text()
EXAMINED = """axe.run(document, { resultTypes: ["violations"] }).then(({ violations, passes }) => ({
  rules: passes.length,
  found: violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target }) => `${id}: ${target.join(" ")}`)),
}))"""


@pytest.fixture(scope="module")
def fortnight(tmp_path_factory: pytest.TempPathFactory) -> DatabaseFixture:
    """The first two weeks of the sample, one reading missing."""
    database = SqliteDatabase(tmp_path_factory.mktemp("fortnight"))
    database.configure(api_users={"rick": "morty"})
    lines = (ROOT / "Monitoring_report.csv").read_text().splitlines(keepends=True)
    del lines[14 * 96 + 1 :], lines[100]
    asyncio.run(database.load("".join(lines)))
    return database


async def complaints(browser: Browser) -> list[str]:
    """What axe finds fault with; it is there only after the page's own policy was obeyed."""
    await browser.call("Runtime.evaluate", expression=AXE)
    examined: dict[str, Any] = await browser.run(EXAMINED)
    assert examined["rules"] > 15
    found: list[str] = examined["found"]
    return found


@pytest.mark.parametrize(
    ("width", "dark", "language"),
    [(1440, False, "en-GB"), (1440, True, "es-ES"), (360, False, "es-ES")],
)
async def test_pages_are_without_fault(
    browser: Browser,
    serve: Serve,
    fortnight: DatabaseFixture,
    width: int,
    dark: bool,
    language: str,
) -> None:
    api = await serve(fortnight)
    await browser.imitate(width=width, height=1000, dark=dark, language=language)
    await browser.open(str(api.client.make_url("/dashboard")))
    await browser.until("document.querySelector('#login')?.open")
    assert await complaints(browser) == []
    await log_in(browser)
    await drawn(browser)
    for panel in ("energy", "heat", "quality"):
        await browser.click(f"#{panel} summary")
        await browser.find(f"#{panel} table")
    assert await complaints(browser) == []


@pytest.mark.parametrize(
    ("width", "language", "names"),
    [
        (1440, "en-GB", ["Meter", "Find a meter", "Meter"]),
        (360, "es-ES", ["Contador", "Buscar un contador", "Contador"]),
    ],
)
async def test_choice_of_the_meter_has_names_and_is_without_fault(
    browser: Browser, serve: Serve, tmp_path: Path, width: int, language: str, names: list[str]
) -> None:
    database = SqliteDatabase(tmp_path)
    database.configure(api_users={"rick": "morty"})
    await database.load(report(*numbered(quarters("2019-11-01", 5 * 96))), meter="a", register=True)
    add_meters(database, *(f"m{number:03}" for number in range(101)))
    database.run("UPDATE meters SET name = 'Una nave con un nombre bastante largo' WHERE id < 3")
    api = await serve(database)
    await browser.imitate(width=width, height=1000, language=language)
    await browser.open(str(api.client.make_url("/dashboard")) + "#meter=a")
    await log_in(browser)
    await drawn(browser)
    await browser.type("#meters [type=search]", "m00")
    await browser.until("document.querySelector('#meters output').textContent")
    assert await complaints(browser) == []
    assert await browser.run("document.documentElement.scrollWidth") <= width
    tree = await browser.call("Accessibility.getFullAXTree")
    found = {
        node["role"]["value"]: node["name"]["value"] for node in tree["nodes"] if "name" in node
    }
    assert [found[role] for role in ("search", "searchbox", "combobox")] == names


async def test_charts_have_accessible_names_and_values(
    browser: Browser, serve: Serve, fortnight: DatabaseFixture
) -> None:
    """As the browser hands them to a screen reader."""
    api = await serve(fortnight)
    await browser.imitate()
    await browser.open(str(api.client.make_url("/dashboard")) + "#from=2019-08-01&to=2019-08-14")
    await log_in(browser)
    await drawn(browser)
    tree = await browser.call("Accessibility.getFullAXTree")
    named = [
        node["name"]["value"]
        for node in tree["nodes"]
        if node.get("role", {}).get("value") == "application"
    ]
    beginnings = (
        "Energy by day, ",
        "Demand, ",
        "Mean power by hour",
        "Average day, ",
        "Power factor by time of day, ",
        "Data qual",
    )
    assert [name for name in named if name.startswith(beginnings)] == named
    assert len(named) == len(beginnings)
    assert all("1 Aug 2019" in name for name in named)
