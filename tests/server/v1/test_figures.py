"""Figures of /v1: those of the contract's routes, as numbers, by resolutions of ISO 8601."""

import csv
import io
from typing import Any

import pytest

from domain.time.time_buckets import BUCKET_SIZES, parse_resolution
from tests.support.app_client import Api, Document
from tests.support.databases import DatabaseFixture

WEEK = {"from": "2019-10-25", "to": "2019-11-01"}
CONTRACT_WEEK = {"date": "2019-10-25", "end_date": "2019-11-01", "end": "exclusive"}
SAME = [
    ("aggregates", {"resolution": "P1D"}, "getAggregate", {"interval": "day"}),
    ("aggregates", {"resolution": "PT60M"}, "getAggregate", {"interval": "hour"}),
    (
        *("aggregates", {"resolution": "P1M", "fields": "energy,flags", "quality": "clean"}),
        *("getAggregate", {"interval": "month", "columns": "energy,flags", "quality": "clean"}),
    ),
    (
        *("profile", {"field": "energy", "by": "weekday"}),
        *("getProfile", {"column": "energy", "by": "weekday"}),
    ),
    ("peaks", {"limit": "3", "separation": "0"}, "getPeaks", {"number": "3", "separation": "0"}),
    ("summary", {"quality": "clean"}, "getSummary", {"quality": "clean"}),
    ("quality", {"list": "flagged"}, "getQuality", {"list": "flagged"}),
]


def plain(value: Any) -> str | None:
    """Return a value as the contract's routes have it."""
    return None if value is None else str(value)


@pytest.mark.parametrize(("route", "params", "contract", "contract_params"), SAME)
async def test_figures_are_those_of_the_contract(
    api: Api,
    route: str,
    params: dict[str, str],
    contract: str,
    contract_params: dict[str, str],
) -> None:
    document = await api.document(f"meters/main/{route}", **WEEK, **params)
    found = [document["data"]] if route == "summary" else document["data"]
    expected = await api.records(contract, **CONTRACT_WEEK, **contract_params)
    assert document["meta"]["count"] == len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        record = {"date" if name == "start" else name: plain(value) for name, value in ours.items()}
        if route == "summary":
            for name in ("exported_energy", "exported_reactive_energy", "flag_estimated"):
                assert record.pop(name, "") in (None, "0")
        assert record == {name: theirs[name] for name in record}
        assert theirs.keys() - record.keys() <= {
            *("import_finished", "import_file", "import_new", "import_changed"),
            *("timezone", "interval_seconds", "identifier"),
        }


async def test_meta_says_what_was_asked_and_what_clean_leaves_out(api: Api) -> None:
    document = await api.document(
        "meters/main/aggregates", resolution="P1W", quality="clean", **{"from": "2019-11-01"}
    )
    meta = document["meta"]
    assert (meta["meter"], meta["timezone"], meta["interval"]) == ("main", "Europe/Madrid", "PT15M")
    assert (meta["from"], meta["to"]) == ("2019-11-01T00:00:00+01:00", None)
    _, body = await api.get(
        "getAggregate", {"interval": "week", "date": "2019-11-01", "quality": "clean"}
    )
    left_out = {name: plain(value) for name, value in meta["left_out"].items()}
    assert left_out == body["values"]["left_out"] == {"readings": "2", "energy": "1253.35000"}
    assert meta["units"]["energy"] == "kWh"
    # The first of November was a Friday.
    starts = [record["start"][:10] for record in document["data"]]
    assert starts == ["2019-11-01", "2019-11-04", "2019-11-11", "2019-11-18", "2019-11-25"]


async def test_any_multiple_of_the_interval_that_divides_a_day_is_a_resolution(api: Api) -> None:
    """Of the day on which clocks go back, the first six hours are seven."""
    day = {"from": "2019-10-27", "to": "2019-10-28", "fields": "energy"}
    quarters = await api.document("meters/main/aggregates", resolution="PT15M", **day)
    energies = [record["energy"] for record in quarters["data"]]
    document = await api.document("meters/main/aggregates", resolution="PT6H", **day)
    assert [(r["start"], r["expected"], r["energy"]) for r in document["data"]] == [
        ("2019-10-27T00:00:00+02:00", 28, sum(energies[:28])),
        ("2019-10-27T06:00:00+01:00", 24, sum(energies[28:52])),
        ("2019-10-27T12:00:00+01:00", 24, sum(energies[52:76])),
        ("2019-10-27T18:00:00+01:00", 24, sum(energies[76:])),
    ]


def test_resolutions_are_durations_that_divide_a_day() -> None:
    assert parse_resolution("P1W") is BUCKET_SIZES["week"]
    sizes = {text: size and size.size for text in ("PT1H30M", "PT24H", "PT1440M", "PT5M")
             for size in [parse_resolution(text)]}  # fmt: skip
    assert sizes == {"PT1H30M": 5400, "PT24H": 86400, "PT1440M": 86400, "PT5M": 300}
    for text in ("PT", "PT0M", "PT7M", "PT25H", "P2D", "1h", "PT1.5H", "PT１H"):  # noqa: RUF001 - other digits
        assert parse_resolution(text) is None


@pytest.mark.parametrize(
    ("route", "params", "detail"),
    [
        ("aggregates", {}, "resolution: missing"),
        ("aggregates", {"resolution": "PT20M"}, "resolution: expected a multiple of the 900"),
        ("aggregates", {"resolution": "PT7M"}, "resolution: expected one of PT15M, PT30M, PT1H"),
        ("aggregates", {"resolution": "P1D", "fields": "date"}, "fields: expected some of energy"),
        ("aggregates", {"resolution": "P1D", "timezone": "Mars"}, "timezone: expected a name like"),
        ("aggregates", {"resolution": "P1D", "from": "1000-01-01", "to": "1900-01-01"},
         "from: expected a period of at most 400 years"),
        ("profile", {"field": "voltage"}, "field: expected power or energy"),
        ("peaks", {"limit": "0"}, "limit: expected a whole number"),
        ("peaks", {"limit": "1001"}, "limit: expected a whole number from 1 to 1000"),
        ("quality", {"quality": "raw"}, "'quality': unknown parameter, expected any of list, flag"),
        ("quality", {"flag": "missing"}, "flag: expected list=flagged"),
    ],
)  # fmt: skip
async def test_wrong_parameter_of_figures_is_named(
    api: Api, route: str, params: dict[str, str], detail: str
) -> None:
    async with await api.v1(f"meters/main/{route}", params) as response:
        problem = await response.json()
    assert response.status == 400
    assert problem["detail"].startswith(detail)


async def test_pages_of_aggregates_are_those_of_one_answer(api: Api) -> None:
    whole = await api.document("meters/main/aggregates", resolution="P1M", fields="energy")
    found: list[Document] = []
    url = "/v1/meters/main/aggregates?resolution=P1M&fields=energy&limit=3"
    async for document in api.pages(url):
        found += document["data"]
    assert found == whole["data"]
    assert len(found) == 4


async def test_figures_are_tables_in_other_formats(api: Api) -> None:
    params = {"resolution": "P1D", "fields": "energy", "format": "csv", **WEEK}
    json_rows = (await api.document("meters/main/aggregates", **params | {"format": "json"}))[
        "data"
    ]
    async with await api.v1("meters/main/aggregates", params | {"dialect": "excel-es"}) as response:
        text = (await response.read()).decode("utf-8-sig")
    rows = [*csv.DictReader(io.StringIO(text), delimiter=";")]
    assert [row["energy"] for row in rows] == [
        str(record["energy"]).replace(".", ",") for record in json_rows
    ]
    assert rows[0]["start"] == "2019-10-25 00:00:00"
    async with await api.v1("meters/main/summary", {"format": "xlsx"}) as response:
        assert (await response.read()).startswith(b"PK")


async def test_period_without_readings_has_no_summary_and_no_records(api: Api) -> None:
    later = {"from": "2030-01-01", "to": "2030-02-01"}
    assert (await api.document("meters/main/summary", **later))["data"]["readings"] == 0
    assert (await api.document("meters/main/peaks", **later))["data"] == []


async def test_figure_is_cached(api: Api, sample: DatabaseFixture) -> None:
    params = {"resolution": "P1D", "limit": "2"}
    async with await api.v1("meters/main/aggregates", params) as response:
        first, headers = await response.read(), response.headers
    await api.settled()
    asked = api.engine.readings_asked
    async with await api.v1("meters/main/aggregates", params) as response:
        assert (await response.read(), response.headers["Link"]) == (first, headers["Link"])
    assert api.engine.readings_asked == asked, sample.kind
