"""The dashboard in a real browser."""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp.test_utils import BaseTestServer, TestServer
from yarl import URL

from server.context import DATABASE
from server.security.tokens import TOKENS
from storage.backends.base import ReadEngine
from storage.common.errors import Unreachable
from storage.figures.profile import Profile
from storage.figures.result import ResultTable
from storage.figures.selection import Selection
from storage.figures.summary import Summary
from tests.conftest import require
from tests.support.app_client import Api, Serve, application
from tests.support.browser import Browser
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.paths import SAMPLE
from tests.support.report_factory import numbered, quarters, report, row
from tools.screenshots import drawn, log_in

NOVEMBER = {"date": "2019-11-01", "end_date": "2019-12-01", "end": "exclusive"}
SPAN = "#from=2019-11-01&to=2019-11-30"
LAST_WEEK = "24 Nov 2019 \N{EN DASH} 30 Nov 2019"
MOST_RECORDS = 4000
DERIVATION = "energy ÷ hours of the interval."
UNKNOWN = (
    "The interval of the readings is not known, so that what depends on it is missing: load the"
    " report again with --interval SECONDS."
)
DERIVED_PEAK = "from energy: mean of the interval"
TOKEN_BEGINS = "eyJ"
CLIPBOARD = ["clipboardReadWrite", "clipboardSanitizedWrite"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> DatabaseFixture:
    """The sample, one of its readings in November flagged as implausible."""
    database = SqliteDatabase(tmp_path_factory.mktemp("dashboard"))
    database.configure(api_users={"rick": "morty"})
    asyncio.run(database.load(SAMPLE))
    database.run(
        "INSERT OR REPLACE INTO flags SELECT 1, id, 4 FROM readings"
        " WHERE date = '2019-11-15 12:00:00'"
    )
    return database


@pytest.fixture
async def api(serve: Serve, loaded: DatabaseFixture) -> Api:
    return await serve(loaded)


async def enter(browser: Browser, api: Api, hash_: str = "") -> None:
    """Opens the dashboard as a British reader and logs in."""
    await browser.imitate()
    await browser.open(page(api) + hash_)
    await log_in(browser)
    await drawn(browser)


def page(api: Api) -> str:
    return str(api.client.make_url("/dashboard"))


async def figure(browser: Browser, name: str) -> str:
    """A key figure: what stands large, and below it."""
    found: str = await browser.run(
        f"[...document.querySelectorAll('#figure-{name} dd')].map(x => x.textContent).join('|')"
    )
    return found.replace("\N{NO-BREAK SPACE}", " ")


async def summary(api: Api, **params: str) -> dict[str, Any]:
    _, body = await api.get("getSummary", {**NOVEMBER, "values": "number", **params})
    record: dict[str, Any] = body["values"]["records"][0]
    return record


def asked(browser: Browser, route: str) -> list[dict[str, str]]:
    """The parameters of the requests that went to a route."""
    parts = [urlsplit(url) for url in browser.requests]
    return [dict(parse_qsl(part.query)) for part in parts if part.path == f"/apielec/{route}"]


async def test_first_look_shows_the_figures_of_last_month(browser: Browser, api: Api) -> None:
    """Nothing is asked of elsewhere, refused by the page's policy, or complained of."""
    await enter(browser, api)

    november = await summary(api, quality="clean")
    assert await browser.find("#span-name") == "November 2019"
    assert (await figure(browser, "energy")).startswith(f"{november['energy']:,.0f} kWh|")
    peak = await figure(browser, "peak")
    assert peak.startswith(f"{november['peak_demand']:.2f} kW|")
    assert november["peak_demand_date"][11:16] in peak
    assert f"{november['load_factor']:.2f}|" in await figure(browser, "load_factor")
    assert await figure(browser, "power_factor") == "|".join(
        [
            f"{november['power_factor_of_energy']:.3f}",
            "from kWh and kVArh",
            f"mean of the meter's own: {november['power_factor_mean']:.3f}",
            f"{november['reactive_energy_ratio']:.3f} kVArh per kWh",
            f"{november['reactive_energy_inductive']:.1f} kVArh inductive",
            f"{november['reactive_energy_capacitive']:,.0f} kVArh capacitive",
        ]
    )
    assert f"{november['base_load']:.2f} kW|" in await figure(browser, "base_load")
    lacking = [
        str(record["date"])[8:10]
        for record in await api.records("getQuality", list="days", **NOVEMBER)
        if record["present"] != record["expected"]
    ]
    assert f"|{len(lacking)} days with missing data" in await figure(browser, "coverage")
    named = await browser.find("#quality .days", "missing")
    assert re.findall(r"(\d+) Nov 2019:", named) == [f"{int(day)}" for day in lacking]

    own = str(api.client.make_url("/"))
    assert [url for url in browser.requests if not url.startswith((own, "data:"))] == []
    assert [url for url in browser.requests if TOKEN_BEGINS in url] == []
    assert browser.complaints == []


def saved(file: Path) -> bytes:
    """What the browser has saved; it makes an empty file of that name at first."""
    return file.read_bytes() if file.exists() else b""


async def downloaded(file: Path) -> bytes:
    async with asyncio.timeout(20):
        while not (content := saved(file)):
            await asyncio.sleep(0)
    return content


async def test_table_csv_and_copied_line_hold_what_the_chart_shows(
    browser: Browser, api: Api, tmp_path: Path
) -> None:
    require("curl")
    await browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    await browser.call("Browser.grantPermissions", permissions=CLIPBOARD)
    await enter(browser, api)
    days = await api.records(
        "getAggregate", interval="day", columns="energy", quality="clean", **NOVEMBER
    )

    await browser.click("#energy summary")
    await browser.find("#energy table")
    shown = await browser.run(
        "[...document.querySelectorAll('#energy tbody tr')].map(x => x.cells[1].textContent)"
    )
    assert [float(text.split("\N{NO-BREAK SPACE}")[0].replace(",", "")) for text in shown] == [
        pytest.approx(float(day["energy"] or "nan"), abs=0.5) for day in days
    ]

    await browser.click("#energy .csv")
    file = tmp_path / "energy_2019-11-01_2019-11-30.csv"
    head, *rows = (await downloaded(file)).decode().splitlines()
    assert head.startswith("date,end,energy,")
    assert [row.split(",")[2] for row in rows] == [day["energy"] for day in days]

    await browser.click("#readings")
    file = tmp_path / "readings_2019-11-01_2019-11-30.csv"
    everything = {"format": "csv", "quality": "clean", **NOVEMBER}
    async with await api.request("getDataByRange", everything) as response:
        assert await downloaded(file) == await response.read()

    await browser.click("#demand .curl")
    await browser.find("#demand .curl", "Copied")
    lines = await browser.run("navigator.clipboard.readText()")
    assert "$TOKEN" in lines
    done = await asyncio.to_thread(
        subprocess.run,
        ["/bin/sh", "-ec", lines],
        env={"PATH": os.environ["PATH"], "TOKEN": api.token},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert re.findall(r'"numrecs":(\d+)', done.stdout) == [str(30 * 24), "5"]


async def test_no_answer_has_more_records_than_can_be_drawn(browser: Browser, api: Api) -> None:
    await enter(browser, api)
    await browser.click("#presets [value=all]")
    await browser.find("#span-name", "Aug")
    await drawn(browser)

    for url in {url for url in browser.requests if "/apielec/" in url}:
        async with api.client.session.get(url, headers={"SESSION": api.token}) as response:
            assert (await response.json())["values"]["numrecs"] <= MOST_RECORDS


async def test_wrong_password_is_said_and_can_be_corrected(browser: Browser, api: Api) -> None:
    await browser.imitate()
    await browser.open(page(api))
    await log_in(browser, "wrong")
    await browser.find("#login .fault", "Wrong user or password.")
    await browser.run("document.querySelector('#login form').reset()")
    await log_in(browser)
    await drawn(browser)


async def test_expired_login_is_requested_again_and_the_page_goes_on(
    browser: Browser, api: Api
) -> None:
    await enter(browser, api)
    for token in api.app[TOKENS]._verified.values():
        token.expires = 0.0

    await browser.click("#presets [value=week]")
    await browser.find("#login-why", "Your session has expired")
    await browser.type("#login [name=password]", "morty")
    await browser.click("#login .main")
    await browser.find("#span-name", LAST_WEEK)
    await drawn(browser)


async def test_logging_out_ends_the_token_on_the_server_too(browser: Browser, api: Api) -> None:
    """Nothing is left for the next user of what this one was shown."""
    await enter(browser, api)
    await browser.find("#figure-energy", "kWh")
    (token,) = api.app[TOKENS]._verified.values()
    access, known = api.app[DATABASE].users, (token.user, token.generation, token.jti)
    assert await access.role(*known)
    await browser.click("#logout")
    # A promise would not outlive the page.
    async with asyncio.timeout(20):
        while not await browser.run("!!document.querySelector('#login')?.open"):
            await asyncio.sleep(0)
    assert not await browser.run("document.querySelector('#figures').childElementCount")
    async with asyncio.timeout(20):
        while await access.role(*known) is not None:
            await asyncio.sleep(0)


@asynccontextmanager
async def served(database: DatabaseFixture, port: int = 0) -> AsyncIterator[BaseTestServer]:
    """A server that a test can end, and start again at its port."""
    app, _ = application(database)
    async with TestServer(app, port=port) as server:
        yield server


async def test_server_that_is_gone_is_awaited(browser: Browser, loaded: DatabaseFixture) -> None:
    async with served(loaded) as server:
        port = server.port
        assert port is not None
        await browser.imitate()
        await browser.open(str(server.make_url("/dashboard")))
        await log_in(browser)
        await drawn(browser)
    await browser.click("#presets [value=week]")
    await browser.find("#banner", "The server does not respond.")
    assert "kWh" in await figure(browser, "energy")
    assert await browser.find("#span-name") == "November 2019"

    async with served(loaded, port):
        await browser.until("document.querySelector('#banner').hidden")
        await browser.find("#span-name", LAST_WEEK)
        await drawn(browser)


async def test_empty_database_says_how_to_fill_it(
    browser: Browser, serve: Serve, tmp_path: Path
) -> None:
    database = SqliteDatabase(tmp_path)
    database.configure(api_users={"rick": "morty"})
    api = await serve(database)
    await browser.imitate()
    await browser.open(page(api))
    await log_in(browser)
    await browser.find("#login .fault", "There are no readings yet")

    await database.load(report(*numbered(quarters("2019-08-01", 1))))
    await database.rows("DELETE FROM readings")
    await browser.click("#login .main")
    await browser.find("#empty", "elecdata load")

    await database.load(SAMPLE)
    await browser.click("#empty button")
    await browser.find("#span-name", "November 2019")
    await drawn(browser)


async def test_span_without_readings_leads_back_to_one_with_some(
    browser: Browser, api: Api
) -> None:
    await browser.imitate()
    await browser.open(page(api) + "#from=2021-01-01&to=2021-01-31")
    await log_in(browser)
    await browser.find("#empty", "No readings for January 2021.")
    await browser.click("#empty button")
    await browser.find("#span-name", "November 2019")


async def test_raw_shows_what_clean_leaves_out(browser: Browser, api: Api) -> None:
    await enter(browser, api)
    raw, clean = [await summary(api, quality=quality) for quality in ("raw", "clean")]
    left_out = raw["flag_implausible"]
    shown = await figure(browser, "energy")
    assert f"|clean: {left_out} implausible readings excluded|raw: {raw['energy']:,.0f}" in shown
    said = (await browser.find("#quality .sub")).replace("\N{NO-BREAK SPACE}", " ")
    assert f"excludes {left_out} implausible reading" in said
    assert f"({raw['energy'] - clean['energy']:,.0f} kWh)" in said

    await browser.click("#quality-choice [value=raw]")
    await browser.find("#quality .sub", "Raw includes")
    await drawn(browser)
    shown = await figure(browser, "energy")
    assert shown.startswith(f"{raw['energy']:,.0f} kWh|")
    assert f"|raw: {left_out} implausible readings included|clean: {clean['energy']:,.0f}" in shown


async def test_readings_that_clean_leaves_out_are_listed_with_their_rule(
    browser: Browser, api: Api
) -> None:
    await enter(browser, api)
    listed = await api.records("getQuality", list="flagged", flag="implausible", **NOVEMBER)
    rows = await browser.run(
        "[...document.querySelectorAll('#quality .list tbody tr')].map(x =>"
        " [...x.cells].map(y => y.textContent))"
    )
    assert len(rows) == len(listed) > 1
    for (when, energy, _, rule), reading in zip(rows, listed, strict=True):
        assert when.endswith(str(reading["date"])[11:16])
        shown = float(energy.split("\N{NO-BREAK SPACE}")[0].replace(",", ""))
        assert shown == pytest.approx(float(reading["energy"] or "nan"), abs=0.5)
        assert rule == reading["rule"]


@pytest.mark.parametrize("days", [60, 4 * 365])
async def test_all_flags_are_on_the_page(
    browser: Browser, serve: Serve, tmp_path: Path, days: int
) -> None:
    """By day, and for a long time by week."""
    database = SqliteDatabase(tmp_path)
    database.configure(api_users={"rick": "morty"})
    hours = quarters("2018-01-01", days * 96)[::4]
    await database.load(report(*numbered(hours)))
    database.run(
        "INSERT OR REPLACE INTO flags SELECT 1, id, 1 << (id % 6) FROM readings WHERE id % 11 < 7"
    )
    database.run("UPDATE states SET changes = 1")
    api = await serve(database)
    await enter(browser, api, "#from=2018-01-01&to=2023-12-31")
    counts = (await api.document("meters/main/summary"))["data"]
    label = str(
        await browser.run("document.querySelector('#quality .body [aria-label]').ariaLabel")
    )
    for name, flag in (
        ("Catch-up", "catch_up"),
        ("Implausible", "implausible"),
        ("Zero voltage", "zero_voltage"),
        ("Repeated hour", "repeated_hour"),
        ("Estimated", "estimated"),
    ):
        assert f"{name}: {int(counts[f'flag_{flag}'] or 0):,}." in label


async def test_power_factor_is_drawn_by_time_of_day_if_there_is_one(
    browser: Browser, api: Api, serve: Serve, tmp_path: Path
) -> None:
    await enter(browser, api, SPAN)
    assert await browser.find("#factor h3") == "Power factor by hour"
    await browser.click("#factor summary")
    shown = await browser.run(
        "[...document.querySelectorAll('#factor tbody tr')].map(x =>"
        " [...x.cells].map(y => y.textContent))"
    )
    records = await api.records(
        "getProfile", column="power_factor", by="none", quality="clean", **NOVEMBER
    )
    assert len(records) == 96
    assert shown == [
        [
            str(record["time"])[:5],
            *(
                str(Decimal(str(record[name])).quantize(Decimal("0.001"), ROUND_HALF_UP))
                for name in ("power_factor_of_energy", "mean")
            ),
        ]
        for record in records
    ]
    assert await browser.run("document.querySelector('#factor canvas').height > 0")
    database = SqliteDatabase(tmp_path)
    database.configure(api_users={"rick": "morty"})
    await database.load(report(*numbered(quarters("2019-08-01", 96))))
    await enter(browser, await serve(database))
    assert await browser.run("document.querySelector('#factor').clientHeight") == 0


async def test_meter_with_energy_only_has_its_power_drawn_and_marked(
    browser: Browser, serve: Serve, tmp_path: Path
) -> None:
    database = SqliteDatabase(tmp_path)
    database.configure(api_users={"rick": "morty"})
    await database.load(report(*numbered(quarters("2019-08-01", 96 * 2))))
    api = await serve(database)
    await enter(browser, api)
    _, body = await api.get("getSummary", {"quality": "clean", "values": "number"})
    [summary] = body["values"]["records"]
    assert summary["power_derived"] == 192
    assert await figure(browser, "peak") == "|".join(
        [f"{summary['peak_demand']:.1f} kW", "Fri, 2 Aug 2019, 23:45", DERIVED_PEAK]
    )
    assert "|power derived from energy" in await figure(browser, "base_load")
    for panel in ("demand", "heat", "profile"):
        note = f"#{panel} .note"
        assert await browser.find(note) == "Power of 192 readings is derived: " + DERIVATION
    records = await api.records("getAggregate", interval="hour", columns="power")
    await browser.click("#heat summary")
    shown = await browser.run(
        "[...document.querySelectorAll('#heat tbody tr')].flatMap(x =>"
        " [...x.cells].slice(1).map(y => y.textContent))"
    )
    assert shown == [f"{float(record['power_mean'] or 'nan'):.1f}" for record in records]


async def test_meter_of_an_unknown_interval_is_shown_without_what_needs_it(
    browser: Browser, serve: Serve, tmp_path: Path
) -> None:
    database = SqliteDatabase(tmp_path)
    database.configure(api_users={"rick": "morty"})
    late = [3, 4, 1, 6, 7]
    times = [f"2024-03-{4 + at // 24:02}T{at % 24:02}:00:0{late[at % 5]}+01:00" for at in range(60)]
    await database.load(report(*[row(time, "1", "", "2") for time in times]))
    await enter(browser, await serve(database), "#from=2024-03-04&to=2024-03-05")
    assert (await figure(browser, "energy")).startswith("48.00 kWh|")
    assert await figure(browser, "coverage") == f"no data|{UNKNOWN}"
    for panel in ("demand", "heat", "profile", "quality"):
        assert await browser.find(f"#{panel} .note") == UNKNOWN
    assert await browser.find("#demand .sub") == "Daily values"
    assert {each["interval"] for each in asked(browser, "getAggregate")} == {"day", "hour"}
    assert await browser.find("#quality .days h4") == ""


async def test_chart_of_demand_is_no_finer_than_the_readings_shown(
    browser: Browser, serve: Serve, tmp_path: Path
) -> None:
    """Of hours first, then of half hours, then of days."""
    database = SqliteDatabase(tmp_path)
    database.configure(api_users={"rick": "morty"})
    hours = [f"{day} Mar 2024 {hour:02}:00:00" for day in (4, 5) for hour in range(24)]
    halves = quarters("2024-03-06", 192)[::2]
    days = [f"{day} Apr 2024 00:00:00" for day in range(1, 21)]
    await database.load(report(*numbered(hours)), report(*numbered(halves)))
    await database.load(report(*numbered(days)))
    await enter(browser, await serve(database), "#from=2024-03-04&to=2024-03-05")
    for span, points in (
        ("#from=2024-03-04&to=2024-03-05", "Hourly values"),
        ("#from=2024-03-06&to=2024-03-06", "30-minute values"),
        ("#from=2024-04-02&to=2024-04-03", "Daily values"),
    ):
        await browser.run(f"location.hash = '{span}'")
        await drawn(browser)
        await browser.until(f"document.querySelector('#demand .sub').textContent === '{points}'")
    await browser.until(
        "document.querySelector('#heat .note').textContent.includes('longer than an hour')"
    )
    assert await browser.run("document.querySelector('#energy .controls').childElementCount") == 0


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (("", "", "2.5"), "this meter records power, no energy"),
        (("", "", "", "", "", "230"), "this meter records neither energy nor power"),
    ],
)
async def test_meter_without_energy_is_said_to_have_none(
    browser: Browser, serve: Serve, tmp_path: Path, cells: tuple[str, ...], note: str
) -> None:
    database = SqliteDatabase(tmp_path)
    database.configure(api_users={"rick": "morty"})
    await database.load(report(*(row(at, *cells) for at in quarters("2019-08-01", 96))))
    await enter(browser, await serve(database))
    assert await figure(browser, "energy") == f"no data|{note}"
    assert await browser.find("#energy .note") == "The readings of this period have no energy."


async def test_dragging_requests_a_shorter_and_finer_range(browser: Browser, api: Api) -> None:
    await enter(browser, api, SPAN)
    assert asked(browser, "getAggregate")[-1]["end_date"] == "2019-12-01"
    browser.requests.clear()

    await browser.drag("#demand .u-over", 0.21, 0.26)
    await browser.until("location.hash.includes('from=2019-11-07&to=2019-11-08')")
    await drawn(browser)
    demand = [given for given in asked(browser, "getAggregate") if "maximeter" in given["columns"]]
    assert [(given["interval"], given["date"], given["end_date"]) for given in demand] == [
        ("15m", "2019-11-07", "2019-11-09")
    ]
    await browser.run("history.back()")
    await browser.find("#span-name", "November 2019")


@pytest.mark.parametrize(
    ("chart", "finds"),
    [("#demand .u-over", "from=2019-11-07&to=2019-11-08"), ("#heat .plot", "from=2019-11-")],
)
async def test_finger_drawn_sideways_zooms_in_and_down_scrolls(
    browser: Browser, api: Api, chart: str, finds: str
) -> None:
    await browser.imitate(width=800, height=600)
    await browser.open(page(api) + SPAN)
    await log_in(browser)
    await drawn(browser)
    await browser.swipe(chart, 0.5, 0.5, down=-150)
    await browser.swipe(chart, 0.5, 0.505, down=0)
    assert await browser.run("location.hash") == SPAN

    await browser.swipe(chart, 0.21, 0.26)
    await browser.until(f"location.hash.includes('{finds}')")
    assert await browser.run("location.hash") != SPAN
    await drawn(browser)


async def test_key_figures_do_not_wait_for_the_slowest(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, worked_out = asyncio.Event(), Summary.table

    async def late(self: Summary, engine: ReadEngine, selection: Selection) -> ResultTable:
        await go.wait()
        return await worked_out(self, engine, selection)

    monkeypatch.setattr(Summary, "table", late)
    await browser.imitate()
    await browser.open(page(api) + SPAN)
    await log_in(browser)
    await browser.find("#figure-energy", "kWh")
    for panel in ("energy", "demand", "heat", "profile", "quality"):
        await browser.until(f"!document.querySelector('#{panel}[aria-busy]')")
    early = [await figure(browser, name) for name in ("energy", "peak", "coverage")]
    assert await figure(browser, "load_factor") == "\N{HORIZONTAL ELLIPSIS}"

    go.set()
    await browser.until("!document.body.classList.contains('loading')")
    assert early == [await figure(browser, name) for name in ("energy", "peak", "coverage")]
    assert re.match(r"0\.\d\d\|", await figure(browser, "load_factor"))


async def test_failed_chart_says_so_and_can_be_retried(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> ResultTable:
        raise Unreachable("a statement ran into its time limit")

    with monkeypatch.context() as patch:
        patch.setattr(Profile, "table", fails)
        await browser.imitate()
        await browser.open(page(api) + SPAN)
        await log_in(browser)
        await browser.find("#profile .note", "cannot be read just now")
    assert "kWh" in await figure(browser, "energy")
    assert await browser.run("document.querySelector('#banner').hidden")
    await browser.click("#profile .note button")
    await browser.find("#profile h4", "Autumn")
    await drawn(browser)
    assert await browser.run("document.querySelector('#profile .note').hidden")


async def test_link_shows_the_same_view_and_no_token(browser: Browser, api: Api) -> None:
    await enter(browser, api)
    for selector in (
        "#presets [value=quarter]",
        "#quality-choice [value=raw]",
        "#energy [value=month]",
        "#profile [value=weekday]",
        ".top [value=es]",
    ):
        await browser.click(selector)
        await drawn(browser)
    link = await browser.run("location.href")
    look = "[...document.querySelectorAll('h2, h3, dd, .sub')].map(x => x.textContent).join()"
    first = await browser.run(look)
    assert TOKEN_BEGINS not in link

    await browser.open("about:blank")
    await browser.open(link)
    await log_in(browser)
    await drawn(browser)
    assert await browser.run(look) == first


async def test_spanish_reader_reads_spanish_on_a_narrow_screen(browser: Browser, api: Api) -> None:
    await browser.imitate(width=360, height=800, language="es-ES")
    await browser.open(page(api))
    await log_in(browser)
    await drawn(browser)

    november = await summary(api, quality="clean")
    energy = f"{november['energy']:,.0f}".replace(",", ".")
    assert (await figure(browser, "energy")).startswith(f"{energy} kWh|")
    assert await browser.find("#span-name") == "Noviembre de 2019"
    assert await browser.run("document.documentElement.lang") == "es"
    assert await browser.run("document.documentElement.scrollWidth") <= 360
    await browser.click(".top [value=en]")
    assert await browser.find("#span-name") == "November 2019"
    assert await browser.run("document.documentElement.lang") == "en"


async def test_keyboard_alone_leads_to_another_span(browser: Browser, api: Api) -> None:
    await browser.imitate()
    await browser.open(page(api))
    await browser.until("document.querySelector('#login')?.open")
    for key in ("r", "i", "c", "k", "Tab", *"morty", "Enter"):
        await browser.press(key)
    await drawn(browser)
    await browser.run("document.querySelector('.skip').focus()")
    for _ in range(30):
        await browser.press("Tab")
        if await browser.run("document.activeElement.value === 'week'"):
            break
    await browser.press("Enter")
    await browser.find("#span-name", LAST_WEEK)
    await drawn(browser)

    for _ in range(30):
        await browser.press("Tab")
        if await browser.run("document.activeElement.matches('#energy .plot')"):
            break
    await browser.press("ArrowRight")
    assert "Sun, 24 Nov 2019. Energy: " in await browser.find("#readout", "kWh")
    await browser.press("Enter")
    await browser.find("#span-name", "Sun, 24 Nov 2019")


async def test_page_and_its_files_are_there_without_a_database(
    serve: Serve, tmp_path: Path
) -> None:
    api = await serve(SqliteDatabase(tmp_path))
    async with await api.client.get("/dashboard") as response:
        text = await response.text()
    paths = ["/dashboard", *re.findall(r'(?:src|href)="(/static/[^"]+)"', text)]
    scripts = [path for path in paths if path.endswith(".js")]
    for path in scripts:
        async with await api.client.get(path) as response:
            found = re.findall(r'from "([^"]+)"', await response.text())
        names = [str(URL("http://x" + path).join(URL(name)).path) for name in found]
        scripts += [name for name in names if name not in scripts]
    for path in {*paths, *scripts}:
        async with await api.client.get(path) as response:
            assert response.status == 200
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "unsafe" not in policy
    assert "/static/uplot/uPlot.esm.js" in scripts


@pytest.mark.parametrize("name", ["dashboard/index.html", "uplot/VERSION", "dashboard/..%2Fapp.py"])
async def test_other_files_are_not_served(serve: Serve, tmp_path: Path, name: str) -> None:
    api = await serve(SqliteDatabase(tmp_path))
    url = api.client.make_url("/").joinpath("static/" + name, encoded=True)
    async with api.client.session.get(url) as response:
        assert response.status == 404


# Several meters

DAYS = report(*numbered(quarters("2019-11-01", 14 * 96)))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> DatabaseFixture:
    """Three meters with readings, one of them with a name, and one without any."""
    database = SqliteDatabase(tmp_path_factory.mktemp("fleet"))
    database.configure(api_users={"rick": "morty"})
    for meter, text in (
        ("shop", DAYS),
        ("factory", report(*numbered(quarters("2019-11-01", 14 * 96), 1000))),
        ("house", report(*numbered(quarters("2019-09-01", 10 * 96)))),
    ):
        asyncio.run(database.load(text, meter=meter, register=True))
    database.run("UPDATE meters SET name = 'Nave 7' WHERE public_id = 'factory'")
    add_meters(database, "yard")
    return database


def add_meters(database: DatabaseFixture, *public_ids: str) -> None:
    """Add meters that have no readings."""
    for public_id in public_ids:
        database.run(
            "INSERT INTO meters (id, public_id, timezone)"
            f" SELECT MAX(id) + 1, '{public_id}', 'Europe/Madrid' FROM meters"
        )
    database.run(
        "INSERT INTO states (meter_id, version, changes, corrections, readings, last_id)"
        " SELECT id, 'v', 0, 0, 0, 0 FROM meters WHERE id NOT IN (SELECT meter_id FROM states)"
    )


async def offered(browser: Browser) -> list[str]:
    """The meters of the list."""
    found: list[str] = await browser.run("[...document.querySelector('#meter')].map(x => x.text)")
    return found


async def test_one_meter_leaves_no_choice_and_no_name(browser: Browser, api: Api) -> None:
    await enter(browser, api)
    assert await browser.run("document.querySelector('#meters').hidden")
    assert await browser.run("location.hash") == SPAN
    assert await browser.run("document.title") == "November 2019 \N{EN DASH} Electricity readings"


async def test_chosen_meter_is_in_the_link_the_title_and_every_request(
    browser: Browser, serve: Serve, fleet: DatabaseFixture, tmp_path: Path
) -> None:
    """Keys alone lead from one to another."""
    api = await serve(fleet)
    await browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    await enter(browser, api, "#meter=factory")
    assert await offered(browser) == ["Nave 7 (factory)", "house", "shop", "yard"]
    assert "Nave 7" in await browser.run("document.title")
    browser.requests.clear()

    await browser.run("document.querySelector('#meter').focus()")
    await browser.press("s")
    await browser.until("document.title.includes('shop')")
    await drawn(browser)
    energy = (await api.records("getSummary", meter="shop", quality="clean"))[0]["energy"]
    assert (await figure(browser, "energy")).startswith(f"{float(str(energy)):,.0f} kWh|")
    assert await browser.run("document.activeElement.id") == "meter"
    await browser.click("#energy .csv")
    file = tmp_path / "energy_shop_2019-11-01_2019-11-14.csv"
    days = await api.records("getAggregate", meter="shop", interval="day", columns="energy")
    rows = (await downloaded(file)).decode().splitlines()[1:]
    assert [row.split(",")[2] for row in rows] == [day["energy"] for day in days]
    data = [parts for url in browser.requests if "/apielec/" in (parts := urlsplit(url)).path]
    assert {dict(parse_qsl(parts.query))["meter"] for parts in data} == {"shop"}

    link = await browser.run("location.href")
    assert "#meter=shop&from=2019-11-01&to=2019-11-14" in link
    await browser.run("history.back()")
    await browser.until("document.title.includes('Nave 7')")
    await drawn(browser)
    assert await browser.run("document.querySelector('#meter').value") == "factory"
    await browser.open("about:blank")
    await browser.open(link)
    await log_in(browser)
    await drawn(browser)
    assert "shop" in await browser.run("document.title")
    assert browser.complaints == []


async def test_default_meter_is_shown_first(
    browser: Browser, serve: Serve, fleet: DatabaseFixture
) -> None:
    await enter(browser, await serve(fleet, ELECDATA_METER__DEFAULT="house"))
    assert await browser.run("document.querySelector('#meter').value") == "house"
    assert await browser.find("#span-name") == "1 Sept 2019 \N{EN DASH} 10 Sept 2019"


async def test_other_meters_are_offered_where_one_has_no_such_period_or_nothing(
    browser: Browser, serve: Serve, fleet: DatabaseFixture
) -> None:
    api = await serve(fleet)
    await enter(browser, api, "#meter=factory")
    await browser.run("location.hash = '#meter=gone'")
    await browser.find("#banner", "There is no meter gone: it was removed, or the link is wrong.")
    assert (await offered(browser))[0] == "gone"
    assert await browser.run("document.querySelector('main').hidden")
    choose = "(meter => { meter.value = '%s'; meter.dispatchEvent(new Event('change')) })"
    choose += "(document.querySelector('#meter'))"

    await browser.run(choose % "shop")
    await browser.find("#span-name", "1 Nov 2019")
    await drawn(browser)
    assert await browser.run("document.querySelector('#banner').hidden")
    assert "gone" not in await offered(browser)
    await browser.run(choose % "house")
    await browser.find("#empty", "Data is available for 1 Sept 2019")
    assert "house" in await browser.run("document.title")
    await browser.run(choose % "yard")
    await browser.find("#empty", "elecdata load --meter yard ")
    await browser.run(choose % "factory")
    await browser.find("#span-name", "1 Nov 2019")
    await drawn(browser)
    assert not await browser.run("document.querySelector('#charts').hidden")


async def test_meters_beyond_a_hundred_are_searched(
    browser: Browser, serve: Serve, tmp_path: Path
) -> None:
    database = SqliteDatabase(tmp_path)
    database.configure(api_users={"rick": "morty"})
    await database.load(DAYS, meter="z1", register=True)
    await database.load(DAYS, meter="a", register=True)
    add_meters(database, *(f"m{number:03}" for number in range(100)), "z2")
    await enter(browser, await serve(database), "#meter=a")
    assert len(await offered(browser)) == 100
    await browser.type("#meters [type=search]", "Z")
    await browser.find("#meters output", "2 meters found")
    assert await offered(browser) == ["a", "z1", "z2"]
    await browser.type("#meters [type=search]", "1")
    await browser.press("Enter")
    await browser.until("document.title.includes('z1')")
    await drawn(browser)
    await browser.type("#meters [type=search]", "x")
    await browser.find("#meters output", "0 meters found")
    assert await offered(browser) == ["z1"]
