"""Whether the service lives and is ready, told to anybody and cheaply."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.app_client import Api, Document, Serve
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Seeing")


async def asked(api: Api, path: str, method: str = "GET") -> tuple[int, str, Document]:
    """Status, content type and body of an answer to somebody without a token."""
    async with await api.client.request(method, path) as response:
        return response.status, response.content_type, await response.json()


async def test_living_server_says_so_without_token_and_database(
    serve: Serve, database: DatabaseFixture
) -> None:
    api = await serve(database)
    assert await asked(api, "/health/live") == (200, "application/json", {"status": "live"})
    assert api.engine.statements == []


async def test_ready_server_names_the_version_of_the_data(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 4))))
    api = await serve(database)
    ((version,),) = await database.rows("SELECT version FROM imports")
    status, media_type, found = await asked(api, "/health/ready")
    # With SQLite, the file of the database is part of it.
    found["version"] = found["version"].partition("-")[0]
    imported = datetime.fromisoformat(found.pop("imported"))
    assert timedelta() <= datetime.now(UTC) - imported < timedelta(minutes=1)
    expected = {"status": "ready", "version": version, "empty": False, "meters": 1}
    assert (status, media_type, found) == (200, "application/json", expected)
    assert api.engine.readings_asked == 0


async def test_ready_server_of_several_meters_names_no_version_unless_one_is_the_default(
    serve: Serve, database: DatabaseFixture
) -> None:
    await database.load(report(*numbered(quarters("2019-08-01", 4))))
    await database.load(report(*numbered(quarters("2019-08-01", 4))), meter="b", register=True)
    # One was taken over from an older layout, the other has the last import.
    database.run("UPDATE states SET changed = NULL WHERE meter_id = 1")
    database.run("UPDATE imports SET finished = '2026-03-01 11:00:00' WHERE meter_id = 1")
    database.run("UPDATE states SET changed = '2026-03-01 12:00:00' WHERE meter_id = 2")
    several = {
        "status": "ready",
        "version": None,
        "empty": False,
        "meters": 2,
        "imported": "2026-03-01T12:00:00+00:00",
    }
    _, _, found = await asked(await serve(database), "/health/ready")
    assert found == several
    database.run("DELETE FROM readings WHERE meter_id = 2")
    _, _, found = await asked(await serve(database, ELECDATA_METER__DEFAULT="b"), "/health/ready")
    assert found.pop("version")
    assert found == {name: value for name, value in several.items() if name != "version"}
    database.run("DELETE FROM readings")
    _, _, found = await asked(await serve(database), "/health/ready")
    assert found == several | {"empty": True}
    database.run("UPDATE imports SET finished = '2026-03-01 13:00:00' WHERE meter_id = 1")
    _, _, found = await asked(await serve(database), "/health/ready")
    assert found["imported"] == "2026-03-01T13:00:00+00:00"


async def test_missing_tables_are_a_problem(serve: Serve, database: DatabaseFixture) -> None:
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        await writer.engine.admit_reader()
    api = await serve(database)
    await database.rows("DROP TABLE users")
    status, kind, body = await asked(api, "/health/ready")
    assert (status, kind) == (503, "application/problem+json")
    assert body.pop("request_id")
    assert body == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "There are no readings yet, a report has to be loaded first",
    }


async def test_database_that_is_silent_is_a_problem_and_the_server_lives(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(_: str) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(api.engine, "step_in", wait)
    monkeypatch.setattr("server.observability.health._DATABASE_TIMEOUT", 0.01)
    status, kind, body = await asked(api, "/health/ready")
    assert (status, kind) == (503, "application/problem+json")
    assert body["detail"] == "The database did not answer in time"
    assert (await asked(api, "/health/live"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [
        ("GET", "/health/nothing", 404, "Not Found"),
        ("POST", "/health/live", 405, "Method Not Allowed"),
        ("GET", "/health/ready?id=5", 400, "Bad Request"),
    ],
)
async def test_errors_of_these_routes_are_problems(
    api: Api, method: str, path: str, status: int, title: str
) -> None:
    code, kind, body = await asked(api, path, method)
    assert (code, kind) == (status, "application/problem+json")
    assert (body["status"], body["title"]) == (status, title)
