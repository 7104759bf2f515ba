"""/metrics: what Prometheus is told, of all workers, and who may read it."""

import asyncio
import json
import os
import re
import signal
from datetime import datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server import VERSION
from server.context import DATABASE
from server.observability.counters import BUCKETS, Histogram
from server.observability.metrics import snapshot
from server.observability.worker_snapshots import WorkerSnapshots, merge_snapshots
from server.security.signing_keys import SigningKeys, SigningPeriod
from server.security.tokens import TOKENS
from storage.common.errors import Unreachable
from tests.server.process.test_server_command import Server, children
from tests.support.app_client import Api, Serve, about_readings, token
from tests.support.databases import DatabaseFixture
from tests.support.paths import ROOT
from tests.support.report_factory import MADRID, numbered, quarters, report

pytestmark = pytest.mark.promise("Seeing")

Sample = tuple[str, tuple[tuple[str, str], ...]]


def parsed(text: str) -> dict[Sample, float]:
    """Every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(api: Api) -> dict[Sample, float]:
    async with await api.client.get("/metrics") as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        return parsed(await response.text())


def of(route: str, status: int, method: str = "GET") -> tuple[tuple[str, str], ...]:
    return (("method", method), ("route", route), ("status", str(status)))


async def test_requests_and_bytes_are_counted_by_route_and_status(api: Api) -> None:
    sizes = []
    for path in ("getDataById?id=5", "getDataById?id=100", "getDataById?id=five"):
        async with await api.request(path) as response:
            sizes.append(len(await response.read()))
    for path in ("/one/of/many", "/another"):
        async with await api.client.get(path):
            pass
    found = await scraped(api)
    route = "/apielec/getDataById"
    assert found["elecdata_requests_total", of(route, 200)] == 2
    assert found["elecdata_requests_total", of(route, 400)] == 1
    assert found["elecdata_requests_total", of("", 404, "")] == 2
    assert sizes[2] < found["elecdata_sent_bytes_total", of(route, 400)] < sizes[2] + 500
    for histogram in ("first_byte", "request"):
        name, label = f"elecdata_{histogram}_seconds", ("route", route)
        assert found[f"{name}_count", (label,)] == 3
        assert 0 < found[f"{name}_sum", (label,)] < 60
        assert found[f"{name}_bucket", (("le", "+Inf"), label)] == 3


async def test_request_that_is_no_http_is_counted_and_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    reader, writer = await api.raw(b"nonsense\r\n\r\n")
    await reader.read()
    writer.close()
    assert (await scraped(api))["elecdata_requests_total", of("", 400, "")] == 1
    lines = [record.getMessage() for record in caplog.records if record.name == "access"]
    assert lines[0].endswith(" ms user=- from=127.0.0.1 id=-")


async def test_streams_are_counted_by_their_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def total(name: str) -> float:
        return (await scraped(api))[f"elecdata_streams_{name}", ()]

    fresh = {"Cache-Control": "no-cache"}
    async with await api.request("getData", headers=fresh) as response:
        await response.read()
    assert await total("begun_total") == await total("complete_total") == 1

    async def hold(statement: str) -> str:
        """Lets one page through."""
        if "FROM pages" in statement:
            pages.append(statement)
            if len(pages) > 1:
                await asyncio.Event().wait()
        return statement

    pages: list[str] = []
    monkeypatch.setattr(api.engine, "step_in", hold)
    reader, writer = await api.raw(api.head("getData", "1.1", "Cache-Control: no-cache"))
    await reader.readexactly(15)
    assert await total("active") == 1
    writer.transport.abort()
    while await total("active"):
        pass
    assert await total("left_total") == 1
    assert await total("begun_total") == 2


async def test_stream_that_fails_is_counted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = []

    async def fail(statement: str) -> str:
        if about_readings(statement):
            pages.append(statement)
        return "SELECT no_such_column FROM readings" if len(pages) > 2 else statement

    monkeypatch.setattr(api.engine, "step_in", fail)
    reader, writer = await api.raw(api.head("getData", "1.1", "Cache-Control: no-cache"))
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    found = await scraped(api)
    assert found["elecdata_streams_failed_total", ()] == 1
    assert found["elecdata_streams_active", ()] == 0


async def test_cache_is_counted(api: Api) -> None:
    for _ in range(3):
        await api.get("getDataById?id=5")
        await api.settled()
    found = await scraped(api)
    assert found["elecdata_cache_misses_total", ()] == 1
    assert found["elecdata_cache_hits_total", ()] == 2
    assert found["elecdata_cache_bytes", ()] > 100


async def test_connections_in_use_and_statements_that_wait_are_shown(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, ELECDATA_DATABASE__CONNECTIONS="2")
    load = api.app[DATABASE].load
    found = await scraped(api)
    assert found["elecdata_pool_connections", ()] == 2
    assert found["elecdata_pool_busy", ()] == 0
    assert found["elecdata_database_statements_total", ()] > 1
    await api.get("getDataByDate?date=2019-09-11%25")
    assert (await scraped(api))["elecdata_database_seconds_total", ()] > 0
    begun = [load.begin() for _ in range(3)]
    own = snapshot(api.app)["levels"]
    assert (own["pool_busy"], own["pool_waiting"]) == (2, 1)
    for began in begun:
        load.end(began)


async def test_clients_that_are_connected_and_refused_are_counted(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, ELECDATA_LIMITS__CONNECTIONS="3")
    connected = [await api.raw(b"") for _ in range(2)]
    found = await scraped(api)
    assert found["elecdata_connections_open", ()] == 3
    reader, refused = await api.raw(b"")
    assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
    assert (await scraped(api))["elecdata_connections_refused_total", ()] == 1
    for _, writer in (*connected, (reader, refused)):
        writer.close()


async def test_refused_logins_are_counted(api: Api) -> None:
    await api.login("rick", "wrong")
    await api.login("nobody", "wrong")
    await api.login("rick", "morty")
    assert (await scraped(api))["elecdata_logins_refused_total", ()] == 2


async def test_version_and_newest_reading_are_shown(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 5))))
    api = await serve(database, ELECDATA_METER__TIMEZONE="America/New_York")
    ((version,),) = await database.rows("SELECT version FROM imports")
    found = await scraped(api)
    (labels,) = (labels for name, labels in found if name == "elecdata_data_info")
    # With SQLite, the file of the database is part of it.
    assert dict(labels)["version"].partition("-")[0] == version
    assert found["elecdata_newest_reading_timestamp_seconds", ()] == 1564614000
    assert found["elecdata_database_up", ()] == 1


async def test_meters_are_counted_and_the_newest_reading_is_that_of_all(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 5))))
    await database.load(report(*numbered(quarters("2019-08-02", 5))), meter="b", register=True)
    found = await scraped(await serve(database))
    assert found["elecdata_meters", ()] == 2
    assert found["elecdata_newest_reading_timestamp_seconds", ()] == 1564614000 + 86400
    ((finished,),) = database.run("SELECT MAX(finished) FROM imports")
    imported = datetime.fromisoformat(f"{finished}+00:00").timestamp()
    assert found["elecdata_newest_import_timestamp_seconds", ()] == imported
    assert not any(name == "elecdata_data_info" for name, _ in found)
    database.run("DELETE FROM readings WHERE meter_id = 2")
    found = await scraped(await serve(database, ELECDATA_METER__DEFAULT="main"))
    assert found["elecdata_newest_reading_timestamp_seconds", ()] == 1564614000
    assert any(name == "elecdata_data_info" for name, _ in found)


async def test_meters_without_recent_readings_are_counted_by_age(
    serve: Serve, database: DatabaseFixture
) -> None:
    for meter, days in (("a", 1), ("b", 5), ("c", 30)):
        begin = datetime.now(MADRID) - timedelta(days=days)
        moments = quarters(f"{begin:%Y-%m-%d %H}:00", 1)
        await database.load(report(*numbered(moments)), meter=meter, register=True)
    found = await scraped(await serve(database))
    stale = {days: found["elecdata_meters_stale", (("days", days),)] for days in ("2", "7", "40")}
    assert stale == {"2": 2, "7": 1, "40": 0}


async def test_end_of_the_last_signing_key_is_shown(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample)
    ends = "elecdata_signing_ends_timestamp_seconds", ()
    assert (await scraped(api))[ends] == float("inf")
    periods = {"a": SigningPeriod(0, 4e9), "b": SigningPeriod(4e9, 5e9)}
    api.app[TOKENS].use(SigningKeys(dict.fromkeys(periods, "s" * 40), "a", None, periods))
    assert (await scraped(api))[ends] == 5e9


async def test_database_that_is_gone_does_not_end_the_metrics(
    serve: Serve, database: DatabaseFixture
) -> None:
    found = await scraped(await serve(database))
    assert found["elecdata_database_up", ()] == 0
    assert not any(name == "elecdata_data_info" for name, _ in found)


async def test_build_is_named(api: Api) -> None:
    (labels,) = [key[1] for key in await scraped(api) if key[0] == "elecdata_build_info"]
    assert dict(labels)["version"] == VERSION
    pyproject = ROOT.joinpath("pyproject.toml").read_text()
    assert f'version = "{VERSION}"' in pyproject


async def test_openmetrics_is_given_to_those_who_ask_for_it(api: Api) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with await api.client.get("/metrics", headers=accept) as response:
        assert response.content_type == "application/openmetrics-text"
        assert (await response.text()).endswith("# EOF\n")


# Who may read them


@pytest.mark.parametrize("networks", ["10.0.0.0/8", "::1", ""])
async def test_others_are_refused(serve: Serve, sample: DatabaseFixture, networks: str) -> None:
    api = await serve(sample, ELECDATA_SERVER__METRICS_FROM=networks)
    async with await api.client.get("/metrics") as response:
        assert response.status == 403
        assert response.content_type == "application/problem+json"
        body = await response.json()
        assert body["detail"] == (
            "Metrics are for the networks of server.metrics_from, and for admins"
        )


async def test_admin_may_read_them_from_anywhere_and_a_reader_may_not(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 4))))
    await database.admit("rick")
    api = await serve(database, ELECDATA_SERVER__METRICS_FROM="10.0.0.0/8")

    async def status(token: str) -> int:
        async with await api.client.get("/metrics", headers={"SESSION": token}) as response:
            return response.status

    assert await status(api.token) == 403
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        assert await writer.users.set_role("rick", "admin")
    assert await status(api.token) == 200
    assert await status("forged") == 403

    async def fail(_: str) -> str:
        raise Unreachable("gone")

    api.engine.step_in = fail
    assert await status(api.token) == 503
    api.engine.step_in = None
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        assert await writer.users.set_role("rick", "read")
    assert await status(api.token) == 403
    async with database.writer() as writer:
        assert await writer.engine.is_prepared()
        assert await writer.users.set_role("rick", "admin")
    async with await api.client.post("/logout", headers={"SESSION": api.token}) as response:
        assert response.status == 200
    assert await status(api.token) == 403


async def test_client_of_a_configured_proxy_is_who_counts(
    serve: Serve, sample: DatabaseFixture
) -> None:
    environ = {"ELECDATA_SERVER__PROXIES": "127.0.0.1"}
    api = await serve(sample, **environ, ELECDATA_SERVER__METRICS_FROM="192.0.2.7")
    for client, status in (("192.0.2.7", 200), ("192.0.2.8", 403)):
        headers = {"X-Forwarded-For": client}
        async with await api.client.get("/metrics", headers=headers) as response:
            assert response.status == status


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-For": ""}, {"X-Forwarded-For": "::1"}])
async def test_proxy_that_does_not_say_for_whom_it_asks_is_refused(
    serve: Serve, sample: DatabaseFixture, headers: dict[str, str]
) -> None:
    """Nor is one that says it asks for another proxy."""
    api = await serve(sample, ELECDATA_SERVER__PROXIES="127.0.0.1,::1")
    async with await api.client.get("/metrics", headers=headers) as response:
        assert response.status == 403


async def test_nobody_comes_in_through_a_proxy_that_nobody_configured(api: Api) -> None:
    """Such a proxy on this machine would make the whole world look like this machine."""
    async with await api.client.get("/metrics", headers={"X-Forwarded-For": "1.2.3.4"}) as response:
        assert response.status == 403


# Several workers


def test_any_worker_tells_of_all_and_of_those_that_are_gone(sample: DatabaseFixture) -> None:
    """Counts never fall, whichever worker answers, and whether or not one was replaced."""
    with Server(sample.config, ELECDATA_SERVER__WORKERS="2") as running:
        port = running.port()
        running.wait_for_line("listening")

        def get(path: str) -> str:
            # A connection of its own each time, so that the workers take turns.
            url = f"http://127.0.0.1:{port}{path}"
            with urlopen(Request(url, headers={"SESSION": token()})) as response:
                text: str = response.read().decode()
                return text

        def pings() -> float:
            return parsed(get("/metrics"))["elecdata_requests_total", of("/apielec/ping", 200)]

        for _ in range(40):
            get("/apielec/ping")
        while pings() < 40:
            pass
        assert {pings() for _ in range(20)} == {40}
        while parsed(get("/metrics"))["elecdata_workers", ()] < 2:
            pass
        os.kill(children(running.process)[0], signal.SIGKILL)
        running.wait_for_line("is replaced")
        assert {pings() for _ in range(20)} == {40}
        assert running.stop() == 0


async def test_snapshots_are_written_in_order_however_many_come_at_once(tmp_path: Path) -> None:
    exchange = WorkerSnapshots(tmp_path)
    snapshots = [{"routes": {}, "counts": {"c": number}, "levels": {}} for number in range(100)]
    await asyncio.gather(*map(exchange.publish, snapshots))
    assert await asyncio.to_thread(exchange.collect) == snapshots[-1:]
    await exchange.close()


def test_worker_that_ends_leaves_its_counts_and_no_levels(tmp_path: Path) -> None:
    exchange = WorkerSnapshots(tmp_path)
    own = {"routes": {"a": [1, [0.5, [1, 0]]]}, "counts": {"c": 2}, "levels": {"workers": 1}}
    for name in (7, 8, 9):
        (tmp_path / f"{name}.json").write_text(json.dumps(own))
    for worker in (7, 8, 10):
        exchange.merge_ended(worker)
    assert merge_snapshots(exchange.collect()) == {
        "routes": {"a": [3, [1.5, [3, 0]]]},
        "counts": {"c": 6},
        "levels": {"workers": 1},
    }


def test_bucket_holds_what_is_not_above_its_bound() -> None:
    times = Histogram()
    for seconds in (0.0005, 0.001, 0.0011, 60, 61):
        times.add(seconds)
    assert times.counts[:2] == [2, 1]
    assert times.counts[-2:] == [1, 1]
    assert len(times.counts) == len(BUCKETS) + 1


# Server-Timing


async def test_answers_say_how_long_they_took(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.middleware.SERVER_TIMING_FROM", 0)
    async with await api.request("getDataByDate?date=2019-09-11%25") as response:
        found = re.fullmatch(
            r"db;dur=(\d+\.\d\d), total;dur=(\d+\.\d\d)", response.headers["Server-Timing"]
        )
        assert found is not None
        assert 0 < float(found[1]) <= float(found[2]) < 60_000
    async with await api.client.get("/health/live") as response:
        assert re.fullmatch(r"total;dur=\d+\.\d\d", response.headers["Server-Timing"])
    monkeypatch.setattr("server.middleware.SERVER_TIMING_FROM", 60)
    async with await api.request("getDataById?id=5") as response:
        assert "Server-Timing" not in response.headers
