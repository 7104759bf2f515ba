"""Tokens: which are accepted, and what is said of the others."""

import base64
import json
import time

import jwt
import pytest

from server.tokens import Tokens
from tests.serving import SECRET, Api
from tests.test_contract import documented

NOW = int(time.time())
CLAIMS = {"sub": "rick", "iat": NOW, "exp": NOW + 3600, "jti": "1"}


def without(name: str) -> dict[str, object]:
    return {claim: value for claim, value in CLAIMS.items() if claim != name}


def signed(claims: dict[str, object], key: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm=algorithm)


def text(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


INVALID = {
    "empty": "",
    "nonsense": "nonsense",
    "another key": signed(CLAIMS, "another secret of more than 32 bytes!"),
    "another algorithm": signed(CLAIMS, SECRET * 2, "HS512"),
    "the same key, another algorithm": signed(CLAIMS, SECRET * 2, "HS384"),
    "no algorithm": jwt.encode(CLAIMS, "", algorithm="none"),
    "no signature": signed(CLAIMS).rpartition(".")[0] + ".",
    "another payload": ".".join(
        [signed(CLAIMS).split(".")[0], text(CLAIMS | {"sub": "root"}), signed(CLAIMS).split(".")[2]]
    ),
    "expired": signed(CLAIMS | {"exp": NOW - 1}),
    "from the future": signed(CLAIMS | {"iat": NOW + 3600}),
    "no sub": signed(without("sub")),
    "no iat": signed(without("iat")),
    "no exp": signed(without("exp")),
    "no jti": signed(without("jti")),
    "exp that is no number": signed(CLAIMS | {"exp": "soon"}),
    "header that is a list": f"{text([])}.{text(CLAIMS)}.AA",
    "header nested deeply": f"{text('') + '['}{'W1tb' * 700}.{text(CLAIMS)}.AA",
    "very long": signed(CLAIMS | {"x": "y" * 5000}),
}


async def test_token_is_accepted_in_either_header(api: Api) -> None:
    for headers in (
        {"SESSION": api.token},
        {"session": f" {api.token} "},
        {"Authorization": f"Bearer {api.token}"},
        {"Authorization": f"bearer  {api.token}"},
    ):
        async with await api.client.get("/apielec/ping", headers=headers) as response:
            assert response.status == 200, headers


@pytest.mark.parametrize(
    "path", ["ping", "getData", "getDataById", "getDataByDate?date=%25", "getDataByRange"]
)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic cmljazptb3J0eQ=="}])
async def test_missing_token_is_a_405(api: Api, path: str, headers: dict[str, str]) -> None:
    """Parameters are not even looked at, and a login is no token."""
    async with await api.client.get(f"/apielec/{path}", headers=headers) as response:
        assert response.status == 405
        assert await response.json() == documented("token_missing")


@pytest.mark.parametrize("header", ["SESSION", "Authorization"])
@pytest.mark.parametrize("token", INVALID.values(), ids=INVALID.keys())
async def test_invalid_token_is_a_406(api: Api, header: str, token: str) -> None:
    value = token if header == "SESSION" else f"Bearer {token}"
    async with await api.client.get("/apielec/ping", headers={header: value}) as response:
        assert response.status == 406
        body = await response.json()
        assert body.pop("message")
        assert body == documented("token_invalid")


async def test_token_that_is_no_text_is_a_406(api: Api) -> None:
    request = api.head("ping").replace(api.token.encode(), b"\xff\xfe")
    reader, writer = await api.raw(request)
    assert b" 406 " in await reader.readline()
    writer.close()


async def test_token_in_the_query_is_a_parameter_like_any(api: Api) -> None:
    async with await api.client.get(f"/apielec/ping?SESSION={api.token}") as response:
        assert response.status == 405


async def test_token_expires_though_it_was_accepted_before(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await api.get("ping"))[0] == 200
    now = time.time()
    monkeypatch.setattr("server.tokens.time.time", lambda: now + 3601)
    status, body = await api.get("ping")
    assert status == 406
    assert body["message"] == "The token has expired, log in again"


def test_token_names_its_user_and_its_time() -> None:
    tokens = Tokens(SECRET, 60)
    first, second = tokens.issue("rick"), tokens.issue("rick")
    claims = jwt.decode(first, SECRET, algorithms=["HS256"])
    assert claims["sub"] == "rick"
    assert claims["exp"] - claims["iat"] == 60
    assert claims["jti"] != jwt.decode(second, SECRET, algorithms=["HS256"])["jti"]


def test_forged_tokens_are_not_remembered() -> None:
    tokens = Tokens(SECRET, 60)
    for token in INVALID.values():
        with pytest.raises(Exception, match="token"):
            tokens.user(token)
    assert not tokens._checked
