"""Several keys that sign and verify, and their replacement while tokens are out."""

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from server.context import SETTINGS
from server.process.reload import Running
from server.security.signing_keys import SigningKeys
from server.security.tokens import InvalidTokenError, TokenService
from settings import Settings, load_settings
from tests.server.observability.test_logs import said_by_all
from tests.server.process.test_server_command import Server, connected, received
from tests.support.app_client import SECRET, Api, Serve
from tests.support.databases import DatabaseFixture
from tests.support.paths import ROOT

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


def test_secret_that_was_made_verifies_beside_keys_as_long_as_it_is_kept(tmp_path: Path) -> None:
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
        TokenService(SigningKeys(keys, *keys), 60).issue("rick", 1) for keys in (old, new)
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
