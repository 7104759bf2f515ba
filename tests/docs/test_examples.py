"""The examples, run as they stand against a live server over the sample."""

import json
import re
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from tests.conftest import leave_out, require
from tests.support.api_keys import add_key
from tests.support.app_client import Api, Document, Serve
from tests.support.commands import output
from tests.support.databases import DatabaseFixture
from tests.support.live_server import find_program
from tests.support.paths import ROOT

pytestmark = [pytest.mark.promise("Running it"), pytest.mark.one_database]

EXAMPLES = ROOT / "examples"
SOURCE = {"type": "yesoreyeram-infinity-datasource", "uid": "elecdata"}
V1_SOURCE = {"type": "yesoreyeram-infinity-datasource", "uid": "elecdata-v1"}
KINDS: dict[str, set[type]] = {"timestamp": {str}, "number": {int, float}}
V1_KINDS: dict[str, set[type]] = {"timestamp": {str}, "number": {Decimal}}
# On a busy machine the threads of Arrow at times abort a process that is ending.
RUN = (
    "import os, runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__');"
    " sys.stdout.flush(); os._exit(0)"
)
SEPTEMBER = {"date": "2019-09", "end_date": "2019-10", "end": "exclusive"}


async def said(api: Api, folder: Path, *command: str) -> str:
    """What an example says that asks this server; on SQLite it names the meter."""
    meter = {"API_METER": "main"} if api.engine.dialect.name == "sqlite" else {}
    if command[0] == "python":
        runner = [sys.executable, "-c", RUN]
    else:
        runner = [str(find_program(command[0]) or leave_out(command[0]))]
    file = str(EXAMPLES / command[1])
    return await output([*runner, file], folder, API_URL=f"http://127.0.0.1:{api.port}", **meter)


async def energy(api: Api, **period: str) -> str:
    """The kWh of a period, as the service works them out."""
    (summary,) = await api.records("getSummary", **period)
    return str(summary["energy"])


def test_every_example_stands_in_the_table() -> None:
    told = re.findall(r"^\| \[(.+?)/?\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(
        each.name for each in EXAMPLES.iterdir() if each.name not in {"README.md", "__pycache__"}
    )


async def test_curl_gets_readings_days_and_a_file(api: Api, tmp_path: Path) -> None:
    require("curl", "sed")
    lines = (await said(api, tmp_path, "sh", "curl.sh")).splitlines()
    assert [json.loads(line) for line in lines[:3]] == [
        *await api.records("getDataById", id="5,100", columns="id,date,energy"),
        {"numrecs": 2},
    ]
    week = {"date": "2019-09-02", "end_date": "2019-09-09", "end": "exclusive"}
    days = await api.records("getAggregate", interval="day", columns="energy", **week)
    rows = [["" if value is None else str(value) for value in day.values()] for day in days]
    assert lines[3:] == [",".join(row) for row in ([*days[0]], *rows)]
    async with await api.request("getDataByRange", SEPTEMBER | {"format": "csv"}) as answer:
        assert (tmp_path / "september.csv").read_bytes() == await answer.read()


async def test_requests_add_up_a_day_and_the_parts_of_a_month(api: Api, tmp_path: Path) -> None:
    told = await said(api, tmp_path, "python", "python_requests.py")
    day = {"date": "2019-09-11", "end_date": "2019-09-12", "end": "exclusive"}
    assert told.splitlines() == [
        f"11 September: {await energy(api, **day)} kWh",
        f"September: {await energy(api, **SEPTEMBER)} kWh",
    ]


async def test_pandas_reads_a_month_in_each_format(api: Api, tmp_path: Path) -> None:
    csv, ndjson, parquet = (await said(api, tmp_path, "python", "pandas_frames.py")).splitlines()
    exact = await energy(api, **SEPTEMBER)
    days = await api.records("getAggregate", interval="day", columns="energy", **SEPTEMBER)
    most, date = max((Decimal(str(day["energy"])), str(day["date"])[:10]) for day in days)
    assert csv == f"CSV: 2880 readings, most on {date} {most:.3f} kWh"
    assert ndjson == f"NDJSON: 2880 readings of 2880 {Decimal(exact):.3f} kWh"
    assert parquet == f"Parquet: 2880 readings, {exact} kWh"


async def test_duckdb_adds_up_the_months_as_the_service_does(api: Api, tmp_path: Path) -> None:
    *lines, doubtful = (await said(api, tmp_path, "python", "duckdb_query.py")).splitlines()
    months = await api.records("getAggregate", interval="month", columns="energy,maximeter")
    assert lines == [
        f"{str(month['date'])[:7]} {month['energy']} kWh, {month['maximeter']} kW"
        for month in months
    ]
    (summary,) = await api.records("getSummary")
    assert doubtful == f"implausible: {summary['flag_implausible']}"


async def test_node_streams_all_readings(api: Api, tmp_path: Path) -> None:
    count, kwh = re.findall(r"[\d.]+", await said(api, tmp_path, "node", "stream.mjs"))
    (summary,) = await api.records("getSummary")
    assert (count, Decimal(kwh)) == (summary["readings"], Decimal(str(summary["energy"])))


async def test_frames_of_v1_have_the_energy_of_the_month(api: Api, tmp_path: Path) -> None:
    days, sql, pages = (await said(api, tmp_path, "python", "v1_frames.py")).splitlines()
    exact = await energy(api, **SEPTEMBER)
    records = await api.records("getAggregate", interval="day", columns="energy", **SEPTEMBER)
    most, date = max((Decimal(str(day["energy"])), str(day["date"])[:10]) for day in records)
    assert days == f"pandas: 30 days, most on {date} {most:.3f} kWh"
    assert sql == f"DuckDB: main 2880 readings, {exact} kWh"
    assert pages == f"JSON: 3 pages, {exact} kWh"


async def test_node_lists_the_meters_of_v1(api: Api, tmp_path: Path) -> None:
    place, count, summary = (await said(api, tmp_path, "node", "v1_meters.mjs")).splitlines()
    ids = [meter["id"] async for page in api.pages("/v1/meters") for meter in page["data"]]
    assert place == f"main is meter {ids.index('main') + 1}"
    assert count == f"{len(ids)} meters"
    week = {"date": "2019-09-02", "end_date": "2019-09-09", "end": "exclusive"}
    assert summary == f"{Decimal(await energy(api, **week)).normalize()} kWh, coverage 1"


async def test_web_query_of_a_spreadsheet_gives_the_columns_that_it_types(api: Api) -> None:
    """Excel is not installed here: what it would ask is asked of the service."""
    script = (EXAMPLES / "power_query.pq").read_text()
    (path,) = re.findall(r'RelativePath = "v1/(.+?)" & Meter & "(.+?)"', script)
    (query,) = re.findall(r"Query = \[(.+?)\]", script)
    params = dict(re.findall(r'(\w+) = "(.+?)"', query))
    async with await api.v1("main".join(path), params) as answer:
        assert answer.status == 200
        header, first, *_ = (await answer.text()).splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    typed = dict(re.findall(r'\{"(\w+)", (.+?)\}', script))
    assert typed.keys() <= row.keys()
    for name, kind in typed.items():
        if "datetimezone" in kind:
            assert datetime.fromisoformat(row[name]).tzinfo
        else:
            assert Decimal(row[name]) >= 0


async def told(api: Api, path: str, params: dict[str, str]) -> Document:
    status, body = await api.get(path.removeprefix("/apielec/"), params)
    assert status == 200, body
    values: Document = body["values"]
    return values


async def test_queries_of_the_grafana_dashboard_give_the_columns_that_it_draws(api: Api) -> None:
    """Grafana is not installed here: what it would ask is asked of the service."""
    dashboard = json.loads((EXAMPLES / "grafana" / "dashboards" / "elecdata.json").read_text())
    filled_in = {
        f"${{__{bound}:date:YYYY-MM-DD}}": dashboard["time"][bound][:10] for bound in ("from", "to")
    }
    (variable,) = dashboard["templating"]["list"]
    assert variable["datasource"] == SOURCE
    query = variable["query"]["infinityQuery"]
    params = {each["key"]: each["value"] for each in query["url_options"]["params"]}
    meter, *_ = (await told(api, query["url"], params))["records"]
    filled_in[f"${{{variable['name']}}}"] = meter[query["columns"][0]["selector"]]
    for panel in dashboard["panels"]:
        (target,) = panel["targets"]
        assert target["datasource"] == panel["datasource"] == SOURCE
        params = {each["key"]: each["value"] for each in target["url_options"]["params"]}
        for shown, text in filled_in.items():
            params = {name: value.replace(shown, text) for name, value in params.items()}
        assert params["meter"] == "main"
        values = await told(api, target["url"], params)
        assert target["root_selector"] == "values.records"
        assert len(values["records"]) == {"day": 30, "hour": 720}.get(params.get("interval", ""), 1)
        for column in target["columns"]:
            found = [record[column["selector"]] for record in values["records"]]
            assert {type(value) for value in found} - {type(None)} <= KINDS[column["type"]]
            assert found[0] is not None


async def test_grafana_with_an_api_key_gets_from_v1_what_its_dashboard_draws(
    serve: Serve, alone: DatabaseFixture
) -> None:
    """What it would ask is asked with a key, and with instants as Grafana writes them."""
    dashboard = json.loads((EXAMPLES / "grafana" / "dashboards" / "elecdata_v1.json").read_text())
    api = await serve(alone)
    api.token = await add_key(alone, "rick", "dashboard")
    (variable,) = dashboard["templating"]["list"]
    bounds = {}
    for name in ("from", "to"):
        instant = datetime.fromisoformat(dashboard["time"][name]).astimezone(UTC)
        bounds[f"${{__{name}:date:iso}}"] = f"{instant:%Y-%m-%dT%H:%M:%S}.000Z"

    async def shown(query: Document, meter: str) -> list[Document]:
        """The rows that a query gives."""
        assert query["root_selector"] == "data"
        params = {each["key"]: each["value"] for each in query["url_options"]["params"]}
        params = {name: bounds.get(value, value) for name, value in params.items()}
        path = query["url"].removeprefix("/v1/").replace(f"${{{variable['name']}}}", meter)
        data = (await api.document(path, **params))["data"]
        return data if isinstance(data, list) else [data]

    assert variable["datasource"] == V1_SOURCE
    query = variable["query"]["infinityQuery"]
    ((meter,),) = [
        [each[column["selector"]] for column in query["columns"]] for each in await shown(query, "")
    ]
    for panel in dashboard["panels"]:
        (target,) = panel["targets"]
        assert target["datasource"] == panel["datasource"] == V1_SOURCE
        records = await shown(target, meter)
        count = {"readings": 2880, "aggregates": 30}.get(target["url"].rpartition("/")[2], 1)
        assert len(records) == count
        for column in target["columns"]:
            found = [record[column["selector"]] for record in records]
            assert {type(value) for value in found} - {type(None)} == V1_KINDS[column["type"]]


def test_grafana_finds_the_sources_and_the_folder_of_their_dashboards() -> None:
    folder = EXAMPLES / "grafana" / "provisioning"
    (source,), (v1_source,) = (
        yaml.safe_load((folder / "datasources" / name).read_text())["datasources"]
        for name in ("elecdata.yaml", "elecdata_v1.yaml")
    )
    assert {name: source[name] for name in SOURCE} == SOURCE
    assert source["jsonData"]["httpHeaderName1"] == "SESSION"
    assert source["secureJsonData"] == {"httpHeaderValue1": "$API_TOKEN"}
    assert {name: v1_source[name] for name in V1_SOURCE} == V1_SOURCE
    assert v1_source["jsonData"]["auth_method"] == "bearerToken"
    assert v1_source["secureJsonData"] == {"bearerToken": "$API_KEY"}
    (provider,) = yaml.safe_load((folder / "dashboards" / "elecdata.yaml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


class Secrets(yaml.SafeLoader):
    """YAML as Home Assistant has it."""


Secrets.add_constructor(
    "!secret", lambda _, node: {"elecdata_user": "rick"}.get(node.value, "morty")
)


async def test_sensors_of_home_assistant_show_the_newest_reading_and_its_day(api: Api) -> None:
    """It is not installed here: its templates are filled in on the sample's last day."""
    file = (EXAMPLES / "home_assistant.yaml").read_text()
    loaded = yaml.load(file, Loader=Secrets)  # noqa: S506 - a safe loader, with one more word
    login, *asked = loaded["rest"]
    status, body = await api.login(login["username"], login["password"])
    assert status == 200
    attributes = {name: body[name] for name in login["sensor"][0]["json_attributes"]}
    known: dict[str, Any] = {
        "now": lambda: datetime(2019, 11, 30, 23, 50),  # noqa: DTZ001 - local time, as it has it
        "state_attr": lambda _, name: attributes[name],
    }

    def filled(template: object, **more: object) -> str:
        text: str = jinja2.Template(str(template)).render(**known, **more)
        return text

    shown = {}
    for resource in asked:
        assert {name: filled(text) for name, text in resource["headers"].items()} == {
            "SESSION": attributes["value_token"]
        }
        path = resource["resource"].removeprefix("http://127.0.0.1:5000")
        params = {name: filled(text) for name, text in resource["params"].items()}
        values = {"values": await told(api, path, params)}
        for sensor in resource["sensor"]:
            shown[sensor["name"]] = filled(sensor["value_template"], value_json=values)

    (last,) = await api.records("getData", order="desc", limit="1", time="offset")
    assert shown["Last reading"] == last["date"]
    assert Decimal(shown["Power"]) == Decimal(str(last["power"]))
    day = await energy(api, date="2019-11-30", end_date="2019-12-01", end="exclusive")
    assert Decimal(shown["Energy today"]) == Decimal(day)
