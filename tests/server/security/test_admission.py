"""Figures under way at a time: of each user, in all, and by the readings that they scan."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from server.observability.metrics import snapshot
from server.security.rate_limits import FIGURE_LIMITER
from tests.support.app_client import Api, Document, Serve
from tests.support.databases import DatabaseFixture
from tests.support.slow_client import limited

pytestmark = pytest.mark.promise("Getting in")

NONE: Mapping[str, str] = {}
FORCED = {"Cache-Control": "no-cache"}
READINGS = 11716

ONE = ("getAggregate", {"interval": "hour"})
ANOTHER = ("getAggregate", {"interval": "15m"})


@asynccontextmanager
async def under_way(
    api: Api, number: int = 1, headers: Mapping[str, str] = NONE
) -> AsyncIterator[asyncio.Event]:
    """Equal figures whose readings are not found before the event; they must succeed then."""
    go = asyncio.Event()

    async def late(sql: str) -> str:
        if "MIN(id)" in sql:
            await go.wait()
        return sql

    api.engine.step_in = late
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(api.get(*ONE, headers=headers)) for _ in range(number)]
        while not api.app[FIGURE_LIMITER].active:
            await asyncio.sleep(0)
        try:
            yield go
        finally:
            go.set()
    assert {task.result()[0] for task in asked} == {200}
    api.engine.step_in = None
    await settled(api)


async def settled(api: Api) -> None:
    while api.app[FIGURE_LIMITER].active:
        await asyncio.sleep(0)


async def refused(api: Api, headers: Mapping[str, str]) -> tuple[int, Document]:
    """The status and the body of the answer to another figure, which must say when to ask again."""
    async with await api.request(*ANOTHER, headers=headers) as response:
        assert response.headers["Retry-After"] == "5"
        return response.status, await response.json()


@pytest.mark.parametrize("headers", [{}, FORCED], ids=["shared", "forced"])
async def test_figures_of_a_user_at_a_time_are_bounded(
    serve: Serve, sample: DatabaseFixture, headers: dict[str, str]
) -> None:
    api = await serve(sample, **limited(figures_per_user=1))
    async with under_way(api, headers=headers):
        message = "Too many figures at a time, at most 1 a user, try again in 5 s"
        expected = {"message": message, "status": "ERROR", "statusCode": "429"}
        for more in ({}, FORCED):
            assert await refused(api, more) == (429, expected)
        assert len(await api.records("getDataById", id="5,6")) == 2  # which is no figure
        assert (await api.get("ping"))[0] == 200
        told = snapshot(api.app)
        assert told["levels"]["figures_active"] == 1
        assert told["counts"]["figures_refused"] == 2
    for more in ({}, FORCED, FORCED):
        assert (await api.get(*ANOTHER, headers=more))[0] == 200
        await settled(api)


async def test_figures_of_all_users_at_a_time_are_bounded(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, **limited(figures=1))
    async with under_way(api):
        message = "Too many figures at a time, try again in 5 s"
        expected = {"message": message, "status": "ERROR", "statusCode": "503"}
        assert await refused(api, {}) == (503, expected)
    assert (await api.get(*ANOTHER))[0] == 200


async def test_equal_figures_at_a_time_are_one(serve: Serve, sample: DatabaseFixture) -> None:
    api = await serve(sample, **limited(figures_per_user=1))
    async with under_way(api, 20):
        await api.followed(20)


async def test_client_that_leaves_takes_its_figure_along(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, **limited(figures_per_user=1))

    async def never(sql: str) -> str:
        return await asyncio.sleep(3600, "") if "MIN(utc)" in sql else sql

    for headers in ((), ("Cache-Control: no-cache",)):
        api.engine.step_in = never
        _, writer = await api.raw(api.head("getSummary", "1.1", *headers))
        while not api.app[FIGURE_LIMITER].active:
            await asyncio.sleep(0)
        writer.close()
        await settled(api)
        api.engine.step_in = None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.security.rate_limits._MAX_WAIT", 0.01)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("most", "status"), [(2 * READINGS - 1, 429), (4 * READINGS - 1, 429), (4 * READINGS, 200)]
)
async def test_figures_at_a_time_are_bounded_by_the_readings_that_they_scan(
    serve: Serve, sample: DatabaseFixture, most: int, status: int
) -> None:
    """A user may have half of them, and any number for one figure alone."""
    api = await serve(sample, **limited(figure_readings=most))
    async with under_way(api) as go:
        while not api.app[FIGURE_LIMITER]._readings:
            await asyncio.sleep(0)
        if status == 200:
            go.set()
        assert (await api.get(*ANOTHER))[0] == status
        assert (await api.get("getMeter"))[0] == 200  # which scans none
        assert (await api.get("getAggregate", {"interval": "day"}))[0] == 200  # from kept days
    assert not api.app[FIGURE_LIMITER]._readings
    assert (await api.get(*ANOTHER))[0] == 200


async def test_figure_waits_for_others_that_scan_as_many_readings_as_may_be(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, **limited(figure_readings=READINGS))
    async with under_way(api) as go:
        while not api.app[FIGURE_LIMITER]._readings:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(api.get(*ANOTHER))
        while api.app[FIGURE_LIMITER].active < 2:
            await asyncio.sleep(0)
        go.set()
        assert (await waiting)[0] == 200
