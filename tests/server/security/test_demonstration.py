"""The demonstration's published user and secret: good on this machine, and refused elsewhere."""

import pytest
from aiohttp import encode_basic_auth

from server.security.signing_keys import SigningKeys
from server.security.tokens import TOKENS, TokenService
from settings import load_settings
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture

pytestmark = [pytest.mark.promise("Getting in"), pytest.mark.one_database]

HERE = [{}, {"Host": "localhost:5000"}, {"Host": "[::1]:5000"}, {"Host": "127.8.9.1"}]
THERE = [
    {"Host": "readings.example.org"},
    {"Host": "localhost.example.org:5000"},
    {"Host": "host.docker.internal:5000"},
    {"Host": "192.0.2.1"},
    {"Host": "["},
    {"Host": ""},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-Host": "localhost"},
    {"X-Forwarded-Proto": "https"},
    {"X-Real-IP": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1"},
    {"Via": "1.1 tunnel"},
]
"""What proxies, tunnels, ports of containers and rebound names add or leave."""


async def status_of_login(api: Api, user: str, password: str, headers: dict[str, str]) -> int:
    headers = {"Authorization": encode_basic_auth(user, password), **headers}
    async with api.client.post("/login", headers=headers) as response:
        return response.status


async def test_published_user_logs_in_on_this_machine_only(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, ELECDATA_AUTH__ATTEMPTS="100")
    for headers in HERE:
        assert await status_of_login(api, "rick", "morty", headers) == 200
    for headers in THERE:
        assert await status_of_login(api, "rick", "morty", headers) == 401, headers


async def test_token_that_anybody_could_sign_is_good_on_this_machine_only(
    api: Api,
) -> None:
    published = load_settings(environ={}).auth.secret
    assert published is not None
    keys = SigningKeys.single(published.get_secret_value())
    api.app[TOKENS].use(keys)
    api.token = TokenService(keys, 60).issue("rick", 1)
    for headers in HERE:
        assert (await api.get("ping", headers=headers))[0] == 200
    for headers in THERE:
        status, body = await api.get("ping", headers=headers)
        assert (status, body["status"]) == (406, "Token is invalid"), headers
        assert body["message"].endswith("for this machine only, set auth.secret")


async def test_own_users_and_tokens_are_good_everywhere(
    serve: Serve, database: DatabaseFixture
) -> None:
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        await writer.engine.admit_reader()
    api = await serve(database)
    for headers in HERE + THERE:
        assert await status_of_login(api, "rick", "rick", headers) == 200
        assert (await api.get("ping", headers=headers))[0] == 200
