"""Long answers: complete or visibly cut, and never at the cost of other requests."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing

import pytest
from aiohttp import ClientPayloadError

from server.transport.streaming import STREAM_STATISTICS
from storage.common.errors import Unreachable
from storage.readings.pager import Pager
from tests.support.app_client import Api, Serve, about_readings, make_pages_small
from tests.support.databases import DatabaseFixture
from tests.support.process import TIMEOUT
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Bad nights")

SUMMER = "2019-08-01"
UNCACHED = {"ELECDATA_CACHE__TTL": "0"}
TWO_CONNECTIONS = {**UNCACHED, "ELECDATA_DATABASE__CONNECTIONS": "2"}


async def none_stored(_pager: Pager, _first_id: int) -> None:
    """Stands for a database that keeps no pages."""


def pages_of(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the database format pages of so many readings."""
    for module in ("readings.page_store", "readings.pager", "readings.reader"):
        monkeypatch.setattr(f"storage.{module}.PAGE_READINGS", count)
    monkeypatch.setattr("storage.readings.pager.Pager._stored", none_stored)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    make_pages_small(monkeypatch, 50)


@pytest.fixture
async def uncached(serve: Serve, sample: DatabaseFixture) -> Api:
    return await serve(sample, **UNCACHED)


def fails_at(number: int, error: Exception) -> Callable[[str], Awaitable[str]]:
    """Lets statements run until so many went to the readings."""
    left = number

    async def step_in(sql: str) -> str:
        nonlocal left
        left -= about_readings(sql)
        if left <= 0 and about_readings(sql):
            raise error
        return sql

    return step_in


# Many pages


@pytest.mark.parametrize(
    ("route", "params"),
    [
        ("getData", {}),
        ("getDataById", {"id": ",".join(map(str, range(1, 2000, 3)))}),
        ("getDataByDate", {"date": "2019-09%"}),
        ("getDataByDate", {"date": "%:45:00"}),
        ("getDataByRange", {"date": "2019-10-20", "end_date": "2019-11-20"}),
    ],
)
async def test_answer_of_many_pages_equals_that_of_one(
    uncached: Api, monkeypatch: pytest.MonkeyPatch, route: str, params: dict[str, str]
) -> None:
    bodies = []
    for page in (20000, 97, 1000):
        make_pages_small(monkeypatch, page)
        async with await uncached.request(route, params) as response:
            bodies.append(await response.read())
    assert bodies[0] == bodies[1] == bodies[2]
    values = json.loads(bodies[0])["values"]
    assert values["numrecs"] == len(values["records"]) > 400


async def test_gaps_between_ids_are_passed_over(serve: Serve, database: DatabaseFixture) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 1000))))
    await database.rows("DELETE FROM readings WHERE id % 7 = 0 OR id BETWEEN 200 AND 700")
    await database.rows("DELETE FROM imports")
    api = await serve(database)
    expected = [n for n in range(1, 1001) if n % 7 and not 200 <= n <= 700]
    records = await api.records("getData")
    assert [int(record["id"] or 0) for record in records] == expected
    hours = await api.records("getDataByDate", date="%:00:00")
    assert [int(record["id"] or 0) for record in hours] == [n for n in expected if n % 4 == 1]


# Failures


async def test_failure_before_the_first_page_is_a_clean_error(uncached: Api) -> None:
    uncached.engine.step_in = fails_at(1, Unreachable("the secret database is gone"))
    async with await uncached.request("getData") as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "5"
        assert await response.json() == {
            "message": "The readings cannot be read just now, try again later",
            "status": "ERROR",
            "statusCode": "503",
        }
    uncached.engine.step_in = None
    assert len(await uncached.records("getData")) == 11716


@pytest.mark.parametrize("error", [Unreachable("gone"), RuntimeError("a fault of the code")])
@pytest.mark.parametrize("ttl", ["0", "600"])
async def test_failure_in_mid_stream_cuts_the_answer(
    serve: Serve, sample: DatabaseFixture, error: Exception, ttl: str
) -> None:
    api = await serve(sample, ELECDATA_CACHE__TTL=ttl)
    api.engine.step_in = fails_at(20, error)
    response = await api.request("getData")
    assert response.status == 200
    with pytest.raises(ClientPayloadError):
        await response.read()
    api.engine.step_in = None
    assert len(await api.records("getData")) == 11716


@pytest.mark.parametrize("error", [Unreachable("gone"), RuntimeError("a fault of the code")])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_cut_answer_neither_ends_well_nor_holds_a_second_head(
    uncached: Api, version: str, error: Exception
) -> None:
    """An HTTP/1.0 client takes the end of the connection for that of the body, unless it breaks."""
    uncached.engine.step_in = fails_at(20, error)
    reader, writer = await uncached.raw(uncached.head("getData", version))
    received = b""
    broken = False
    try:
        while part := await reader.read(65536):
            received += part
    except ConnectionResetError:
        broken = True
    writer.close()
    assert received.count(b"HTTP/1.") <= 1
    assert not received.endswith(b"0\r\n\r\n")
    assert broken


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_answer_that_a_stopping_server_gives_up_is_cut(uncached: Api, version: str) -> None:
    stuck = asyncio.Event()

    async def step_in(sql: str) -> str:
        if uncached.engine.readings_asked == 20:
            stuck.set()
            await asyncio.Event().wait()
        return sql

    uncached.engine.step_in = step_in
    reader, writer = await uncached.raw(uncached.head("getData", version))
    with closing(writer):
        async with asyncio.timeout(10):
            await stuck.wait()
            await uncached.client.server.handler.shutdown(0.01)
            with pytest.raises(ConnectionResetError):
                await reader.read()
    assert uncached.app[STREAM_STATISTICS].left == 1


async def test_reading_that_vanishes_in_mid_stream_cuts_the_answer(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 1000))))
    api = await serve(database)

    async def vanish(sql: str) -> str:
        if api.engine.readings_asked == 5:
            await database.rows("DELETE FROM readings WHERE id > 900")
        return sql

    api.engine.step_in = vanish
    response = await api.request("getData")
    with pytest.raises(ClientPayloadError):
        await response.read()
    api.engine.step_in = None
    assert len(await api.records("getData")) == 900


async def test_answers_during_imports_are_whole_or_cut(
    serve: Serve, database: DatabaseFixture
) -> None:
    moments = quarters("2019-08-01", 1600)
    await database.load(report(*numbered(moments[:400])))
    api = await serve(database)
    importing = True

    async def stream() -> list[int]:
        counts = []
        while importing:
            try:
                counts.append(len(await api.records("getData")))
                counts.append(len(await api.records("getDataByDate", date="2019%")))
            except ClientPayloadError:
                counts.append(-1)
        return counts

    streams = [asyncio.create_task(stream()) for _ in range(3)]
    for end in range(600, 1601, 200):
        await database.load(report(*numbered(moments[:end], first=end)), allow_corrections=True)
    importing = False
    counts = {count for stream_counts in await asyncio.gather(*streams) for count in stream_counts}
    assert counts <= {-1, *range(400, 1601, 200)}
    assert len(await api.records("getData")) == 1600


# Clients that leave or stall


async def test_leaving_clients_free_their_connections(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, **TWO_CONNECTIONS)
    for _ in range(8):
        response = await api.request("getData")
        await response.content.readany()
        response.close()
    assert len(await api.records("getDataById", id="5")) == 1


async def test_client_that_leaves_during_a_statement_ends_it(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, **TWO_CONNECTIONS)
    started = asyncio.Event()

    async def slow(sql: str) -> str:
        if not about_readings(sql):
            return sql
        started.set()
        return endless(sample)

    api.engine.step_in = slow
    for _ in range(4):
        started.clear()
        _, writer = await api.raw(api.head("getDataById?id=5"))
        await started.wait()
        writer.close()
    api.engine.step_in = None
    assert len(await api.records("getDataById", id="5")) == 1


async def test_client_that_reads_nothing_holds_no_connection(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, **TWO_CONNECTIONS)
    loop = asyncio.get_running_loop()
    with ExitStack() as stalled:
        for _ in range(4):
            client = stalled.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", api.port))
            await loop.sock_sendall(client, api.head("getData"))
            await loop.sock_recv(client, 100)
        asked = 0
        async with asyncio.timeout(TIMEOUT):
            # until no stalled answer asks for more, nor is one being asked for
            while asked != api.engine.readings_asked or api.engine.running:
                asked = api.engine.readings_asked + 2
                assert len(await api.records("getDataByDate", date="2019-08-01 01:00:00%")) == 1


async def test_slow_statement_is_ended_in_time(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, **TWO_CONNECTIONS, ELECDATA_DATABASE__STATEMENT_TIMEOUT="0.05")

    async def slow(sql: str) -> str:
        return endless(sample) if about_readings(sql) else sql

    api.engine.step_in = slow
    for _ in range(3):
        status, body = await api.get("getDataById", {"id": "5"})
        assert status == 503
        assert body["statusCode"] == "503"
    api.engine.step_in = None
    assert len(await api.records("getDataById", id="5")) == 1


def endless(database: DatabaseFixture) -> str:
    """A statement that runs until it is ended."""
    if database.kind == "sqlite":
        numbers = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n)"
        return f"{numbers} SELECT MAX(i) FROM n"
    return "SELECT SLEEP(600)"
