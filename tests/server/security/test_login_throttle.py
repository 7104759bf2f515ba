"""The login throttle under any number of names and addresses: nobody gets more guesses."""

from collections import Counter
from types import SimpleNamespace

import pytest
from aiohttp import encode_basic_auth
from hypothesis import given
from hypothesis import strategies as st

from server.security import login_throttle
from server.security.login_throttle import Attempt, LoginThrottle
from server.security.password_checker import MAX_CONCURRENT_CHECKS
from tests.support.app_client import Serve
from tests.support.databases import DatabaseFixture

pytestmark = pytest.mark.promise("Getting in")

WINDOW = 60.0
LIMIT = 3
LIMITS = {"strangers": LIMIT, "known": LIMIT, "addresses": 10 * LIMIT}

ACTIONS = ("begin",) * 5 + ("cancel", "succeed")
USERS = tuple(f"user {number}" for number in range(5))
ADDRESSES = ("192.0.2.1", "192.0.2.2", "198.51.100.1")
PAUSES = (0.0,) * 20 + (1.0, 59.0)
STEPS = st.lists(
    st.integers(0, len(ACTIONS) * len(USERS) * len(ADDRESSES) * len(PAUSES) - 1),
    min_size=40,
    max_size=150,
)
"""Each is an action, a user, an address and a pause, as one number, which is quicker to draw."""


class Model:
    """What the throttle promises: the guesses of each window, by whom they are counted."""

    def __init__(self) -> None:
        self._closes = dict.fromkeys(("strangers", "known", "addresses"), 0.0)
        self._guesses: dict[str, dict[Attempt, str]] = {kind: {} for kind in self._closes}
        self._seen: dict[str, set[str]] = {kind: set() for kind in self._closes}
        self._friends: set[str] = set()

    def begin(self, attempt: Attempt, user: str, address: str, now: float) -> None:
        for kind, key in self._keys(user, address):
            if now >= self._closes[kind]:
                self._guesses[kind].clear()
                self._seen[kind].clear()
                self._closes[kind] = now + WINDOW
            self._guesses[kind][attempt] = key
            self._seen[kind].add(key)

    def cancel(self, attempt: Attempt) -> None:
        for guesses in self._guesses.values():
            guesses.pop(attempt, None)

    def succeed(self, attempt: Attempt, user: str, address: str) -> None:
        self.cancel(attempt)
        pair = f"{user} {address}"
        self._friends.add(pair)
        known = self._guesses["known"]
        self._guesses["known"] = {each: key for each, key in known.items() if key != pair}

    def most(self, kind: str) -> int:
        """The guesses of the key that has most of them."""
        return max(Counter(self._guesses[kind].values()).values(), default=0)

    def may_be_put_off(self, user: str, address: str, own: int) -> bool:
        """Whether a limit is reached, or there are so many keys that some share a count."""
        return any(
            len(self._seen[kind] | {key}) > own
            or Counter(self._guesses[kind].values())[key] >= LIMITS[kind]
            for kind, key in self._keys(user, address)
        )

    def _keys(self, user: str, address: str) -> list[tuple[str, str]]:
        pair = f"{user} {address}"
        mine = ("known", pair) if pair in self._friends else ("strangers", user)
        return [mine, ("addresses", address)]


@given(STEPS, st.integers(1, 6), st.integers(1, 3))
def test_nobody_gets_more_guesses_than_the_limit_in_a_window(
    steps: list[int], own: int, shared: int
) -> None:
    """However many names and addresses there are: here with room for a few only.

    A guess is an attempt that was begun and not taken back. Those of strangers count together,
    those from a network where the user has logged in since the latest such login.
    """
    with pytest.MonkeyPatch.context() as patch:
        now = 1000.0
        patch.setattr(login_throttle, "time", SimpleNamespace(monotonic=lambda: now))
        patch.setattr(login_throttle, "_SHARED_COUNTS", shared)
        patch.setattr(login_throttle, "_MAX_KEYS", own)
        throttle, model = LoginThrottle(LIMIT, WINDOW), Model()
        pending: list[tuple[Attempt, str, str]] = []
        for step in steps:
            rest, action = divmod(step, len(ACTIONS))
            rest, number = divmod(rest, len(USERS))
            pause, place = divmod(rest, len(ADDRESSES))
            now += PAUSES[pause]
            user, address = USERS[number], ADDRESSES[place]
            if ACTIONS[action] != "begin" and pending:
                attempt, user, address = pending.pop(number % len(pending))
                if ACTIONS[action] == "cancel":
                    attempt.cancel()
                    model.cancel(attempt)
                else:
                    attempt.succeed()
                    model.succeed(attempt, user, address)
            elif throttle.wait(user, address):
                assert model.may_be_put_off(user, address, own)
            else:
                attempt = throttle.begin(user, address)
                pending.append((attempt, user, address))
                model.begin(attempt, user, address, now)
            for kind, limit in LIMITS.items():
                assert model.most(kind) <= limit
            for counter in (throttle._strangers, throttle._known, throttle._addresses):
                assert len(counter._counts) <= own + shared


def test_attempts_are_remembered_in_bounded_memory_whatever_comes_after_them() -> None:
    """Twenty thousand names from as many networks, and as many again that were not checked."""
    throttle = LoginThrottle(1, WINDOW)
    throttle.begin("first", "192.0.2.1")
    for number in range(20_000):
        throttle.begin(f"user {number}", f"2001:db8:{number:x}::1")
        throttle.begin(f"busy {number}", f"2001:db9:{number:x}::1").cancel()
    for counter in (throttle._strangers, throttle._addresses):
        assert len(counter._counts) <= 10_000 + 1024
    assert throttle.wait("first", None) > 0
    for name in ("user 0", "user 9998", "user 19999"):
        assert throttle.wait(name, "192.0.2.2") > 0


def test_shared_count_is_kept_when_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_throttle, "_MAX_KEYS", 2)
    throttle = LoginThrottle(2, WINDOW)
    first, second = [throttle.begin(name, "192.0.2.1") for name in ("first", "second")]
    throttle.begin("rick", "192.0.2.1")
    first.cancel()
    second.cancel()
    throttle.begin("rick", "192.0.2.1")
    assert throttle.wait("rick", "192.0.2.1") > 0


def test_strangers_cannot_lock_a_user_out_where_the_user_has_logged_in() -> None:
    """That place has as many attempts of its own, and a right login forgives them."""
    throttle = LoginThrottle(2, WINDOW)
    throttle.begin("rick", "192.0.2.1").succeed()
    for number in range(2):
        throttle.begin("rick", f"198.51.100.{number}")
    assert throttle.wait("rick", "198.51.100.9") > 0
    for _ in range(3):
        assert throttle.wait("rick", "192.0.2.1") == 0
        throttle.begin("rick", "192.0.2.1")
        throttle.begin("rick", "192.0.2.1").succeed()
    throttle.begin("rick", "192.0.2.1")
    throttle.begin("rick", "192.0.2.1")
    assert throttle.wait("rick", "192.0.2.1") > 0
    assert throttle.wait("beth", "192.0.2.1") == 0


def test_right_logins_forgive_strangers_nothing() -> None:
    """Who logs in every minute would grant them guesses every minute."""
    throttle = LoginThrottle(3, WINDOW)
    guesses = 0
    for _ in range(30):
        throttle.begin("rick", "192.0.2.1").succeed()
        if not throttle.wait("rick", "198.51.100.1"):
            throttle.begin("rick", "198.51.100.1")
            guesses += 1
    assert guesses == 3


def test_networks_of_a_user_are_remembered_from_the_latest_login_back() -> None:
    throttle = LoginThrottle(1, WINDOW)
    for number in range(20_000):
        throttle.begin(f"user {number}", "192.0.2.1").succeed()
    for number in range(9):
        throttle.begin("rick", f"203.0.113.{number}").succeed()
    throttle.begin("rick", "198.51.100.1")
    waits = [throttle.wait("rick", f"203.0.113.{number}") > 0 for number in range(9)]
    assert waits == [True] + [False] * 8
    assert len(throttle._networks) == 10_000


@pytest.mark.one_database
async def test_user_logs_in_at_home_while_strangers_guess(
    serve: Serve, database: DatabaseFixture
) -> None:
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        await writer.engine.admit_reader()
    api = await serve(database, ELECDATA_AUTH__ATTEMPTS="2", ELECDATA_SERVER__PROXIES="127.0.0.1")

    async def login(password: str, address: str) -> int:
        headers = {
            "Authorization": encode_basic_auth("rick", password),
            "X-Forwarded-For": address,
        }
        async with api.client.post("/login", headers=headers) as response:
            return response.status

    home, strange = "192.0.2.1", "198.51.100.1"
    assert await login("rick", home) == 200
    assert [await login("x", strange) for _ in range(3)] == [401, 401, 429]
    assert await login("rick", strange) == 429
    assert await login("rick", home) == 200


async def test_logins_that_find_no_room_do_not_empty_the_throttle(
    serve: Serve, sample: DatabaseFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are refused unchecked, as fast as they come, and once took the places of others."""
    monkeypatch.setattr(login_throttle, "_MAX_KEYS", 5)
    api = await serve(sample, ELECDATA_AUTH__ATTEMPTS="1")
    assert (await api.login("rick", "x"))[0] == 401
    # From now on, nothing is checked.
    monkeypatch.setattr("server.security.password_checker.MAX_WAITING", -MAX_CONCURRENT_CHECKS)
    for number in range(20):
        assert (await api.login(f"user {number}", "x"))[0] == 503
    assert (await api.login("rick", "morty"))[0] == 429
