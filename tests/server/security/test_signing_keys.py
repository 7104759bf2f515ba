"""Several keys that sign and verify, and their replacement while tokens are out."""

import asyncio
import hmac
import json
import math
import signal
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from loader.access.keys import main as keys_command
from server.context import SETTINGS
from server.process.reload import Running
from server.security.signing_keys import SigningKeys, SigningPeriod
from server.security.tokens import TOKENS, InvalidTokenError, TokenService
from settings import Settings, load_settings
from tests.server.observability.test_logs import said_by_all
from tests.server.process.test_server_command import Server, connected, received
from tests.support.app_client import SECRET, Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.paths import ROOT
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Getting in")

FIRST, SECOND, THIRD = ("1" * 40, "2" * 40, "3" * 40)
NOW = int(time.time())
CLAIMS = {"sub": "rick", "iat": NOW, "exp": NOW + 3600, "jti": "1"}


def configured(folder: Path, *lines: str) -> Settings:
    """Settings with these lines in the section `auth`."""
    config = folder / "config.yaml"
    auth = "".join(f"  {line}\n" for line in lines)
    config.write_text(f"database: {{url: 'sqlite:///x.db'}}\nauth:\n{auth}")
    return load_settings(config, {})


def tokens(folder: Path, *lines: str) -> TokenService:
    return TokenService(SigningKeys.of(configured(folder, *lines)), 60)


def kid(token: str) -> Any:
    return jwt.get_unverified_header(token)["kid"]


def test_keys_are_replaced_without_logging_anybody_out(tmp_path: Path) -> None:
    """From a single secret to a key, and from that to another."""
    single, b, c = f"secret: {FIRST}", f"keys: {{b: {SECOND}}}", f"keys: {{c: {THIRD}}}"
    both = f"keys: {{b: {SECOND}, c: {THIRD}}}"
    for steps in (
        ([single], [single, b], [single, b, "sign_with: b"], [b]),
        ([b], [both], [both, "sign_with: c"], [c]),
    ):
        present, added, signing, removed = [tokens(tmp_path, *step) for step in steps]
        # Servers take a step one after the other, and serve the same clients.
        for one, other in ((present, added), (added, signing)):
            assert one.verify(other.issue("rick", 1)).user == "rick"
            assert other.verify(one.issue("rick", 1)).user == "rick"
        assert removed.verify(signing.issue("rick", 1)).user == "rick"
        with pytest.raises(InvalidTokenError):
            removed.verify(present.issue("rick", 1))


def test_first_key_signs_unless_another_is_named(tmp_path: Path) -> None:
    both = "keys: {b: " + SECOND + ", c: " + THIRD + "}"
    assert kid(tokens(tmp_path, both).issue("rick", 1)) == "b"
    assert kid(tokens(tmp_path, both, "sign_with: c").issue("rick", 1)) == "c"
    single = tokens(tmp_path, f"secret: {FIRST}")
    token = tokens(tmp_path, both, f"secret: {FIRST}").issue("rick", 1)
    assert kid(token) == kid(single.issue("rick", 1))
    assert single.verify(token).user == "rick"


def test_key_that_was_removed_verifies_no_longer(tmp_path: Path) -> None:
    token = tokens(tmp_path, "keys: {b: " + SECOND + "}").issue("rick", 1)
    with pytest.raises(InvalidTokenError):
        tokens(tmp_path, "keys: {c: " + THIRD + "}").verify(token)


def test_key_of_another_name_does_not_verify(tmp_path: Path) -> None:
    """Though the secret itself is one of ours."""
    ours = tokens(tmp_path, "keys: {b: " + SECOND + ", c: " + THIRD + "}")
    with pytest.raises(InvalidTokenError):
        ours.verify(jwt.encode(CLAIMS, SECOND, headers={"kid": "c"}))


def test_token_without_a_kid_is_one_of_the_single_secret(tmp_path: Path) -> None:
    single = tokens(tmp_path, "secret: " + FIRST)
    assert single.verify(jwt.encode(CLAIMS, FIRST)).user == "rick"
    assert FIRST not in kid(single.issue("rick", 1))
    both = tokens(tmp_path, "secret: " + FIRST, "keys: {b: " + SECOND + "}")
    assert both.verify(jwt.encode(CLAIMS, FIRST)).user == "rick"
    for other in (both, tokens(tmp_path, "keys: {b: " + SECOND + "}")):
        with pytest.raises(InvalidTokenError):
            other.verify(jwt.encode(CLAIMS, SECOND))


def test_generated_secret_verifies_beside_keys_while_its_file_exists(tmp_path: Path) -> None:
    made = tokens(tmp_path)
    token = made.issue("rick", 1)
    keys = "keys: {b: " + SECOND + "}"
    assert tokens(tmp_path, keys).verify(token).user == "rick"
    store = configured(tmp_path).auth.secret_store
    store.unlink()
    with pytest.raises(InvalidTokenError):
        tokens(tmp_path, keys).verify(token)
    assert not store.exists()


def test_secrets_stay_out_of_texts(tmp_path: Path) -> None:
    settings = configured(tmp_path, "secret: " + FIRST, "keys: {b: " + SECOND + "}")
    for text in (repr(settings), repr(SigningKeys.of(settings))):
        assert FIRST not in text
        assert SECOND not in text


@pytest.mark.one_database
@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_replaces_the_keys_of_a_running_server(
    sample: DatabaseFixture, tmp_path: Path, workers: int
) -> None:
    """TokenService of the old key hold until it goes, and end with it."""
    config = tmp_path / "config.yaml"
    document = json.loads(sample.config.read_text())
    old, new = {"old": FIRST}, {"new": SECOND}
    by_old, by_new = (
        TokenService(SigningKeys(keys, next(iter(keys))), 60).issue("rick", 1)
        for keys in (old, new)
    )

    def configure(keys: dict[str, str]) -> None:
        config.write_text(json.dumps({**document, "auth": {"keys": keys}}))

    def reload(keys: dict[str, str]) -> None:
        configure(keys)
        server.process.send_signal(signal.SIGHUP)
        # The process that started several says that it has read its part, too.
        said_by_all(server, "reloaded: ", workers + (workers > 1))

    def statuses(token: str) -> set[bytes]:
        """Of some connections, so that every worker is likely to have its turn."""
        found = set()
        for _ in range(4):
            with connected(listening) as client:
                head = f"Host: x\r\nSESSION: {token}\r\nConnection: close\r\n\r\n"
                client.sendall(f"GET /apielec/ping HTTP/1.1\r\n{head}".encode())
                found.add(received(client).split()[1])
        return found

    configure(old)
    nowhere = str(tmp_path / "none")
    with Server(
        config,
        ELECDATA_SERVER__WORKERS=str(workers),
        ELECDATA_AUTH__SECRET="",
        ELECDATA_AUTH__SECRET_STORE=nowhere,
    ) as server:
        listening = int(said_by_all(server, "listening on", workers).rpartition(":")[2])
        assert (statuses(by_old), statuses(by_new)) == ({b"200"}, {b"406"})
        reload(old | new)
        assert (statuses(by_old), statuses(by_new)) == ({b"200"}, {b"200"})
        reload(new)
        assert (statuses(by_old), statuses(by_new)) == ({b"406"}, {b"200"})
        assert server.stop() == 0


def running(api: Api, config: Path) -> Running:
    """What a process runs with that serves an application, and is told of another file."""
    return Running(config, api.app[SETTINGS], SigningKeys.single(SECRET), api.app)


async def test_places_in_answers_are_written_with_the_new_key(
    serve: Serve, sample: DatabaseFixture, tmp_path: Path
) -> None:
    """Also in answers that were kept: one written with a key that has gone leads nowhere."""
    api = await serve(sample)

    async def place(after: str | None = None) -> str:
        params = {"limit": "2"} if after is None else {"limit": "2", "after": after}
        async with await api.request("getData", params) as response:
            assert response.status == 200, await response.text()
            return response.headers["X-Next"]

    for _ in range(3):
        before = await place()
        await api.settled()
    config = tmp_path / "config.yaml"
    document = json.loads(sample.config.read_text())
    config.write_text(json.dumps({**document, "auth": {"keys": {"new": SECOND}}}))
    assert await asyncio.to_thread(running(api, config).reload)
    api.token = TokenService(SigningKeys({"new": SECOND}, "new"), 60).issue("rick", 1)
    after = await place()
    assert after != before
    assert await place(after)
    assert (await api.get("getData", {"limit": "2", "after": before}))[0] == 400


@pytest.mark.one_database
async def test_published_secret_is_not_taken_by_a_server_for_other_machines(
    serve: Serve, sample: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    api = await serve(sample, ELECDATA_SERVER__HOST="0.0.0.0")  # noqa: S104 - what is to be refused
    shipped = ROOT / "config.yaml"
    assert not await asyncio.to_thread(running(api, shipped).reload)
    assert (
        "reload failed, nothing was changed: server.host: 0.0.0.0 serves other machines"
        in caplog.text
    )
    assert (await api.get("ping"))[0] == 200


# Keys that sign by schedule

KEYS = (
    "keys: {a: {secret: " + FIRST + ", until: 2030-02-01},"
    " b: {secret: " + SECOND + ", from: 2030-01-01},"
    " c: {secret: " + THIRD + ", from: 2030-03-01, until: 2030-04-01}}"
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the time that tokens are issued and verified at."""

    def set_to(text: str) -> None:
        now = datetime.fromisoformat(text).replace(tzinfo=UTC)
        monkeypatch.setattr("server.security.tokens.time", SimpleNamespace(time=now.timestamp))

        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return cls.fromtimestamp(now.timestamp(), tz)

        monkeypatch.setattr("jwt.api_jwt.datetime", Clock)

    return set_to


def test_key_whose_time_has_come_signs_without_a_restart(
    tmp_path: Path, clock: Callable[[str], None]
) -> None:
    running = tokens(tmp_path, KEYS)
    for now, signer in (
        ("2029-06-01", "a"),
        ("2029-12-31T23:59:59", "a"),
        ("2030-01-01", "b"),
        ("2030-02-28", "b"),
        ("2030-03-01", "c"),
        ("2030-03-31T23:59:59", "c"),
    ):
        clock(now)
        token = running.issue("rick", 1)
        assert kid(token) == signer
        assert running.verify(token).user == "rick"


def test_token_holds_beyond_the_end_of_its_key_and_no_forged_one_does(
    tmp_path: Path, clock: Callable[[str], None]
) -> None:
    """Tokens live for a minute, and clocks may differ by another."""
    running = tokens(tmp_path, KEYS)
    clock("2029-12-31T23:59:59")
    token = running.issue("rick", 1)
    now = int(datetime(2029, 12, 31, tzinfo=UTC).timestamp())
    long = jwt.encode(
        {"sub": "rick", "iat": now, "exp": now + 10**9, "jti": "1"}, FIRST, headers={"kid": "a"}
    )
    clock("2030-01-01T00:00:58")
    for text in (token, long):
        assert running.verify(text).user == "rick"
    clock("2030-01-01T00:02:00")
    for text in (token, long):  # verified before, and by another server
        for server in (running, tokens(tmp_path, KEYS)):
            with pytest.raises(InvalidTokenError, match="expired"):
                server.verify(text)


def test_key_of_another_server_whose_clock_is_ahead_verifies_before_it_signs(
    tmp_path: Path, clock: Callable[[str], None]
) -> None:
    clock("2029-12-31T23:59:00")
    now = int(datetime(2029, 12, 31, tzinfo=UTC).timestamp())
    claims = {"sub": "rick", "iat": now, "exp": now + 86_400, "jti": "1"}
    token = jwt.encode(claims, SECOND, headers={"kid": "b"})
    assert tokens(tmp_path, KEYS).verify(token).user == "rick"


def test_secret_signs_while_no_key_with_a_schedule_does(
    tmp_path: Path, clock: Callable[[str], None]
) -> None:
    running = tokens(tmp_path, f"secret: {FIRST}", KEYS.replace(FIRST, "4" * 40))
    clock("2031-01-01")
    token = running.issue("rick", 1)
    assert kid(token) == kid(tokens(tmp_path, f"secret: {FIRST}").issue("rick", 1))
    assert running.verify(token).user == "rick"


async def test_login_and_change_of_password_do_nothing_while_no_key_signs(
    serve: Serve, database: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    database.configure(auth={"own_password": True})
    await database.load(report(*numbered(quarters("2019-08-01", 4))))
    await database.admit("rick")
    api = await serve(database)
    now = int(time.time())
    claims = {"sub": "rick", "gen": 1, "iat": now, "exp": now + 60, "jti": "1"}
    api.token = jwt.encode(claims, FIRST, headers={"kid": "a"})
    api.app[TOKENS].use(SigningKeys({"a": FIRST}, "a", None, {"a": SigningPeriod(ends=now - 1)}))
    form = {"old_password": "rick", "new_password": "a long walk in the rain"}
    for status, body in (
        await api.login("rick", "rick"),
        await api.get("changePassword", method="POST", data=form),
    ):
        assert (status, body["message"]) == (
            503,
            "No tokens can be signed now, the operator has to add a key",
        )
    assert "no key of auth.keys signs now" in caplog.text
    assert not [record for record in caplog.records if record.name == "audit"]
    api.app[TOKENS].use(SigningKeys.single(FIRST))
    assert (await api.login("rick", "rick"))[0] == 200


@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.tuples(st.integers(0, 50), st.integers(1, 50)).map(
            lambda p: SigningPeriod(p[0], sum(p))
        ),
        min_size=1,
    ),
    st.booleans(),
    st.integers(0, 120),
)
def test_schedule_has_no_moment_without_what_it_promises(
    periods: dict[str, SigningPeriod], has_default: bool, now: int
) -> None:
    """Against a plain model: of the begun keys the latest, if it has not ended, else the secret."""
    keys = SigningKeys(
        dict.fromkeys([*periods, "default"], FIRST),
        "default" if has_default else next(iter(periods)),
        None,
        periods,
    )

    def model(moment: int) -> str | None:
        begun = [kid for kid in periods if periods[kid].begins <= moment]
        latest = max(begun, key=lambda kid: (periods[kid].begins, kid), default=None)
        if latest is not None and moment < periods[latest].ends:
            return latest
        return "default" if has_default else None

    assert keys.signer(now) == model(now)
    ends = next((each for each in range(now, 300) if model(each) is None), math.inf)
    assert keys.signing_ends(now) == ends
    for each in range(now + 1):
        signer = model(each)
        assert signer is None or keys.verifies_until(signer, 5) >= each + 5


# Ed25519


def ed25519(folder: Path, name: str = "e") -> tuple[Ed25519PrivateKey, str]:
    """A key that the command makes, and its line in the section `auth`."""
    file = folder / name
    done = CliRunner().invoke(keys_command, ["new", "--ed25519", "--file", str(file)])
    assert done.output == f"{file} was written, name it in auth.keys\n"
    assert file.stat().st_mode & 0o777 == 0o600
    key = load_pem_private_key(file.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key, f"keys: {{{name}: {{file: {name}}}, s: {SECOND}}}"


def accepts(service: TokenService, text: str) -> bool:
    try:
        service.verify(text)
    except InvalidTokenError:
        return False
    return True


def public_pem(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_other_services_verify_tokens_of_an_ed25519_key_and_cannot_sign(tmp_path: Path) -> None:
    _, line = ed25519(tmp_path)
    running = tokens(tmp_path, line)
    token = running.issue("rick", 1)
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": "e", "typ": "JWT"}
    assert running.verify(token).user == "rick"
    (published,) = jwt.PyJWKSet.from_dict({"keys": running.public_keys()}).keys
    assert jwt.decode(token, published, algorithms=["EdDSA"])["sub"] == "rick"
    assert "d" not in running.public_keys()[0]


def test_algorithm_is_that_of_the_key_whatever_the_token_says(tmp_path: Path) -> None:
    private, line = ed25519(tmp_path)
    running = tokens(tmp_path, line)
    public = private.public_key()

    def signed(kid: str, alg: str, secret: bytes | None) -> str:
        """A token that no library would make."""
        head, body = (
            urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
            for part in ({"alg": alg, "kid": kid, "typ": "JWT"}, CLAIMS)
        )
        text = head + b"." + body
        signature = b"" if secret is None else hmac.digest(secret, text, "sha256")
        return (text + b"." + urlsafe_b64encode(signature).rstrip(b"=")).decode()

    forged = {
        "the public key as a secret, PEM": signed("e", "HS256", public_pem(private).encode()),
        "the public key as a secret, raw": signed("e", "HS256", public.public_bytes_raw()),
        "the same under EdDSA": signed("e", "EdDSA", public.public_bytes_raw()),
        "no signature": signed("e", "none", None),
        "no signature under EdDSA": signed("e", "EdDSA", None),
        "a secret of ours under the kid of the key": signed("e", "HS256", SECOND.encode()),
        "the key under the kid of a secret": jwt.encode(
            CLAIMS, private, algorithm="EdDSA", headers={"kid": "s"}
        ),
        "the key without a kid": jwt.encode(CLAIMS, private, algorithm="EdDSA"),
        "the key under another kid": jwt.encode(
            CLAIMS, private, algorithm="EdDSA", headers={"kid": "f"}
        ),
        "another key": jwt.encode(
            CLAIMS, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": "e"}
        ),
    }
    assert [name for name, text in forged.items() if accepts(running, text)] == []
    right = jwt.encode(CLAIMS, private, algorithm="EdDSA", headers={"kid": "e"})
    assert running.verify(right).user == "rick"


async def test_public_keys_are_served_without_a_token_and_no_secret_is_among_them(
    serve: Serve, sample: DatabaseFixture, tmp_path: Path
) -> None:
    api = await serve(sample)
    path = "/.well-known/jwks.json"
    async with await api.client.get(path) as response:
        assert response.status == 404
        assert (await response.json())["message"].startswith("Tokens are signed with secrets")
    private, line = await asyncio.to_thread(ed25519, tmp_path)
    keys = await asyncio.to_thread(lambda: SigningKeys.of(configured(tmp_path, line)))
    api.app[TOKENS].use(keys)
    async with await api.client.get(path) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "public, max-age=300"
        assert await response.json() == {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "x": urlsafe_b64encode(private.public_key().public_bytes_raw())
                    .rstrip(b"=")
                    .decode(),
                    "kid": "e",
                    "use": "sig",
                    "alg": "EdDSA",
                }
            ]
        }
    status, body = await api.login("rick", "morty")
    assert status == 200
    assert kid(body["value_token"]) == "e"
    api.token = body["value_token"]
    assert (await api.get("ping"))[0] == 200


def test_public_key_is_published_until_its_tokens_have_expired(
    tmp_path: Path, clock: Callable[[str], None]
) -> None:
    for name in ("e", "f"):
        ed25519(tmp_path, name)
    line = "keys: {e: {file: e, until: 2030-01-01}, f: {file: f, from: 2030-01-01}}"
    running = tokens(tmp_path, line)
    for now, published in (("2029-12-01", ["e", "f"]), ("2030-01-01T00:03:00", ["f"])):
        clock(now)
        assert [key["kid"] for key in running.public_keys()] == published


def test_key_file_is_never_replaced_and_a_printed_secret_is_good(tmp_path: Path) -> None:
    _, _ = ed25519(tmp_path)
    before = (tmp_path / "e").read_bytes()
    again = CliRunner().invoke(keys_command, ["new", "--file", str(tmp_path / "e")])
    assert again.exit_code == 1
    assert again.stderr == f"ERROR - {tmp_path}/e: File exists (use --debug for a traceback)\n"
    assert (tmp_path / "e").read_bytes() == before
    printed = CliRunner().invoke(keys_command, ["new"]).output.strip()
    assert tokens(tmp_path, f"keys: {{p: {printed}}}").issue("rick", 1)
