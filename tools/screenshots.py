"""Write screenshots of the dashboard to docs/; `make screenshots` runs it."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp.test_utils import TestServer

from tests.support.app_client import application
from tests.support.browser import Browser, Chromium, find_browser
from tests.support.databases import SqliteDatabase

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT = 1440, 1240
PASSWORD = "morty"


async def main() -> None:
    program = find_browser()
    if program is None:
        sys.exit("Chromium is not installed; tools/install-services.sh --missing says how")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        database = SqliteDatabase(Path(folder))
        database.configure(api_users={"rick": PASSWORD})
        await database.load(ROOT / "Monitoring_report.csv")
        app, _ = application(database)
        async with TestServer(app) as server:
            with Chromium(program) as chromium:
                for name, dark in (("dashboard", False), ("dashboard-dark", True)):
                    async with chromium.page() as browser:
                        await browser.imitate(width=WIDTH, dark=dark)
                        await browser.open(str(server.make_url("/dashboard")))
                        await log_in(browser)
                        await drawn(browser)
                        picture = await browser.picture(WIDTH, HEIGHT)
                    (ROOT / "docs" / f"{name}.png").write_bytes(picture)


async def log_in(browser: Browser, password: str = PASSWORD) -> None:
    """Sign in at the dashboard."""
    await browser.until("document.querySelector('#login')?.open")
    await browser.type("#login [name=user]", "rick")
    await browser.type("#login [name=password]", password)
    await browser.click("#login .main")


async def drawn(browser: Browser) -> None:
    """Wait until the dashboard has drawn everything."""
    await browser.until(
        "document.querySelector('#figures').childElementCount"
        " && !document.querySelector('.loading, [aria-busy]')"
    )


if __name__ == "__main__":
    asyncio.run(main())
