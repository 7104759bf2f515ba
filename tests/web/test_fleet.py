"""The list of meters, and several beside each other, in a real browser."""

import asyncio
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.app_client import Api, Serve
from tests.support.browser import Browser
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.granting import add_group, add_member, grant, revoke_all
from tests.support.report_factory import quarters, report, row
from tests.web.test_accessibility import complaints
from tests.web.test_dashboard import downloaded, page
from tools.screenshots import log_in, shown

MANY = 10_000
MOST_SECONDS = 0.1
"""Of the browser's main thread, for each jump to another part of the list."""

NOW = "2019-12-03T12:00:00Z"
FORTNIGHT = quarters("2019-11-20", 14 * 96)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> DatabaseFixture:
    """Meters with and without gaps, implausible readings and names, and one without readings."""
    database = SqliteDatabase(tmp_path_factory.mktemp("listed"))
    database.configure(api_users={"rick": "morty"})
    odd = [row(time, "1", "0.1", "4", "5") for time in FORTNIGHT[: 7 * 96]]
    odd[300] = odd[300].replace(",1,", ",900,")
    even = [row(time, str(1 + n % 2)) for n, time in enumerate(FORTNIGHT)]
    for meter, lines in (
        ("shop", even),
        ("factory", odd),
        ("house", [each for n, each in enumerate(even) if not 100 <= n < 300]),
    ):
        asyncio.run(database.load(report(*lines), meter=meter, register=True))
    asyncio.run(database.load(report(*even), meter="secret", register=True))
    database.run("UPDATE meters SET name = 'Nave 7' WHERE public_id = 'factory'")
    return database


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> DatabaseFixture:
    """Ten thousand meters that all have the last month of one."""
    database = SqliteDatabase(tmp_path_factory.mktemp("many"))
    database.configure(api_users={"rick": "morty"})
    hours = [
        row(time, str(1 + n % 2)) for n, time in enumerate(quarters("2019-11-01", 30 * 96)[::4])
    ]
    asyncio.run(database.load(report(*hours), meter="m00001", register=True))
    copies = f"WITH RECURSIVE n (id) AS (SELECT 2 UNION ALL SELECT id + 1 FROM n WHERE id < {MANY})"
    columns = {
        table: [name for _, name, *_ in database.run(f"PRAGMA table_info({table})")]
        for table in ("meters", "days", "readings", "states")
    }
    own = {"id": "n.id", "meter_id": "n.id", "public_id": "printf('m%05d', n.id)"}
    for table, names in columns.items():
        values = ", ".join(
            own[name] if name in own and (table, name) != ("readings", "id") else f"x.{name}"
            for name in names
        )
        # Of readings, the newest alone is looked at.
        first = "x.meter_id = 1 AND x.id = 720" if table == "readings" else f"x.{names[0]} = 1"
        database.run(
            f"INSERT INTO {table} {copies} SELECT {values} FROM n, {table} x WHERE {first}"
        )
    return database


async def enter(browser: Browser, api: Api, hash_: str = "") -> None:
    """Open the dashboard in December 2019, and log in."""
    await browser.imitate()
    await browser.open("about:blank")
    await browser.call(
        "Page.addScriptToEvaluateOnNewDocument", source=f"Date.now = () => Date.parse('{NOW}')"
    )
    await browser.open(page(api) + hash_)
    await log_in(browser)
    await shown(browser)


async def listed(browser: Browser, rows: str = "fleet-rows") -> list[list[str]]:
    """The rows in view: their names and what the other cells say."""
    found: list[list[str]] = await browser.run(
        f"[...document.querySelectorAll('#{rows} > [role=row]')].map(row =>"
        " ['name', 'energy', 'share', 'newest', 'marks'].map(name =>"
        " row.querySelector('.' + name)?.textContent.trim()))"
    )
    return [[text.replace("\N{NO-BREAK SPACE}", " ") for text in each] for each in found]


def asked(browser: Browser) -> list[dict[str, list[str]]]:
    """The parameters of the requests for the list."""
    parts = [urlsplit(url) for url in browser.requests]
    return [parse_qs(part.query) for part in parts if part.path == "/v1/meters"]


async def main_thread(browser: Browser) -> float:
    """The processor time of the page's main thread so far, in seconds."""
    metrics = (await browser.call("Performance.getMetrics"))["metrics"]
    (found,) = (each["value"] for each in metrics if each["name"] == "TaskDuration")
    return float(found)


@pytest.mark.parametrize(("view", "last"), [("", "m10000"), ("#list=&sort=-name", "m00001")])
async def test_ten_thousand_meters_scroll_within_100_ms(
    browser: Browser, serve: Serve, many: DatabaseFixture, view: str, last: str
) -> None:
    """Only the rows in view exist, and a request is made for those that stay in view."""
    await browser.call("Performance.setTimeDomain", timeDomain="threadTicks")
    await browser.call("Performance.enable")
    await enter(browser, await serve(many), view)
    assert await browser.find("#fleet-count") == "10,000 meters"
    browser.requests.clear()
    jumps = [2000, 4000, 6000, 8000, MANY]
    before = await main_thread(browser)
    for number in jumps:
        await browser.run(
            f"scrollTo(0, document.querySelector('#fleet-rows').offsetTop + {number - 10} * 48)"
        )
        row_ = "document.querySelector('#fleet-rows').lastElementChild"
        await browser.until(f"{row_}.ariaRowIndex > {number} && {row_}.querySelector('.spark')")
    spent = await main_thread(browser) - before
    assert spent / len(jumps) < MOST_SECONDS
    rows = await listed(browser)
    assert len(rows) < 100
    assert rows[-1] == [last, "1,080 kWh", "100%", "30 Nov 2019", "stale: 2 days"]
    assert len(asked(browser)) <= 2 * len(jumps)
    assert browser.complaints == []


async def test_list_says_what_is_wrong_with_each_meter(
    browser: Browser, serve: Serve, fleet: DatabaseFixture
) -> None:
    await enter(browser, await serve(fleet))
    await browser.find("#fleet-count", "4 meters")
    rows = {name.split()[0]: others for name, *others in await listed(browser)}
    assert rows["Nave"] == [
        *("671.0 kWh", "100%", "26 Nov 2019"),
        "stale: 6 days implausible: 1",
    ]
    assert rows["shop"][1:] == ["100%", "3 Dec 2019", ""]
    assert rows["house"][1:] == ["85.1%", "3 Dec 2019", "gaps: 200 readings"]
    await browser.run("location.hash += '&quality=raw'")
    await browser.find("#fleet-rows", "1,571")
    label = await browser.run("document.querySelector('.spark').getAttribute('aria-label')")
    assert label.startswith("Energy by day, 20 Nov 2019 \N{EN DASH} 26 Nov 2019. Minimum: 96.00")


async def test_search_finds_meters_and_is_in_the_link(
    browser: Browser, serve: Serve, fleet: DatabaseFixture
) -> None:
    api = await serve(fleet)
    await enter(browser, api)
    await browser.type("#fleet-search", "NAVE")
    await browser.find("#fleet-count", "1 meter found")
    assert [name for name, *_ in await listed(browser)] == ["Nave 7 factory"]
    link = await browser.run("location.href")
    assert link.endswith("#list=NAVE")
    await browser.run("history.back()")
    await browser.find("#fleet-count", "4 meters")
    assert await browser.run("document.querySelector('#fleet-search').value") == ""
    await enter(browser, api, "#list=NAVE")
    assert await browser.find("#fleet-count") == "1 meter found"
    assert await browser.run("document.querySelector('#fleet-search').value") == "NAVE"
    await browser.run("document.querySelector('#fleet-rows a').click()")
    await browser.find("#figure-energy", "kWh")
    assert "Nave 7" in await browser.run("document.title")
    await browser.click("#to-list")
    await browser.find("#fleet-count", "4 meters")


async def test_columns_sort_the_list_with_the_keyboard_and_in_the_link(
    browser: Browser, serve: Serve, fleet: DatabaseFixture
) -> None:
    """First the way that is looked for, then the other, then the order of ids again."""
    api = await serve(fleet)
    await enter(browser, api)
    head = "document.querySelector('#fleet-table [value=energy]')"
    await browser.run(f"{head}.focus()")
    energies = {}
    for order, link in (
        ("descending", "#list=&sort=-energy"),
        ("ascending", "#list=&sort=energy"),
        ("none", "#list="),
    ):
        await browser.press("Enter")
        await browser.until(f"location.hash === '{link}'")
        await shown(browser)
        assert await browser.run(f"({head}.parentElement.ariaSort ?? 'none')") == order
        assert await browser.run(
            "document.querySelectorAll('#fleet-table [aria-sort]').length"
        ) == (order != "none")
        assert await browser.run(f"document.activeElement === {head}")
        said = await browser.run("document.querySelector('#status').textContent")
        assert said == "4 meters. " + (
            "Sorted by public id." if order == "none" else f"Sorted by Energy, {order}."
        )
        energies[order] = [
            float(text.split()[0].replace(",", "")) for _, text, *_ in await listed(browser)
        ]
    assert energies["descending"] == sorted(energies["none"], reverse=True)
    assert energies["ascending"] == sorted(energies["none"])
    assert energies["none"] != energies["descending"]
    await enter(browser, api, "#list=&sort=-name&lang=es")
    assert [name.split()[0] for name, *_ in await listed(browser)] == [
        *("shop", "secret", "Nave", "house"),
    ]
    await browser.find("#status", "Orden por Contador, descendente.")
    assert browser.complaints == []


async def test_list_is_narrowed_to_meters_with_a_warning(
    browser: Browser, serve: Serve, fleet: DatabaseFixture
) -> None:
    api = await serve(fleet)
    await enter(browser, api)
    choose = (
        "(value => {{ const select = document.querySelector('#fleet-warning');"
        " select.value = value; select.dispatchEvent(new Event('change')); }})('{}')"
    )
    for warning, names in (("gaps", ["house"]), ("implausible", ["Nave 7 factory"])):
        await browser.run(choose.format(warning))
        await browser.find("#fleet-count", "1 meter found")
        await browser.until(f"location.hash === '#list=&warning={warning}'")
        await shown(browser)
        assert [name for name, *_ in await listed(browser)] == names
    await browser.type("#fleet-search", "house")
    await browser.find("#fleet-count", "0 meters found")
    await enter(browser, api, "#list=&warning=low-coverage")
    assert [name for name, *_ in await listed(browser)] == ["house"]
    chosen = "document.querySelector('#fleet-warning').selectedOptions[0].text"
    assert await browser.run(chosen) == "Coverage below 95%"
    await browser.run(choose.format(""))
    await browser.find("#fleet-count", "4 meters")
    assert browser.complaints == []


async def test_arrow_keys_lead_through_the_list(
    browser: Browser, serve: Serve, fleet: DatabaseFixture
) -> None:
    await enter(browser, await serve(fleet))
    await browser.run("document.querySelector('#fleet-rows a').focus()")
    for _ in range(2):
        await browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowDown")
    assert await browser.run("document.activeElement.textContent") == "secret"


async def test_chosen_meters_are_shown_beside_each_other_and_named_in_the_link(
    browser: Browser, serve: Serve, fleet: DatabaseFixture, tmp_path: Path
) -> None:
    api = await serve(fleet)
    await browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    await enter(browser, api)
    assert await browser.run("document.querySelector('#chosen').hidden")
    for name in ("house", "shop"):
        await browser.click(f"#fleet-rows [aria-label='Compare {name}']")
    await browser.find("#chosen output", "2 meters selected: house, shop")
    await browser.click("#beside")
    link = "#meter=house,shop&from=2019-11-20&to=2019-11-30"
    await browser.until(f"location.hash === {json.dumps(link)}")
    await shown(browser)
    energies = await beside(browser)
    for meter, energy in zip(("house", "shop"), energies, strict=True):
        record = await api.document(
            f"meters/{meter}/summary",
            **{"from": "2019-11-20", "to": "2019-12-01", "quality": "clean"},
        )
        assert energy == f"{record['data']['energy']:,.0f} kWh"
    await enter(browser, api, link)
    assert await beside(browser) == energies
    assert "2 meters" in await browser.run("document.title")
    await browser.click("#beside-energy summary")
    heads = "[...document.querySelectorAll('#beside-energy th[scope=col]')].map(x => x.textContent)"
    assert await browser.run(heads) == ["Date", "house", "shop"]
    await browser.click("#beside-energy .csv")
    file = tmp_path / "beside-energy_house+shop_2019-11-20_2019-11-30.csv"
    head, *rows = (await downloaded(file)).decode().splitlines()
    assert head.startswith("meter,start,end,energy,")
    assert [row.split(",")[0] for row in rows] == ["house"] * 11 + ["shop"] * 11
    assert browser.complaints == []


async def beside(browser: Browser) -> Sequence[str]:
    """The energy of each meter in the table of key figures."""
    found: list[str] = await browser.run(
        "[...document.querySelectorAll('#beside-figures tbody tr')].map(x =>"
        " x.cells[1].textContent)"
    )
    return [text.replace("\N{NO-BREAK SPACE}", " ") for text in found]


async def test_hidden_meters_are_neither_listed_nor_counted_nor_found(
    browser: Browser, serve: Serve, fleet: DatabaseFixture
) -> None:
    revoke_all(fleet, "rick")
    try:
        for meter in ("house", "shop"):
            grant(fleet, "rick", meter=meter)
        await enter(browser, await serve(fleet))
        assert await browser.find("#fleet-count") == "2 meters"
        assert [name for name, *_ in await listed(browser)] == ["house", "shop"]
        await browser.type("#fleet-search", "secret")
        await browser.find("#fleet-count", "0 meters found")
        assert await listed(browser) == []
        await browser.run("location.hash = '#meter=house,secret'")
        await browser.find("#banner", "there is no meter secret")
        await browser.run("location.hash = '#meter=secret'")
        await browser.find("#banner", "There is no meter secret")
    finally:
        revoke_all(fleet, "rick")
        grant(fleet, "rick")


async def test_user_with_one_meter_sees_no_list(
    browser: Browser, serve: Serve, fleet: DatabaseFixture
) -> None:
    revoke_all(fleet, "rick")
    try:
        grant(fleet, "rick", meter="house")
        await enter(browser, await serve(fleet), "#list=")
        assert await browser.find("#figure-energy", "kWh")
        hidden = (
            "['fleet', 'meters', 'to-list'].map(id => !document.getElementById(id).offsetParent)"
        )
        assert await browser.run(hidden) == [True, True, True]
        assert await browser.run("location.hash") == "#from=2019-11-20&to=2019-11-30"
        assert asked(browser) == []
    finally:
        revoke_all(fleet, "rick")
        grant(fleet, "rick")


@pytest.fixture(scope="module")
def grouped(fleet: DatabaseFixture) -> DatabaseFixture:
    """A group of a meter with gaps, one without, and one that is counted on one day only."""
    add_group(fleet, "site")
    fleet.run("UPDATE meter_groups SET name = 'Both buildings'")
    add_member(fleet, "site", meter="house")
    add_member(fleet, "site", meter="shop")
    day = date(2019, 11, 25)
    add_member(fleet, "site", meter="factory", days=(day, day))
    fleet.run("UPDATE meters SET area = 100 WHERE public_id = 'house'")
    return fleet


async def test_group_is_stacked_and_says_what_its_members_lack(
    browser: Browser, serve: Serve, grouped: DatabaseFixture
) -> None:
    """A member that is counted on some days only is among the others."""
    api = await serve(grouped)
    await enter(browser, api)
    await browser.find("#group-rows .marks", "gaps: 200 readings")
    ((name, *others),) = await listed(browser, "group-rows")
    assert name == "Both buildings site"
    assert others[1:3] == ["92.8%", "3 Dec 2019"]
    days = (await api.document("groups/site/aggregates", resolution="P1D", quality="clean"))["data"]
    assert others[0] == f"{sum(day['energy'] for day in days):,.0f} kWh"
    await browser.click("#groups a")
    link = "#group=site&from=2019-11-20&to=2019-11-30"
    await browser.until(f"location.hash === {json.dumps(link)}")
    await shown(browser)
    assert "Both buildings" in await browser.run("document.title")
    assert await browser.run("document.querySelector('#meter').selectedOptions[0].text") == (
        "Both buildings (site)"
    )
    asked = {"from": "2019-11-20", "to": "2019-12-01", "quality": "clean"}
    summary = (await api.document("groups/site/summary", **asked))["data"]
    figures = [
        text.replace("\N{NO-BREAK SPACE}", " ")
        for text in await browser.run(
            "[...document.querySelectorAll('#group-figures .value')].map(x => x.textContent)"
        )
    ]
    assert figures == [f"{summary['energy']:,.0f} kWh", "3", "90.9%", "1"]
    assert "house" in await browser.find("#group-members_lacking")

    legend = "[...document.querySelectorAll('#group-energy .legend li')].map(x => x.textContent)"
    assert await browser.run(legend) == ["shop", "house", "Others", "Members with missing data"]
    await browser.click("#group-energy summary")
    rows = await browser.run(
        "[...document.querySelectorAll('#group-energy tbody tr')].map(row =>"
        " [...row.cells].map(x => x.textContent.replace('\\u00a0kWh', '')))"
    )
    days = (await api.document("groups/site/aggregates", resolution="P1D", **asked))["data"]
    for row_, day in zip(rows, days, strict=True):
        assert float(row_[1]) == pytest.approx(float(day["energy"]), abs=0.05)
        parts = [float(text) for text in row_[2:5] if text != "no data"]
        assert sum(parts) == pytest.approx(float(day["energy"]), abs=0.2)
        assert (float(row_[4]) > 0) == (day["start"][:10] == "2019-11-25")
        assert row_[6] == day["lacking"]
    assert browser.complaints == []


async def test_members_are_ranked_as_the_link_says(
    browser: Browser, serve: Serve, grouped: DatabaseFixture
) -> None:
    api = await serve(grouped)
    await enter(browser, api, "#group=site&from=2019-11-20&to=2019-11-30")
    for rank, first in (("energy", "shop"), ("energy_per_m2", "house"), ("maximeter", "Nave 7")):
        await browser.click(f"#group-members [value={rank}]")
        await browser.until(
            f"document.querySelector('#group-members [value={rank}]').ariaPressed === 'true'"
        )
        await shown(browser)
        assert await browser.run("document.querySelector('.ranks a').textContent") == first
    assert (await browser.run("location.hash")).endswith("&rank=maximeter")
    await enter(browser, api, "#group=site&from=2019-11-20&to=2019-11-30&rank=energy_per_m2")
    assert "kWh/m²" in await browser.find(".ranks .value")
    assert await browser.find("#group-members .note", "no area on record")


async def test_further_groups_are_shown_when_they_are_asked_for(
    browser: Browser, serve: Serve, grouped: DatabaseFixture
) -> None:
    names = [f"z{number:02}" for number in range(40)]
    for name in names:
        add_group(grouped, name)
    shown_names = "[...document.querySelectorAll('#group-rows a')].map(a => a.textContent)"
    try:
        await enter(browser, await serve(grouped))
        await browser.until(f"{shown_names}.length === 30")
        await browser.click("#groups-more")
        await browser.until(f"{shown_names}.length === 41")
        assert await browser.run(shown_names) == ["Both buildings", *names]
        assert await browser.run("document.activeElement.textContent") == names[29]
        assert not await browser.run("document.getElementById('groups-more').offsetParent")
    finally:
        grouped.run("DELETE FROM meter_groups WHERE public_id LIKE 'z%'")


async def test_groups_are_sorted_and_narrowed_as_the_meters_are(
    browser: Browser, serve: Serve, grouped: DatabaseFixture
) -> None:
    for name, meter in (("annex", "shop"), ("zoo", "factory")):
        add_group(grouped, name)
        add_member(grouped, name, meter=meter)
    try:
        api = await serve(grouped)
        names = "[...document.querySelectorAll('#group-rows > :not([hidden]) a')]"
        for sort, expected in (
            ("-name", ["zoo", "Both buildings", "annex"]),
            ("coverage", ["Both buildings", "zoo", "annex"]),
            ("-warnings&warning=gaps", ["zoo", "Both buildings"]),
        ):
            await enter(browser, api, f"#list=&sort={sort}")
            await browser.until(
                f"{names}.map(a => a.textContent).join() === '{','.join(expected)}'"
            )
        assert await browser.run("document.querySelectorAll('#groups [aria-sort]').length") == 1
        await enter(browser, api, "#list=&warning=implausible")
        await browser.find("#fleet-count", "1 meter found")
        await browser.until("document.querySelector('#groups').hidden")
        assert browser.complaints == []
    finally:
        grouped.run("DELETE FROM group_members WHERE group_id > 1")
        grouped.run("DELETE FROM meter_groups WHERE id > 1")


async def test_hidden_groups_are_not_offered(
    browser: Browser, serve: Serve, grouped: DatabaseFixture
) -> None:
    revoke_all(grouped, "rick")
    try:
        for meter in ("house", "shop"):
            grant(grouped, "rick", meter=meter)
        await enter(browser, await serve(grouped))
        assert await browser.find("#fleet-count") == "2 meters"
        assert await browser.run("document.querySelector('#groups').hidden")
        await browser.run("location.hash = '#group=site'")
        await browser.find("#banner", "there is no group site")
        assert await browser.run("document.querySelector('main').hidden")
    finally:
        revoke_all(grouped, "rick")
        grant(grouped, "rick")


@pytest.mark.parametrize(
    ("width", "dark", "hash_"),
    [
        (360, True, ""),
        (1440, False, "#list=&sort=-energy&warning=gaps"),
        (360, True, "#list=&sort=-coverage&warning=any&lang=es"),
        (1440, False, "#meter=house,shop"),
        (360, False, "#group=site"),
    ],
)
async def test_list_comparison_and_group_are_without_fault(
    browser: Browser, serve: Serve, grouped: DatabaseFixture, width: int, dark: bool, hash_: str
) -> None:
    """As axe judges, and no wider than the screen."""
    await enter(browser, await serve(grouped), hash_)
    await browser.imitate(width=width, height=1000, dark=dark)
    if not hash_:
        await browser.click("#fleet-rows input")
    assert await complaints(browser) == []
    assert await browser.run("document.documentElement.scrollWidth") <= width
