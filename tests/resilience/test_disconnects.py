"""A client that leaves frees its connection and its query within a second."""

import asyncio
import gc
import time

import pytest

from tests.server.transport.test_streaming import endless
from tests.support.app_client import Api, Serve, about_readings
from tests.support.databases import DatabaseFixture, MariadbDatabase

pytestmark = pytest.mark.promise("Bad nights", by_test=True)

PLACES = 2
SECONDS = 4.0
"""One, and what a busy machine adds; by itself MariaDB would notice after five."""


@pytest.fixture
async def slow(serve: Serve, sample: DatabaseFixture) -> Api:
    """An application whose readings take forever to be found."""
    # Half of the connections are for small statements.
    connections = str(2 * PLACES)
    api = await serve(sample, ELECDATA_CACHE__TTL="0", ELECDATA_DATABASE__CONNECTIONS=connections)

    async def slowly(sql: str) -> str:
        return endless(sample) if about_readings(sql) else sql

    api.engine.step_in = slowly
    return api


async def queries(database: DatabaseFixture) -> int:
    """How many endless statements the database's server works on."""
    if not isinstance(database, MariadbDatabase):
        return 0  # its statements run in the process, where `busy` counts them
    rows = await database.rows(
        "SELECT COUNT(*) FROM information_schema.processlist"
        f" WHERE user = '{database.reader_user}' AND info LIKE '%SLEEP%'"
    )
    return int(rows[0][0])


async def begun(api: Api, database: DatabaseFixture, number: int) -> None:
    """Returns once so many statements run."""
    while api.engine.load.busy < number or await queries(database) < number * (
        database.kind == "mariadb"
    ):
        await asyncio.sleep(0.01)


async def seconds_until_free(api: Api, database: DatabaseFixture) -> float:
    began = time.monotonic()
    while api.engine.load.busy or await queries(database):
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_all_places_are_free_again_within_a_second(
    slow: Api, sample: DatabaseFixture
) -> None:
    """Also where all connections were taken, so that none is at hand to end a statement."""
    times = []
    for _ in range(3):
        clients = [await slow.raw(slow.head("getDataById?id=5")) for _ in range(PLACES)]
        await begun(slow, sample, PLACES)
        for _, writer in clients:
            writer.close()
        times.append(await seconds_until_free(slow, sample))
    assert max(times) < SECONDS
    assert min(times) < 1
    slow.engine.step_in = None
    assert len(await slow.records("getDataById", id="5")) == 1


async def test_client_that_leaves_is_no_error_in_the_log(
    slow: Api, sample: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """While it is asked for readings, sends a body, or waits for a figure or a login."""
    form = ["Content-Type: application/x-www-form-urlencoded", "Content-Length: 100"]
    post = slow.head("getDataById", "1.1", *form).replace(b"GET", b"POST", 1) + b"id=5"
    login = b"POST /login HTTP/1.1\r\nHost: x\r\nAuthorization: Basic cmljazptb3J0eQ==\r\n\r\n"
    caplog.set_level("WARNING")
    for request, statements in (
        (slow.head("getDataById?id=5"), 1),
        (slow.head("getAggregate?interval=day"), 1),
        (slow.head("getData?format=csv", "1.0"), 1),
        (post, 0),
        (login, 0),
    ):
        for leave in ("close", "abort"):
            _, writer = await slow.raw(request)
            await begun(slow, sample, statements)
            getattr(writer.transport, leave)()
            assert await seconds_until_free(slow, sample) < SECONDS
            gc.collect()  # and with it what nobody has asked for
    assert [record.getMessage() for record in caplog.records if record.levelname != "WARNING"] == []
    assert not [record for record in caplog.records if record.exc_info]


async def test_client_that_leaves_in_mid_stream_ends_its_queries(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, ELECDATA_CACHE__TTL="0")
    pages = 0

    async def stuck(sql: str) -> str:
        nonlocal pages
        pages += about_readings(sql)
        return endless(sample) if pages > 2 else sql

    api.engine.step_in = stuck
    response = await api.request("getData")
    assert response.status == 200
    await response.content.readany()
    await begun(api, sample, 1)
    response.close()
    assert await seconds_until_free(api, sample) < SECONDS


async def test_statement_that_took_too_long_does_not_run_on(
    serve: Serve, sample: DatabaseFixture
) -> None:
    """Here it is the server process that loses patience, before the database does."""
    api = await serve(sample, ELECDATA_DATABASE__STATEMENT_TIMEOUT="0.1")

    async def slowly(sql: str) -> str:
        if sample.kind == "mariadb" and about_readings(sql):
            return "SET STATEMENT max_statement_time = 0 FOR SELECT SLEEP(600)"
        return endless(sample) if about_readings(sql) else sql

    api.engine.step_in = slowly
    with pytest.MonkeyPatch.context() as patch:
        for module in ("connection", "engine"):
            patch.setattr(f"storage.backends.mysql.{module}.CONNECT_TIMEOUT", 0.3)
        status, _ = await api.get("getDataByDate", {"date": "2019-09-11%"})
    assert status == 503
    assert await seconds_until_free(api, sample) < SECONDS
