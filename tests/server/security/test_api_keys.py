"""API keys: good wherever a token is, as far as they were narrowed, until they end."""

import json
import logging
import time
from datetime import date

import pytest

from domain.access import Permission, Window
from server.security.login_throttle import LOGIN_THROTTLE
from storage.access.api_keys import new_api_key
from storage.access.groups import GroupProperties, MemberProperties
from storage.access.targets import Target
from storage.backends.transaction import transaction
from storage.common.errors import Unreachable
from tests.support.api_keys import add_key, change_key
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Getting in")

REPORT = report(*numbered(quarters("2019-08-01", 192)))
ENDED = "The API key is unknown, or it or its user was disabled"


@pytest.fixture
async def loaded(database: DatabaseFixture) -> DatabaseFixture:
    """A database of two meters, m1 and m2, that rick may read."""
    for meter in ("m1", "m2"):
        await database.load(REPORT, meter=meter, register=True)
    await database.admit("rick")
    return database


async def status(api: Api, path: str = "getData?meter=m1") -> int:
    return (await api.get(path))[0]


async def refusal(api: Api) -> tuple[int, str]:
    code, body = await api.get("ping")
    return code, body["message"]


def key_lookups(api: Api) -> int:
    """How often a key was looked up."""
    return sum("key_by_hash" in sql or "FROM api_keys" in sql for sql in api.engine.statements)


async def test_key_is_good_wherever_a_token_is(serve: Serve, loaded: DatabaseFixture) -> None:
    api = await serve(loaded)
    key = await add_key(loaded, "rick", "grafana")
    api.token = key
    assert await status(api) == 200
    for authorization in (f"Bearer {key}", f"bearer  {key} "):
        headers = {"Authorization": authorization}
        async with await api.client.get("/apielec/ping", headers=headers) as response:
            assert response.status == 200
    for path in ("changePassword", "getSessions", "endSession", "endOtherSessions"):
        given = {"old_password": "rick", "new_password": "another one", "id": "x" * 8}
        names = {"changePassword": ("old_password", "new_password"), "endSession": ("id",)}
        data = {name: given[name] for name in names.get(path, ())}
        assert (await api.get(path, method="POST" if path[0] != "g" else "GET", data=data))[0] == (
            403
        )
    async with await api.client.post("/logout", headers={"SESSION": key}) as response:
        assert response.status == 403


async def test_key_takes_a_statement_only_when_it_is_new_or_something_changed(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    api = await serve(loaded)
    api.token = await add_key(loaded, "rick", "grafana")
    for _ in range(3):
        assert await status(api) == 200
    assert key_lookups(api) == 1
    await add_key(loaded, "rick", "another")
    for _ in range(3):
        assert await status(api) == 200
    assert key_lookups(api) == 2
    api.token = new_api_key()
    for _ in range(3):
        assert await refusal(api) == (406, ENDED)
    assert key_lookups(api) == 3


async def test_key_ends_with_the_next_request(serve: Serve, loaded: DatabaseFixture) -> None:
    """Whether it is removed or its user disabled; enabling the user brings it back."""
    first, second = await serve(loaded), await serve(loaded)
    key, other = [await add_key(loaded, "rick", name) for name in ("one", "two")]
    for api in (first, second):
        api.token = key
        assert await status(api) == 200
    await change_key(loaded, "rick", "one")
    for api in (first, second):
        assert await refusal(api) == (406, ENDED)
        api.token = other
        assert await status(api) == 200
    for enabled in (False, True):
        async with loaded.writer() as writer:
            assert await writer.engine.is_prepared()
            await writer.users.set_enabled("rick", enabled=enabled)
        for api in (first, second):
            assert await status(api) == (200 if enabled else 406)


async def test_key_expires_in_time(
    serve: Serve, loaded: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await serve(loaded)
    soon = int(time.time()) + 60
    api.token = await add_key(loaded, "rick", "grafana", expires=soon)
    assert await status(api) == 200
    with monkeypatch.context() as later:
        later.setattr("time.time", lambda: float(soon))
        assert await refusal(api) == (406, "The API key has expired")
    assert key_lookups(api) == 1
    await change_key(loaded, "rick", "grafana", expires=1)
    assert await refusal(api) == (406, "The API key has expired")
    await change_key(loaded, "rick", "grafana", expires=None)
    assert await status(api) == 200


async def test_key_shows_the_meters_and_days_that_it_is_good_for(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    """At most those that its user may see, an admin too; changes hold from the next request on."""
    api = await serve(loaded)
    async with loaded.writer() as writer:
        assert await writer.engine.is_prepared()
        async with transaction(writer.engine):
            day = Window(date(2019, 8, 2), date(2019, 8, 2))
            await writer.groups.add(GroupProperties("east"))
            await writer.groups.add_member("east", MemberProperties(Target("m2"), 1, day))
    api.token = await add_key(loaded, "rick", "grafana", targets=[Target("m1")])

    async def seen() -> tuple[list[str | None], int, int]:
        meters = [each["meter"] for each in await api.records("getMeters")]
        counts = []
        for meter in ("m1", "m2"):
            code, body = await api.get("getData", {"meter": meter})
            assert code == 200 or body["message"] == f"meter: there is no meter {meter}"
            counts.append(body["values"]["numrecs"] if code == 200 else 0)
        return meters, counts[0], counts[1]

    for role in ("read", "admin"):
        async with loaded.writer() as writer:
            assert await writer.engine.is_prepared()
            await writer.users.set_role("rick", role)
        await change_key(loaded, "rick", "grafana", targets=[Target("m1")])
        assert await seen() == (["m1"], 192, 0)
        # What it is good for alone is meant where no meter is named.
        assert len(await api.records("getData")) == 192
        await change_key(loaded, "rick", "grafana", targets=[Target(group="east")])
        assert await seen() == (["m2"], 0, 96)
        await change_key(loaded, "rick", "grafana", targets=[])
        assert await status(api, "getData") == 400
        assert await seen() == (["m1", "m2"], 192, 192)
    loaded.run("DELETE FROM grants")
    async with loaded.writer() as writer:
        assert await writer.engine.is_prepared()
        await writer.users.set_role("rick", "read")
    assert await seen() == ([], 0, 0)


async def test_key_is_good_for_v1_as_well(serve: Serve, loaded: DatabaseFixture) -> None:
    api = await serve(loaded)
    key = await add_key(loaded, "rick", "grafana", targets=[Target("m2")])
    for text, path, code in (
        (key, "/v1/meters", 200),
        (key, "/v1/meters/m2", 200),
        (key, "/v1/meters/m1", 404),
        (new_api_key(), "/v1/meters", 401),
    ):
        headers = {"Authorization": f"Bearer {text}"}
        async with await api.client.get(path, headers=headers) as response:
            assert response.status == code
            body = await response.json()
        if path == "/v1/meters" and code == 200:
            assert body["meta"]["count"] == 1
        if code == 401:
            assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
            assert body["detail"] == ENDED


async def test_key_of_an_admin_reads_metrics_only_if_it_is_good_for_everything(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    loaded.run("UPDATE users SET role = 'admin'")
    api = await serve(loaded, ELECDATA_SERVER__METRICS_FROM="192.0.2.0/24")
    for permission, targets, code in (
        (Permission.MANAGE, (), 200),
        (Permission.WRITE, (), 403),
        (Permission.MANAGE, (Target("m1"),), 403),
    ):
        name = f"{permission.word}-{len(targets)}"
        key = await add_key(loaded, "rick", name, permission, targets=targets)
        headers = {"Authorization": f"Bearer {key}"}
        async with await api.client.get("/metrics", headers=headers) as response:
            assert response.status == code


async def test_guessed_keys_are_throttled_by_their_address(
    serve: Serve, loaded: DatabaseFixture
) -> None:
    """Not the keys that were good before, and none while the database fails."""
    api = await serve(loaded, ELECDATA_AUTH__ATTEMPTS="1")
    good, other = [await add_key(loaded, "rick", name) for name in ("one", "two")]
    api.token = good
    assert await status(api) == 200

    async def fail(sql: str) -> str:
        if "key_by_hash" in sql or "FROM api_keys" in sql:
            raise Unreachable("gone")
        return sql

    api.token = new_api_key()
    api.engine.step_in = fail
    assert await status(api) == 503
    api.engine.step_in = None
    for _ in range(10):
        api.token = new_api_key()
        assert await refusal(api) == (406, ENDED)
    for api.token in (new_api_key(), other):
        code, message = await refusal(api)
        assert code == 429
        assert message.startswith("Too many logins have failed")
    api.token = good
    assert await status(api) == 200
    api.token = "elecdata_short"
    assert await refusal(api) == (406, "The API key is malformed")
    assert api.app[LOGIN_THROTTLE].wait("rick", "127.0.0.1") > 0


async def test_logs_and_the_trail_name_the_key_and_never_tell_it(
    serve: Serve, loaded: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api = await serve(loaded)
    good, ended = [
        await add_key(loaded, "rick", name, expires=e) for name, e in (("a", None), ("b", 1))
    ]
    unknown = new_api_key()
    for api.token in (good, ended, unknown):
        await status(api)
    await api.client.close()
    text = caplog.text + json.dumps([list(row) for row in loaded.run("SELECT entry FROM audit")])
    assert 'user=rick key="a" from=' in text
    assert 'API key refused user="rick" address=127.0.0.1 reason=expired key=b' in text
    assert "API key refused user=- address=127.0.0.1 reason=unknown" in text
    entries = [json.loads(row[0]) for row in loaded.run("SELECT entry FROM audit")]
    assert ("export", "rick", "a") in [
        (each["event"], each["actor"], each["details"].get("key")) for each in entries
    ]
    for key in (good, ended, unknown):
        assert key not in text
        assert key.removeprefix("elecdata_") not in text
