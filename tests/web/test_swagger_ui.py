"""The page of the document, in a real browser."""

from pathlib import Path

from tests.support.app_client import Serve
from tests.support.browser import Browser
from tests.support.databases import SqliteDatabase
from tests.support.paths import SAMPLE

OPERATION = "#operations-readings-get_apielec_getDataById"


async def test_page_shows_records_after_authorize_and_execute(
    serve: Serve, browser: Browser, tmp_path: Path
) -> None:
    """It asks no other server for anything, and its policy refuses nothing that it needs."""
    database = SqliteDatabase(tmp_path)
    await database.load(SAMPLE)
    api = await serve(database)
    await browser.open(str(api.client.make_url("/")))

    await browser.click("button.btn.authorize")
    await browser.type("#api_key_value", api.token)
    await browser.click(".auth-container button.authorize")
    await browser.find(".auth-container", "Authorized")
    await browser.click(".auth-container button.btn-done")
    await browser.click(f"{OPERATION} .opblock-summary-control")
    await browser.until(f"document.querySelector('{OPERATION} input')?.value === '5,100'")
    await browser.click(f"{OPERATION} button.execute")
    answer = await browser.find(f"{OPERATION} .live-responses-table", "numrecs")

    assert '"numrecs": 2' in answer
    assert '"energy": "1.71000"' in answer
    assert api.token in await browser.find(f"{OPERATION} .curl-command")
    own = str(api.client.make_url("/"))
    assert [url for url in browser.requests if not url.startswith((own, "data:"))] == []
    assert browser.complaints == []
