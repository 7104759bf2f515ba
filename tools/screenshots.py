"""Write screenshots of the dashboard to docs/; `make screenshots` runs it."""

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp.test_utils import TestServer

from tests.support.app_client import application
from tests.support.browser import Browser, Chromium, find_browser
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.granting import add_group, add_member

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT = 1440, 1240
PASSWORD = "morty"
METERS = 120
TODAY = "Date.now = () => Date.parse('2019-12-01T09:00:00Z')"

ONE = {"dashboard": ("", False), "dashboard-dark": ("", True)}
FLEET = {
    "dashboard-list": ("", False),
    "dashboard-comparison": ("#meter=m000002,m000008,m000014", False),
    "dashboard-group": ("#group=campus", False),
}
"""The screenshots: what follows the dashboard's address, and whether they are dark."""


async def main() -> None:
    program = find_browser()
    if program is None:
        sys.exit("Chromium is not installed; tools/install-services.sh --missing says how")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, Chromium(program) as chromium:
        one, fleet = (SqliteDatabase(Path(folder) / name) for name in ("one", "fleet"))
        for database in (one, fleet):
            database.configure(api_users={"rick": PASSWORD})
        await one.load(ROOT / "Monitoring_report.csv")
        await fill(fleet)
        for database, views in ((one, ONE), (fleet, FLEET)):
            app, _ = application(database)
            async with TestServer(app) as server:
                address = str(server.make_url("/dashboard"))
                for name, (view, dark) in views.items():
                    picture = await taken(chromium, address + view, dark=dark)
                    (ROOT / "docs" / f"{name}.png").write_bytes(picture)


async def fill(fleet: DatabaseFixture) -> None:
    """Load some weeks of a made-up fleet, and make a group of some of its meters."""
    reports = fleet.folder / "fleet"
    own = {
        "ELECDATA_DATABASE__URL": str(fleet.section()["url"]),
        "ELECDATA_METER__FILE_NAME": "{meter}_*.csv",
    }
    for command in (
        f"sample --meters {METERS} --days 61 --start 2019-10-01 --output {reports}",
        f"meters add --from {reports / 'meters.csv'}",
        f"load {reports / 'reports'}",
    ):
        arguments = [sys.executable, str(ROOT / "elecdata.py"), *command.split()]
        process = await asyncio.create_subprocess_exec(*arguments, env={**os.environ, **own})
        if await process.wait():
            sys.exit(f"failed: elecdata {command}")
    add_group(fleet, "campus")
    fleet.run("UPDATE meter_groups SET name = 'Campus'")
    for number in (2, 4, 6, 8, 9, 14, 15, 20, 22, 27):
        add_member(fleet, "campus", meter=f"m{number:06}")


async def taken(chromium: Chromium, address: str, *, dark: bool) -> bytes:
    """Return a screenshot of a view of the dashboard, on a day after the last reading."""
    async with chromium.page() as browser:
        await browser.imitate(width=WIDTH, dark=dark)
        await browser.open("about:blank")
        await browser.call("Page.addScriptToEvaluateOnNewDocument", source=TODAY)
        await browser.open(address)
        await log_in(browser)
        await shown(browser)
        # Groups are asked for once they are in view.
        await browser.until(
            "!document.querySelector('#group-rows')?.offsetParent"
            " || document.querySelector('#group-rows .spark')"
        )
        return await browser.picture(WIDTH, HEIGHT)


async def log_in(browser: Browser, password: str = PASSWORD) -> None:
    """Sign in at the dashboard."""
    await browser.until("document.querySelector('#login')?.open")
    await browser.type("#login [name=user]", "rick")
    await browser.type("#login [name=password]", password)
    await browser.click("#login .main")


async def shown(browser: Browser) -> None:
    """Wait until the dashboard shows everything that its view is of."""
    await browser.until(
        "document.title.includes(' \N{EN DASH} ')"
        " && !document.querySelector('.loading, [aria-busy]')"
    )


async def drawn(browser: Browser) -> None:
    """Wait until the dashboard has drawn everything of one meter."""
    await browser.until(
        "document.querySelector('#figures').childElementCount"
        " && !document.querySelector('.loading, [aria-busy]')"
    )


if __name__ == "__main__":
    asyncio.run(main())
