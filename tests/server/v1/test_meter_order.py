"""The list of meters in other orders, and those of it that have warnings."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from storage import sorted_meters
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.granting import grant, revoke_all
from tests.support.report_factory import MADRID, quarters, report, row

Listed = dict[str, Any]


def last_days(count: int, before: int = 0) -> list[str]:
    """Return the quarter-hours of the last days before today, or before an earlier day."""
    first = datetime.now(MADRID).date() - timedelta(days=count + before)
    return quarters(str(first), count * 96)


@pytest.fixture
async def fleet(serve: Serve, database: DatabaseFixture) -> Api:
    """Meters with gaps, implausible readings, old readings, no readings, and none of these."""
    whole = [row(each, "2") for each in last_days(3)]
    odd = [row(each, "1", "0.1", "4", "5") for each in last_days(3)]
    odd[100] = odd[100].replace(",1,", ",900,")
    for meter, lines in (
        ("whole", whole),
        ("gap", [*whole[:200], *whole[201:]]),
        ("holes", [each for n, each in enumerate(whole) if not 30 <= n < 90]),
        ("odd", odd),
        ("stale", [row(each, "1.7") for each in last_days(2, before=40)]),
        ("none", whole[:1]),
    ):
        await database.load(report(*lines), meter=meter, register=True)
    database.run("UPDATE meters SET name = 'Ático' WHERE public_id = 'odd'")
    database.run("UPDATE meters SET name = 'bodega' WHERE public_id = 'gap'")
    for table in ("readings", "days", "flags", "pages"):
        database.run(f"DELETE FROM {table} WHERE meter_id = 6")
    database.run(
        "UPDATE states SET readings = 0, last_id = 0, first_utc = NULL, last_utc = NULL"
        " WHERE meter_id = 6"
    )
    database.run("UPDATE states SET changes = 0")  # no reading was changed
    return await serve(database)


def energy(meter: Listed) -> float | None:
    values = [float(each) for each in (meter["recent_energy"] or "").split() if each != "-"]
    return sum(values) if values else None


def coverage(meter: Listed) -> float | None:
    expected = meter["recent_expected"]
    return meter["recent_present"] / expected if expected else None


def warnings(meter: Listed) -> set[str]:
    last = meter["last_reading"]
    found = set()
    if last is None or time.time() - datetime.fromisoformat(last).timestamp() >= 2 * 86400:
        found.add("stale")
    if (share := coverage(meter)) is not None and share < 1:
        found.add("gaps")
    if meter["recent_implausible"]:
        found.add("implausible")
    return found


MODEL: dict[str, Callable[[Listed], Any]] = {
    "id": lambda meter: meter["id"],
    "name": lambda meter: {"Ático": "atico"}.get(meter["name"], meter["name"] or meter["id"]),
    "energy": energy,
    "coverage": coverage,
    "newest": lambda meter: meter["last_reading"],
    "warnings": lambda meter: len(warnings(meter)),
}


async def listed(api: Api, **params: str) -> list[Listed]:
    """All meters of a list that comes in pages of two."""
    found = []
    query = "&".join(f"{name}={value}" for name, value in params.items())
    async for document in api.pages(f"/v1/meters?limit=2&recent=yes&{query}"):
        found += document["data"]
    assert document["meta"]["total"] == len(found)
    return found


@pytest.mark.parametrize("quality", ["clean", "raw"])
async def test_meters_are_sorted_by_what_their_rows_say(fleet: Api, quality: str) -> None:
    meters = (await fleet.document("meters", recent="yes", quality=quality))["data"]
    assert len(meters) == 6
    for sort, value in MODEL.items():
        unknown = [meter["id"] for meter in meters if value(meter) is None]
        known = [meter for meter in meters if value(meter) is not None]
        for order in (sort, f"-{sort}"):
            known.sort(key=lambda meter: meter["id"])
            known.sort(key=value, reverse=order.startswith("-"))
            found = await listed(fleet, sort=order, quality=quality)
            assert [each["id"] for each in found] == [each["id"] for each in known] + unknown, order
            assert found == known + [each for each in meters if each["id"] in unknown]


async def test_meters_with_a_warning_are_listed_alone(fleet: Api) -> None:
    found = {
        warning: [meter["id"] for meter in await listed(fleet, warning=warning)]
        for warning in sorted_meters.WARNINGS
    }
    assert found == {
        "any": ["gap", "holes", "none", "odd", "stale"],
        "stale": ["none", "stale"],
        "gaps": ["gap", "holes"],
        "low-coverage": ["holes"],
        "implausible": ["odd"],
    }
    worst = await listed(fleet, warning="any", sort="-energy", quality="clean")
    assert [each["id"] for each in worst] == ["gap", "holes", "stale", "odd", "none"]
    assert [each["id"] for each in await listed(fleet, sort="id", stale="P30D")] == [
        "none",
        "stale",
    ]
    assert [each["id"] for each in await listed(fleet, warning="any", search="BODEGA")] == ["gap"]


async def test_readings_that_another_program_changed_count_in_the_order(
    fleet: Api, database: DatabaseFixture
) -> None:
    """The kept sums of days lack them."""
    database.run("UPDATE readings SET energy = energy * 10 WHERE meter_id = 2")
    database.run("DELETE FROM readings WHERE meter_id = 1 AND id BETWEEN 100 AND 149")
    assert (await listed(fleet, sort="-energy"))[0]["id"] == "gap"
    assert [each["id"] for each in await listed(fleet, warning="low-coverage")] == [
        "holes",
        "whole",
    ]


async def test_order_has_only_what_may_be_seen_from_the_next_request_on(
    fleet: Api, database: DatabaseFixture
) -> None:
    assert len(await listed(fleet, sort="energy")) == 6
    today = datetime.now(MADRID).date()
    revoke_all(database, "rick")
    grant(database, "rick", meter="whole")
    grant(database, "rick", meter="holes")
    day = today - timedelta(days=1)
    grant(database, "rick", meter="gap", days=(day, day))
    assert [each["id"] for each in await listed(fleet, sort="energy")] == ["gap", "holes", "whole"]
    assert [each["id"] for each in await listed(fleet, warning="any")] == ["gap", "holes"]
    revoke_all(database, "rick")
    grant(database, "rick", meter="whole")
    grant(database, "rick", meter="odd")
    assert [each["id"] for each in await listed(fleet, sort="energy")] == ["whole", "odd"]


async def test_order_ends_with_the_grant_that_it_stands_on(
    fleet: Api, database: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoke_all(database, "rick")
    grant(database, "rick", meter="whole")
    grant(database, "rick", meter="gap")
    database.run(f"UPDATE grants SET expires = {int(time.time()) + 30} WHERE meter_id = 2")
    assert len(await listed(fleet, sort="energy")) == 2
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + 31)
    assert [each["id"] for each in await listed(fleet, sort="energy")] == ["whole"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sort": "size"}, "sort: expected one of id, name, energy"),
        ({"sort": "--name"}, "sort: expected one of"),
        ({"warning": "red"}, "warning: expected one of any, stale, gaps"),
        ({"sort": "name", "cursor": "gap"}, "cursor: expected none with sort or warning"),
        ({"sort": "name"}, "sort, warning: there are more than 20,000 meters"),
    ],
)
async def test_wrong_order_is_refused_with_what_can_be_done(
    api: Api, monkeypatch: pytest.MonkeyPatch, params: dict[str, str], message: str
) -> None:
    monkeypatch.setattr("storage.sorted_meters.MOST_SORTED", 2)
    async with await api.v1("meters", params) as response:
        assert response.status == 400
        assert message in (await response.json())["detail"]
