"""The page of the document, in a real browser."""

from pathlib import Path

from tests.support.app_client import Serve
from tests.support.browser import Browser
from tests.support.databases import SqliteDatabase
from tests.support.paths import SAMPLE

OPERATION = "#operations-readings-get_apielec_getDataById"
V1_OPERATION = "#operations-meters-listMeters"


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


async def test_page_shows_v1_after_one_step_of_login(
    serve: Serve, browser: Browser, tmp_path: Path
) -> None:
    database = SqliteDatabase(tmp_path)
    database.configure(api_users={"rick": "morty"})
    await database.load(SAMPLE)
    api = await serve(database)
    await browser.open(str(api.client.make_url("/")))

    await browser.until("document.querySelector('#log-in button')?.disabled === false")
    await browser.type("#log-in [name=user]", "rick")
    await browser.type("#log-in [name=password]", "wrong")
    await browser.click("#log-in button")
    await browser.find("#log-in output", "Invalid user and/or password")
    await browser.run("document.querySelector('#log-in [name=password]').value = ''")
    await browser.type("#log-in [name=password]", "morty")
    await browser.click("#log-in button")
    await browser.find("#log-in output", "Logged in as rick")
    await browser.run(
        "const chosen = document.querySelector('#definition'); chosen.value = '/openapi.json';"
        "chosen.dispatchEvent(new Event('change'))"
    )
    await browser.click(f"{V1_OPERATION} .opblock-summary-control")
    # Before that, its button does nothing.
    await browser.until("ui.specSelectors.specResolvedSubtree(['paths', '/v1/meters', 'get'])")
    await browser.click(f"{V1_OPERATION} button.execute")
    answer = await browser.find(f"{V1_OPERATION} .live-responses-table", "first_reading")

    assert '"id": "main"' in answer
    assert (await browser.run("location.search")).endswith("openapi.json")
    own = str(api.client.make_url("/"))
    assert [url for url in browser.requests if not url.startswith((own, "data:"))] == []
