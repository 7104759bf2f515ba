"""Name and password with each request, where that is configured."""

import asyncio
import re

import pytest
from aiohttp import encode_basic_auth

from server.security.password_checker import PasswordChecker
from storage.common.passwords import hash_password
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Getting in")

REPORT = report(*numbered(quarters("2019-08-01", 96)))
ON = {"ELECDATA_AUTH__BASIC": "true"}


@pytest.fixture
async def loaded(database: DatabaseFixture) -> DatabaseFixture:
    """A database that rick, with the password rick, may read."""
    await database.load(REPORT)
    await database.admit("rick")
    return database


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The users whose passwords were hashed."""
    users: list[str] = []
    matches = PasswordChecker.matches

    async def counted(self: PasswordChecker, asker: object, password: str, stored: str) -> bool:
        users.append(asker.user)  # type: ignore[attr-defined]  # an Asker
        return await matches(self, asker, password, stored)  # type: ignore[arg-type]  # likewise

    monkeypatch.setattr(PasswordChecker, "matches", counted)
    return users


def user_lookups(api: Api) -> int:
    """How often a user was looked up."""
    words = ("user_by_name", "role_of_bearer", "FROM users WHERE user")
    return sum(any(word in sql for word in words) for sql in api.engine.statements)


async def asked(
    api: Api,
    password: str = "rick",  # noqa: S107 - of a test's user
    path: str = "getData",
    *,
    method: str = "GET",
    forwarded: bool = False,
) -> int:
    """Return the status of a request with rick's name and a password."""
    headers = {"Authorization": encode_basic_auth("rick", password)}
    headers |= {"X-Forwarded-For": "192.0.2.7"} if forwarded else {}
    async with await api.client.request(method, f"/apielec/{path}", headers=headers) as response:
        if response.status == 401:
            assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
        return response.status


async def test_name_and_password_are_checked_once_while_nothing_changes(
    serve: Serve, loaded: DatabaseFixture, hashes: list[str]
) -> None:
    api = await serve(loaded, **ON)
    assert await asyncio.gather(*(asked(api) for _ in range(20))) == [200] * 20
    assert hashes == ["rick"]
    assert user_lookups(api) == 1
    assert await asked(api) == 200
    assert user_lookups(api) == 1
    # A change elsewhere takes a statement, and no hash.
    async with loaded.writer() as writer:
        assert await writer.engine.is_prepared()
        await writer.users.add("morgan", "0" * 64)
    assert await asked(api) == 200
    assert hashes == ["rick"]
    assert user_lookups(api) == 2
    async with loaded.writer() as writer:
        assert await writer.engine.is_prepared()
        await writer.users.log_out("rick")
    assert await asyncio.gather(*(asked(api) for _ in range(20))) == [200] * 20
    assert hashes == ["rick", "rick"]


async def test_password_is_good_until_it_or_the_user_changes(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded, **ON)
    assert await asked(api) == 200
    changed = hash_password("changed password")
    async with loaded.writer() as writer:
        assert await writer.engine.is_prepared()
        await writer.users.set_password("rick", changed)
        assert await asked(api) == 401
        assert await asked(api, "changed password") == 200
        await writer.users.set_enabled("rick", enabled=False)
        assert await asked(api, "changed password") == 401


async def test_wrong_passwords_are_throttled_like_logins(
    serve: Serve, loaded: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    api = await serve(loaded, **ON, ELECDATA_AUTH__ATTEMPTS="2")
    for password in ("one", "two"):
        assert await asked(api, password) == 401
    assert await asked(api) == 429
    assert (await api.login("rick", "rick"))[0] == 429
    assert 'basic login refused user="rick" address=127.0.0.1 reason=password' in caplog.text
    async with await api.client.get(
        "/apielec/getData", headers={"Authorization": "Basic !"}
    ) as response:
        assert response.status == 401


async def test_name_and_password_only_read(serve: Serve, loaded: DatabaseFixture) -> None:
    """A browser that knows them sends them wherever a page of somebody else wants it to."""
    loaded.run("UPDATE users SET role = 'admin'")
    api = await serve(loaded, **ON, ELECDATA_SERVER__METRICS_FROM="192.0.2.0/24")
    assert await asked(api) == 200
    assert await asked(api, path="getSessions") == 403
    assert await asked(api, path="endOtherSessions", method="POST") == 403
    headers = {"Authorization": encode_basic_auth("rick", "rick")}
    async with await api.client.get("/metrics", headers=headers) as response:
        assert response.status == 403


async def test_name_and_password_are_no_token_unless_configured(
    serve: Serve, loaded: DatabaseFixture, hashes: list[str]
) -> None:
    api = await serve(loaded)
    assert await asked(api) == 405
    assert hashes == []


async def test_programs_are_asked_for_name_and_password_where_these_are_accepted(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    """As Excel waits to be asked."""
    for environ, schemes in ((ON, ["Bearer", "Basic"]), ({}, ["Bearer"])):
        api = await serve(loaded, **environ)
        async with await api.client.get("/v1/meters") as response:
            assert response.status == 401
            challenge = response.headers["WWW-Authenticate"]
        assert re.findall(r"(\w+) realm=", challenge) == schemes
        headers = {"Authorization": encode_basic_auth("rick", "rick")}
        async with await api.client.get("/v1/meters", headers=headers) as response:
            assert (response.status == 200) == ("Basic" in schemes)


async def test_published_user_is_refused_where_logins_are(
    serve: Serve, database: DatabaseFixture
) -> None:
    database.configure(api_users={"rick": "morty"})
    await database.load(REPORT)
    api = await serve(database, **ON)
    assert await asked(api, "morty") == 200
    assert await asked(api, "morty", forwarded=True) == 401
