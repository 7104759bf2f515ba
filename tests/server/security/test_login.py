"""Logins that are refused: alike, slowly, not too often, and not too many at once."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from itertools import chain, count, repeat
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import encode_basic_auth

import storage.common.passwords
from server.security.login_throttle import LoginThrottle
from server.security.password_checker import (
    MAX_CONCURRENT_CHECKS,
    MAX_OF_A_NETWORK,
    MAX_OF_A_USER,
    MAX_WAITING,
    PASSWORD_CHECKER,
    Asker,
    BusyError,
    PasswordChecker,
)
from storage.common.errors import Unreachable
from storage.common.passwords import UNMATCHABLE_HASH, hash_password, verify_password
from tests.support.app_client import Api, Serve
from tests.support.databases import DatabaseFixture

pytestmark = [pytest.mark.promise("Getting in"), pytest.mark.one_database]


async def answered(api: Api, user: str, password: str) -> tuple[int, dict[str, str], Any]:
    """The status, the headers but for those that differ each time, and the body."""
    headers = {"Authorization": encode_basic_auth(user, password)}
    async with await api.client.post("/login", headers=headers) as response:
        kept = {k: v for k, v in response.headers.items() if k not in ("Date", "X-Request-ID")}
        return response.status, kept, await response.json()


# No difference between users that exist and others


async def test_unknown_user_gets_the_answer_of_a_wrong_password(api: Api) -> None:
    assert await answered(api, "nobody", "morty") == await answered(api, "rick", "Morty")


@pytest.mark.parametrize("user", ["rick", "nobody", "x" * 500])
async def test_password_is_hashed_once_whoever_logs_in(
    api: Api, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    costs = []
    verify = storage.common.passwords._HASHER.verify

    def watched(_: object, stored: str, password: str) -> bool:
        costs.append(stored.split("$")[3])
        return verify(stored, password)

    monkeypatch.setattr(type(storage.common.passwords._HASHER), "verify", watched)
    assert (await api.login(user, "Morty"))[0] == 401
    assert costs == [hash_password("").split("$")[3]]


def test_hash_of_nobody_matches_no_password_and_takes_as_long() -> None:
    ours = hash_password("")
    assert UNMATCHABLE_HASH.split("$")[:4] == ours.split("$")[:4]
    assert [len(part) for part in UNMATCHABLE_HASH.split("$")] == [
        len(part) for part in ours.split("$")
    ]
    assert not verify_password("", UNMATCHABLE_HASH)


# Not too often


async def test_user_is_put_off_after_too_many_failures(
    serve: Serve, sample: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(
        "server.security.login_throttle.time", SimpleNamespace(monotonic=lambda: clock.now)
    )
    api = await serve(sample, ELECDATA_AUTH__ATTEMPTS="3", ELECDATA_AUTH__ATTEMPTS_WINDOW="60")
    for _ in range(3):
        assert (await api.login("rick", "Morty"))[0] == 401
    clock.now += 0.5
    for password in ("morty", "Morty"):
        status, headers, body = await answered(api, "rick", password)
        assert status == 429
        assert headers["Retry-After"] == "60"
        assert body == {
            "message": "Too many logins have failed, try again in 60 s",
            "status": "ERROR",
            "statusCode": "429",
        }
    assert (await api.login("beth", "Morty"))[0] == 401
    clock.now += 60
    assert (await api.login("rick", "morty"))[0] == 200


async def test_unknown_user_is_put_off_just_as_well(
    serve: Serve, sample: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "server.security.login_throttle.time", SimpleNamespace(monotonic=lambda: 1000.0)
    )
    api = await serve(sample, ELECDATA_AUTH__ATTEMPTS="1")
    answers = [[await api.login(user, "x") for _ in range(3)] for user in ("rick", "nobody")]
    assert answers[0] == answers[1]
    assert [status for status, _ in answers[0]] == [401, 429, 429]


async def test_right_login_forgives_the_failures_before_it(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, ELECDATA_AUTH__ATTEMPTS="3")
    for _ in range(3):
        for password, expected in (("x", 401), ("x", 401), ("morty", 200)):
            assert (await api.login("rick", password))[0] == expected


async def test_address_is_put_off_after_ten_times_as_many(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, ELECDATA_AUTH__ATTEMPTS="1")
    statuses = [(await api.login(f"user {number}", "x"))[0] for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert (await api.login("rick", "morty"))[0] == 429


async def test_logins_at_once_are_counted_before_they_fail(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, ELECDATA_AUTH__ATTEMPTS="3")
    answers = await asyncio.gather(*(api.login("rick", "x") for _ in range(12)))
    assert sorted(status for status, _ in answers) == [401] * 3 + [429] * 9


async def test_logins_during_an_outage_use_up_no_attempts(
    serve: Serve, sample: DatabaseFixture
) -> None:
    api = await serve(sample, ELECDATA_AUTH__ATTEMPTS="1")

    async def fail(_: str) -> str:
        raise Unreachable("gone")

    api.engine.step_in = fail
    assert [(await api.login("rick", "morty"))[0] for _ in range(12)] == [503] * 12
    api.engine.step_in = None
    assert (await api.login("rick", "morty"))[0] == 200


async def test_attempts_behind_a_proxy_count_for_its_clients(
    serve: Serve, sample: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """What a client says itself stands left of what the proxy says, and is not believed."""
    caplog.set_level("INFO", "audit")
    api = await serve(sample, ELECDATA_AUTH__ATTEMPTS="1", ELECDATA_SERVER__PROXIES="127.0.0.1")

    async def status(user: str, forwarded: str) -> int:
        headers = {
            "Authorization": encode_basic_auth(user, "Morty"),
            "X-Forwarded-For": forwarded,
        }
        async with api.client.post("/login", headers=headers) as response:
            return response.status

    for number in range(10):
        assert await status(f"user {number}", f"198.51.100.{number}, 192.0.2.7") == 401
    assert await status("another", "198.51.100.99, 192.0.2.7") == 429
    assert await status("another", "192.0.2.8") == 401
    lines = [record.getMessage() for record in caplog.records if record.name == "audit"]
    assert {line.split(" address=")[1].split()[0] for line in lines} == {"192.0.2.7", "192.0.2.8"}


def test_window_of_attempts_closes_after_the_first_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(
        "server.security.login_throttle.time", SimpleNamespace(monotonic=lambda: clock.now)
    )
    attempts = LoginThrottle(2, 60)
    waits = []
    for seconds in (0, 40, 20):
        clock.now += seconds
        attempts.begin("rick", "192.0.2.1")
        waits.append(attempts.wait("rick", "192.0.2.1"))
    assert waits == [0, 20, 0]


def test_right_logins_never_put_off_their_address() -> None:
    attempts = LoginThrottle(1, 60)
    for number in range(30):
        attempts.begin(f"user {number}", "192.0.2.1").succeed()
    assert attempts.wait("rick", "192.0.2.1") == 0


def test_addresses_of_one_ipv6_network_count_together() -> None:
    attempts = LoginThrottle(1, 60)
    for number in range(10):
        attempts.begin(f"user {number}", f"2001:db8::{number:x}")
    assert attempts.wait("rick", "2001:db8::ffff:1") > 0
    assert attempts.wait("rick", "2001:db8:0:1::1") == 0
    assert attempts.wait("rick", None) == 0


# Not too many at once


class Gate:
    """Checks passwords as ever, but holds each check until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.running = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, password: str, stored: str) -> bool:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            assert self.opened.wait(30)
            return verify_password(password, stored)
        finally:
            with self._lock:
                self.running -= 1


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr("server.security.password_checker.verify_password", gate)
    yield gate
    gate.opened.set()  # or the server would wait for its threads


MANY = {"ELECDATA_AUTH__ATTEMPTS": "100", "ELECDATA_SERVER__PROXIES": "127.0.0.1"}


async def login_from(address: str, api: Api, user: str, password: str) -> tuple[int, Any]:
    """Log in through a proxy; return the status and the body."""
    headers = {"Authorization": encode_basic_auth(user, password), "X-Forwarded-For": address}
    async with api.client.post("/login", headers=headers) as response:
        return response.status, await response.json()


async def put_off(logins: list[asyncio.Task[Any]], number: int) -> set[asyncio.Task[Any]]:
    """Wait until so many logins are answered, and return them."""
    async with asyncio.timeout(30):
        while sum(login.done() for login in logins) < number:
            await asyncio.sleep(0)
    return {login for login in logins if login.done()}


async def test_logins_beyond_the_line_are_put_off_and_others_are_served(
    serve: Serve, sample: DatabaseFixture, gate: Gate
) -> None:
    api = await serve(sample, **MANY)
    room = MAX_CONCURRENT_CHECKS + MAX_WAITING
    logins = [
        asyncio.create_task(login_from(f"192.0.2.{n}", api, f"user {n}", "x"))
        for n in range(room + 10)
    ]
    done = await put_off(logins, 10)
    busy = {"message": "Too many logins at once, try again in 1 s", "status": "ERROR"}
    for login in done:
        assert login.result() == (503, busy | {"statusCode": "503"})
    assert (await api.get("ping"))[0] == (await api.get("getDataById?id=5"))[0] == 200
    gate.opened.set()
    statuses = sorted(status for status, _ in await asyncio.gather(*logins))
    assert statuses == [401] * room + [503] * 10
    assert gate.most <= MAX_CONCURRENT_CHECKS
    assert (await api.login("rick", "x"))[0] == 401


@pytest.mark.parametrize(
    ("user", "places", "another", "address"),
    [
        ("rick", MAX_OF_A_USER, "user", "192.0.2.1"),
        ("user {}", MAX_OF_A_NETWORK, "user 0", "192.0.2.2"),
    ],
    ids=["one user", "one address"],
)
async def test_logins_of_one_leave_places_to_others(
    serve: Serve,
    sample: DatabaseFixture,
    gate: Gate,
    user: str,
    places: int,
    another: str,
    address: str,
) -> None:
    api = await serve(sample, **MANY)
    logins = [
        asyncio.create_task(login_from("192.0.2.1", api, user.format(n), "x")) for n in range(40)
    ]
    await put_off(logins, 40 - places)
    other = asyncio.create_task(login_from(address, api, another, "x"))
    while not other.done() and sum(api.app[PASSWORD_CHECKER]._users.values()) == places:
        await asyncio.sleep(0)
    gate.opened.set()
    assert (await other)[0] == 401
    statuses = sorted(status for status, _ in await asyncio.gather(*logins))
    assert statuses == [401] * places + [503] * (40 - places)
    assert not api.app[PASSWORD_CHECKER]._users


async def test_logins_that_are_put_off_as_busy_use_up_no_attempts(
    serve: Serve, sample: DatabaseFixture, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.security.password_checker.MAX_WAITING", 0)
    api = await serve(sample, ELECDATA_AUTH__ATTEMPTS="1")
    logins = [
        asyncio.create_task(api.login(f"user {n}", "x")) for n in range(MAX_CONCURRENT_CHECKS)
    ]
    async with asyncio.timeout(10):
        while gate.running < MAX_CONCURRENT_CHECKS:
            await asyncio.sleep(0)
        statuses = [(await api.login("rick", "morty"))[0] for _ in range(12)]
        gate.opened.set()
        await asyncio.gather(*logins)
    assert statuses == [503] * 12
    assert (await api.login("rick", "morty"))[0] == 200


async def test_clients_that_leave_make_no_room_for_more_hashes(gate: Gate) -> None:
    hashing = PasswordChecker()
    stored = hash_password("morty")
    askers = (Asker(f"user {number}", f"192.0.2.{number}") for number in count())
    first = [
        asyncio.create_task(hashing.matches(next(askers), "x", stored))
        for _ in range(MAX_CONCURRENT_CHECKS)
    ]
    while gate.running < MAX_CONCURRENT_CHECKS:
        await asyncio.sleep(0)
    waiting = [
        asyncio.create_task(hashing.matches(next(askers), "x", stored)) for _ in range(MAX_WAITING)
    ]
    await asyncio.sleep(0)
    for task in first:
        task.cancel()
    await asyncio.wait(first)
    with pytest.raises(BusyError):
        await hashing.matches(next(askers), "x", stored)
    for task in waiting[1:]:
        task.cancel()
    await asyncio.wait(waiting[1:])
    right = asyncio.create_task(hashing.matches(next(askers), "morty", stored))
    await asyncio.sleep(0)
    assert gate.running == MAX_CONCURRENT_CHECKS
    gate.opened.set()
    assert await right
    assert not await waiting[0]
    assert gate.most == MAX_CONCURRENT_CHECKS
    await hashing.close()


# The log


async def test_refused_login_is_in_the_log_with_its_reason(
    serve: Serve, sample: DatabaseFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "audit")
    api = await serve(sample, ELECDATA_AUTH__ATTEMPTS="1")
    forged = 'x" reason=none\r\nlogin user="rick'
    for user in ("rick", "rick", forged, "é" * 70):
        await api.login(user, "Hunter2")
    async with await api.client.get("/login", headers={"Authorization": "Basic Hunter2"}):
        pass
    lines = [record.getMessage() for record in caplog.records if record.name == "audit"]
    starts = [
        'login refused user="rick" address=127.0.0.1 reason=password id=',
        'login refused user="rick" address=127.0.0.1 reason=attempts id=',
        r'login refused user="x\" reason=none\r\nlogin user=\"rick" address=127.0.0.1 reason=',
        'login refused user="' + r"\u00e9" * 64 + '" address=127.0.0.1 reason=unknown id=',
        "login refused user=- address=127.0.0.1 reason=malformed id=",
    ]
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start)
    assert "Hunter2" not in caplog.text


async def test_clock_that_jumps_during_a_login_costs_no_error(
    serve: Serve, sample: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await serve(sample)
    jumps = chain([0, 0], repeat(86400))
    clock = SimpleNamespace(time=lambda: time.time() + next(jumps))
    monkeypatch.setattr("server.security.tokens.time", clock)
    status, body = await api.login("rick", "morty")
    assert status == 200
    assert body["value_token"]
