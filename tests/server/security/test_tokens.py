"""Tokens: which are accepted, and what is said of the others."""

import base64
import hmac
import json
import logging
import time

import jwt
import pytest

from server.security.signing_keys import SigningKeys
from server.security.tokens import CLOCK_LEEWAY, TokenService
from tests.server.api.test_contract import documented
from tests.support.app_client import SECRET, Api

pytestmark = [pytest.mark.promise("Getting in"), pytest.mark.one_database]

NOW = int(time.time())
KID = SigningKeys.single(SECRET).sign_with
CLAIMS: dict[str, object] = {"sub": "rick", "iat": NOW, "exp": NOW + 3600, "jti": "1", "gen": 1}


def without(name: str) -> dict[str, object]:
    return {claim: value for claim, value in CLAIMS.items() if claim != name}


def signed(
    claims: dict[str, object], key: str = SECRET, algorithm: str = "HS256", **header: object
) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=header)


def forged(header: dict[str, object], claims: object = CLAIMS, key: str = SECRET) -> str:
    """A token that no library would make, signed as ours are."""
    body = f"{text({'typ': 'JWT', 'alg': 'HS256', **header})}.{text(claims)}"
    return f"{body}.{b64(hmac.digest(key.encode(), body.encode(), 'sha256'))}"


def signed_raw(claims: dict[str, object]) -> str:
    """A token of ours in all but these claims."""
    return forged({"kid": KID}, CLAIMS | claims)


def b64(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def text(part: object) -> str:
    return b64(json.dumps(part).encode())


def forged_raw(header: str, claims: str) -> str:
    """A token of ours whose JSON no library would write."""
    body = f"{b64(header.encode())}.{b64(claims.encode())}"
    return f"{body}.{b64(hmac.digest(SECRET.encode(), body.encode(), 'sha256'))}"


HEADER, BODY = json.dumps({"alg": "HS256", "kid": KID}), json.dumps(CLAIMS)
OURS = signed(CLAIMS, kid=KID)

# Each of them unsigned, and signed as ours are.
ALGORITHMS = {
    f"algorithm {name!a}, {how}": f"{forged({'alg': name, 'kid': KID}).rpartition('.')[0]}.{end}"
    for name in (
        *("none", "None", "NONE", "nOnE", "none ", "", "HS256 ", "Hs256", "\uff28\uff33256"),
        *("HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", "dir", "A256KW"),
    )
    for how, end in (
        ("unsigned", ""),
        ("signed", forged({"alg": name, "kid": KID}).rpartition(".")[2]),
    )
}
# What some key of a server's certificate looks like, which anybody can read.
PUBLIC = (
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
)


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
    "megabytes": "x" * 7000,
    "claims that are a list": forged({}, [CLAIMS]),
    "claims that are no JSON": f"{signed(CLAIMS).split('.')[0]}.AAAA.AAAA",
    "algorithm in another case": forged({"alg": "hs256"}),
    "algorithm None": forged({"alg": "None"}),
    "algorithm that is no text": forged({"alg": ["HS256"]}),
    "no algorithm named": forged({"alg": None}),
    "RS256 with the secret for a public key": forged({"alg": "RS256"}),
    "key inside the token": forged({"jwk": {"kty": "oct", "k": b64(b"k" * 32)}}, key="k" * 32),
    "key elsewhere": forged(
        {"jku": "http://127.0.0.1:1/keys", "x5u": "file:///etc/passwd"}, key="k" * 32
    ),
    "extension that must be understood": forged({"crit": ["b64"], "b64": False}),
    "kid of nobody": forged({"kid": "nobody"}),
    "kid with a path": forged({"kid": "../../../../dev/null"}, key=""),
    "kid with SQL": forged({"kid": "' UNION SELECT 'k' -- "}, key="k" * 32),
    "kid that is a command": forged({"kid": "|sleep 5"}, key="k" * 32),
    "kid that is huge": forged({"kid": "k" * 2000}),
    "kid that is empty": forged({"kid": ""}),
    "kid that is a number": forged({"kid": 0}),
    "kid that is a list": forged({"kid": [KID]}),
    "kid in another case": forged({"kid": KID.upper()}),
    "kid of ours, another key": forged({"kid": KID}, key="k" * 32),
    "sub that is a number": signed_raw({"sub": 1}),
    "sub that is nothing": signed_raw({"sub": None}),
    "sub that is a list": signed_raw({"sub": ["rick"]}),
    "jti that is a number": signed_raw({"jti": 1}),
    "jti that is long": signed_raw({"jti": "1" * 65}),
    "jti with SQL": signed_raw({"jti": "1' OR '1'='1"}),
    "generation that is text": signed_raw({"gen": "1"}),
    "generation that is true": signed_raw({"gen": True}),
    "generation that is huge": signed_raw({"gen": 2**63}),
    "exp without end": signed_raw({"exp": float("inf")}),
    "exp that is nothing": signed_raw({"exp": None}),
    "iat that is text": signed_raw({"iat": "now"}),
    "not valid yet": signed_raw({"nbf": NOW + 3600}),
    "another service's, by its audience": signed_raw({"aud": "another"}),
    **ALGORITHMS,
    "a public key for the secret": forged({"kid": KID}, key=PUBLIC),
    "a certificate inside the token": forged({"x5c": [PUBLIC]}, key=PUBLIC),
    "a certificate elsewhere": forged({"x5u": "http://127.0.0.1:1/x5u"}, key="k" * 32),
    "encrypted": f"{text({'alg': 'dir', 'enc': 'A256GCM'})}..AA.AA.AA",
    "padded": f"{OURS}=",
    "padded in its head": OURS.replace(".", "=.", 1),
    "with a dot behind": f"{OURS}.",
    "with a part behind": f"{OURS}.AA",
    "in another Base64": OURS.replace("_", "/").replace("-", "+") + "+",
    "with a line in it": f"{OURS[:-9]}\t{OURS[-9:]}",
    "with rubbish in it": f"{OURS[:-9]}!!{OURS[-9:]}",
    "kid with NUL": forged({"kid": f"{KID}\0"}),
    "kid with half a character": forged({"kid": "\ud800"}),
    "kid that is an object": forged({"kid": {KID: KID}}),
    "kid twice": forged_raw(f'{HEADER[:-1]},"kid":"{KID}"}}', BODY),
    "algorithm twice": forged_raw(f'{{"alg":"none",{HEADER[1:]}', BODY),
    "sub twice": forged_raw(HEADER, f'{{"sub":"root",{BODY[1:]}'),
    "claims that are a token": forged({"kid": KID, "cty": "JWT"}, OURS),
    "sub with half a character": signed_raw({"sub": "\ud800"}),
    "sub that is an object": signed_raw({"sub": {"name": "rick"}}),
    "jti that is empty": signed_raw({"jti": ""}),
    "jti with the end of a line": signed_raw({"jti": "1\n"}),
    "generation that is a fraction": signed_raw({"gen": 1.0}),
    "generation below zero": signed_raw({"gen": -1}),
    "generation that is nothing": signed_raw({"gen": None}),
    "exp that is a text": signed_raw({"exp": str(NOW + 60)}),
    "exp that is true": signed_raw({"exp": True}),
    "exp that is a fraction": signed_raw({"exp": NOW + 60.5}),
    "exp that is a list": signed_raw({"exp": [NOW + 60]}),
    "exp beyond all": signed_raw({"exp": 10**400}),
    "exp that is no number at all": signed_raw({"exp": float("nan")}),
    "iat before all": signed_raw({"iat": -1}),
    "iat that is true": signed_raw({"iat": True}),
    "iat beyond all": signed_raw({"iat": 10**400}),
    "nbf that is a text": signed_raw({"nbf": "soon"}),
    "another service's, by its key": signed(CLAIMS, "the secret of some other service", kid="a"),
}

UNKNOWN = {
    "earlier generation": signed_raw({"gen": 0}),
    "later generation": signed_raw({"gen": 2}),
    "user that does not exist": signed_raw({"sub": "nobody"}),
    "user in another case": signed_raw({"sub": "Rick"}),
    "user with a blank": signed_raw({"sub": "rick "}),
}
"""Signed by ours, but of nobody who is there."""

FORGED = INVALID | UNKNOWN
INVALID_TOKEN = documented("token_invalid")


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
async def test_invalid_token_is_a_406(api: Api, header: str) -> None:
    otherwise = {}
    for name, token in FORGED.items():
        value = token if header == "SESSION" else f"Bearer {token}"
        async with await api.client.get("/apielec/ping", headers={header: value}) as response:
            body = await response.json()
        if not body.pop("message", "") or (response.status, body) != (406, INVALID_TOKEN):
            otherwise[name] = response.status, body
    assert not otherwise


async def test_forged_token_leaves_nothing_in_the_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for token in FORGED.values():
        await api.client.get("/apielec/ping", headers={"SESSION": token})
    assert len([record for record in caplog.records if record.name == "access"]) == len(FORGED)
    assert {record.levelname for record in caplog.records} <= {"DEBUG", "INFO"}
    for token in filter(None, FORGED.values()):
        for part in token.split("."):
            assert len(part) < 8 or part not in caplog.text
    for word in ("nobody", "passwd", "UNION", "sleep 5", "dev/null", "another"):
        assert word not in caplog.text


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
    monkeypatch.setattr("server.security.tokens.time.time", lambda: now + 3601)
    status, body = await api.get("ping")
    assert status == 406
    assert body["message"] == "The token has expired, log in again"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_token_of_a_server_whose_clock_is_ahead_is_good_within_ten_seconds(
    api: Api, claim: str
) -> None:
    for seconds, expected in ((1, 200), (CLOCK_LEEWAY, 200), (CLOCK_LEEWAY + 20, 406)):
        ahead = int(time.time() + seconds)
        api.token = signed(CLAIMS | {claim: ahead, "exp": ahead + 60}, kid=KID)
        status, body = await api.get("ping")
        assert status == expected
    assert body["message"] == "The token is not valid yet: the clocks of the servers differ"


async def test_token_is_not_good_for_longer_since_clocks_may_differ(api: Api) -> None:
    for seconds in (0, -1, -CLOCK_LEEWAY - 1):
        api.token = signed(CLAIMS | {"exp": int(time.time() + seconds)}, kid=KID)
        for _ in range(2):
            status, body = await api.get("ping")
            assert (status, body["message"]) == (406, "The token has expired, log in again")


def test_token_names_its_user_and_its_time() -> None:
    tokens = TokenService(SigningKeys.single(SECRET), 60)
    first, second = tokens.issue("rick", 1), tokens.issue("rick", 1)
    claims = jwt.decode(first, SECRET, algorithms=["HS256"])
    assert claims.keys() == {"sub", "gen", "iat", "exp", "jti"}
    assert claims["sub"] == "rick"
    assert claims["exp"] - claims["iat"] == 60
    assert claims["jti"] != jwt.decode(second, SECRET, algorithms=["HS256"])["jti"]


def test_forged_tokens_are_not_remembered() -> None:
    tokens = TokenService(SigningKeys.single(SECRET), 60)
    for token in INVALID.values():
        with pytest.raises(Exception, match="token"):
            tokens.verify(token)
    assert not tokens._verified
