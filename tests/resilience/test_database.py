"""A database that is stopped, killed or frozen: while nobody asks, at login, in mid stream."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Timer

import pytest
from aiohttp import ClientPayloadError

from server.security.audit_trail import AUDIT_TRAIL
from storage.backends.mysql.engine import MysqlEngine
from tests.resilience.readings import READINGS, assert_whole
from tests.support.app_client import Api, Serve, about_readings, make_pages_small
from tests.support.databases import MariadbDatabase
from tests.support.mariadb import MariaDB

pytestmark = pytest.mark.promise("Bad nights", by_test=True)

UNCACHED = {"ELECDATA_CACHE__TTL": "0"}
PATIENCE = 0.3
"""Seconds that connections and, once more, statements have while something is wrong."""

LONGEST = 60.0
"""Seconds until all is over, on a machine that is busy.

A statement that has begun before the server lost its patience may take half of it.
"""

Fault = Callable[[MariaDB], None]


def stopped(server: MariaDB) -> None:
    server.stop()


def killed(server: MariaDB) -> None:
    server.kill()


def frozen(server: MariaDB) -> None:
    server.freeze()


def recover(server: MariaDB) -> None:
    """Whatever befell it, the server runs again."""
    if server.is_running:
        server.thaw()
    else:
        server.start()


@pytest.fixture(params=[stopped, killed, frozen])
def fault(request: pytest.FixtureRequest) -> Fault:
    befalls: Fault = request.param
    return befalls


@pytest.fixture
async def api(serve: Serve, night: MariadbDatabase, monkeypatch: pytest.MonkeyPatch) -> Api:
    """An application whose pages are small."""
    make_pages_small(monkeypatch, 50)
    return await serve(night, **UNCACHED)


@contextmanager
def impatient(api: Api) -> Iterator[None]:
    """Lets an application lose patience soon, which a busy machine would not forgive for long."""
    engine = api.engine.engine
    assert isinstance(engine, MysqlEngine)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("connection", "engine"):
            patch.setattr(f"storage.backends.mysql.{module}.CONNECT_TIMEOUT", PATIENCE)
        patch.setattr(engine, "_statement_timeout", PATIENCE)
        patch.setattr(engine._pool, "_timeout", 2 * PATIENCE)
        yield


def once(
    server: MariaDB, fault: Callable[[MariaDB], None], when: Callable[[str], bool]
) -> Callable[[str], Awaitable[str]]:
    """Lets a fault befall the server right before a statement."""
    befallen = False

    async def step_in(sql: str) -> str:
        nonlocal befallen
        if not befallen and when(sql):
            befallen = True
            await asyncio.to_thread(fault, server)
        return sql

    return step_in


def in_mid_stream() -> Callable[[str], bool]:
    """When some pages were asked for, and more are to come."""
    pages = 0

    def is_now(sql: str) -> bool:
        nonlocal pages
        pages += about_readings(sql)
        return pages > 5

    return is_now


async def assert_well(api: Api) -> None:
    """Everything is answered, at once, and nothing is held any more."""
    async with asyncio.timeout(LONGEST):
        assert_whole(await api.records("getData"))
        assert (await api.login("rick", "rick"))[0] == 200
        async with await api.client.get("/health/ready") as response:
            assert response.status == 200
        while api.app[AUDIT_TRAIL].waiting:
            await asyncio.sleep(0)
    assert api.engine.running == 0
    assert api.engine.load.busy == 0


async def test_every_question_is_refused_in_time_and_then_answered_again(
    api: Api, night: MariadbDatabase, fault: Fault
) -> None:
    await assert_well(api)
    await asyncio.to_thread(fault, night.server)
    with impatient(api):
        async with asyncio.timeout(LONGEST):
            answers = await asyncio.gather(
                *(api.get("getData") for _ in range(20)),
                api.get("getDataById", {"id": "5"}),
                api.login("rick", "rick"),
            )
            async with await api.client.get("/health/ready") as response:
                assert response.status == 503
            async with await api.client.get("/health/live") as response:
                assert response.status == 200
    assert {status for status, _ in answers} == {503}
    await asyncio.to_thread(recover, night.server)
    await assert_well(api)


async def test_login_is_put_off_and_not_counted_as_failed(
    api: Api, night: MariadbDatabase, fault: Fault
) -> None:
    for _ in range(2):
        api.engine.step_in = once(night.server, fault, lambda sql: "FROM users" in sql)
        with impatient(api):
            async with asyncio.timeout(LONGEST):
                status, body = await api.login("rick", "rick")
        assert status == 503
        assert "try again later" in body["message"]
        await asyncio.to_thread(recover, night.server)
    api.engine.step_in = None
    await assert_well(api)


async def test_answer_under_way_is_cut_off_and_the_next_one_is_whole(
    api: Api, night: MariadbDatabase, fault: Fault
) -> None:
    has_befallen = Event()
    with ExitStack() as stack:

        def befalls(server: MariaDB) -> None:
            # First, since the next page may be asked for while the fault befalls the server.
            stack.enter_context(impatient(api))
            fault(server)
            has_befallen.set()

        api.engine.step_in = once(night.server, befalls, in_mid_stream())
        async with asyncio.timeout(LONGEST):
            response = await api.request("getData")
            assert response.status == 200
            with pytest.raises(ClientPayloadError):
                await response.read()
    api.engine.step_in = None
    assert await asyncio.to_thread(has_befallen.wait, LONGEST)
    await asyncio.to_thread(recover, night.server)
    await assert_well(api)


async def test_answer_outlasts_a_short_frost(api: Api, night: MariadbDatabase) -> None:
    def short(server: MariaDB) -> None:
        server.freeze()
        Timer(PATIENCE / 3, server.thaw).start()

    api.engine.step_in = once(night.server, short, in_mid_stream())
    assert_whole(await api.records("getData"))


async def test_connections_cut_while_idle_are_not_noticed(api: Api, night: MariadbDatabase) -> None:
    await asyncio.gather(*(api.records("getData") for _ in range(8)))
    await cut_connections(night)
    for _ in range(8):
        assert_whole(await api.records("getData"))


async def test_connections_cut_in_mid_stream_leave_answers_whole_cut_off_or_refused(
    api: Api, night: MariadbDatabase
) -> None:
    async def stream() -> int:
        try:
            status, body = await api.get("getData")
        except ClientPayloadError:
            return 0
        if status == 503:
            return 0
        assert_whole(body["values"]["records"])
        return READINGS

    streams = [asyncio.create_task(stream()) for _ in range(12)]
    for _ in range(5):
        while not api.engine.load.busy and not all(each.done() for each in streams):
            await asyncio.sleep(0)
        await cut_connections(night)
    assert set(await asyncio.gather(*streams)) <= {0, READINGS}
    await assert_well(api)


async def test_pool_that_is_used_up_refuses_in_time_and_serves_again(
    serve: Serve, night: MariadbDatabase
) -> None:
    api = await serve(night, **UNCACHED, ELECDATA_DATABASE__CONNECTIONS="2")

    async def busy(sql: str) -> str:
        if "readings WHERE" in sql:
            return "SET STATEMENT max_statement_time = 0 FOR SELECT SLEEP(600)"
        return sql

    api.engine.step_in = busy
    with impatient(api):
        async with asyncio.timeout(LONGEST):
            answers = await asyncio.gather(
                *(api.get("getDataById", {"id": str(n)}) for n in range(1, 30))
            )
    assert {status for status, _ in answers} == {503}
    api.engine.step_in = None
    await assert_well(api)


async def cut_connections(database: MariadbDatabase) -> None:
    """Ends every connection of the server's account, as an operator would."""
    await database.rows(f"KILL USER '{database.reader_user}'")
