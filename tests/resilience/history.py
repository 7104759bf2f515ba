"""What a service was asked and what it answered, checked against a model that is a list.

Each import makes a numbered version of all readings. An answer has to be of one whole version, not
older than the newest that was committed before the request began, nor newer than the last that may
have been committed before its end. A token is good until something that revokes it begins, and bad
once that has ended.
"""

import json
import math
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from tests.resilience.readings import numbered_report

COUNT = 4500
"""Readings of each version: one page that is kept ready, and a part of another."""

STEP = 10_000
"""What the energy of each reading grows by from version to version."""

PATIENCE = 8.0
"""Seconds after which a client gives up."""

NOTHING: Mapping[str, str] = {}
LOST = (ClientError, OSError, TimeoutError)

T = TypeVar("T")


def versioned_report(version: int) -> str:
    """A report that makes a version of all readings."""
    return numbered_report(COUNT, 1 + version * STEP)


@dataclass
class Change(Generic[T]):
    """What became of something at a moment between two others, if the second is known."""

    value: T
    began: float
    ended: float = math.inf


class Timeline(Generic[T]):
    """The changes of something, made one after the other."""

    def __init__(self, value: T) -> None:
        self.changes = [Change(value, -math.inf, -math.inf)]

    def begin(self, value: T) -> Change[T]:
        """A change that begins now; its end is to be noted."""
        change = Change(value, time.monotonic())
        self.changes.append(change)
        return change

    def possible(self, began: float, ended: float) -> list[T]:
        """What it can have been at some moment between two others."""
        certain = max(n for n, each in enumerate(self.changes) if each.ended <= began)
        return [each.value for each in self.changes[certain:] if each.began <= ended]

    def seen(self, value: T, ended: float) -> None:
        """A change that shows has been made."""
        for change in reversed(self.changes):
            if change.value == value:
                change.ended = min(change.ended, ended)
                return


@dataclass(frozen=True)
class Account:
    """A user as the database has it."""

    password: str
    enabled: bool = True


@dataclass(eq=False)
class Login:
    """A token, and when it was issued."""

    user: str
    token: str
    began: float
    ended: float


@dataclass
class Revocation:
    """Something that revokes a token, those of a user, or all."""

    of: Login | str | None
    began: float
    ended: float = math.inf
    given_up: float = math.inf
    """By when it has happened, if it has happened at all."""

    def concerns(self, login: Login) -> bool:
        """Whether it may revoke a token: then the token was not issued after it."""
        is_its = self.of in (None, login, login.user)
        return is_its and login.began < min(self.ended, self.given_up)

    def is_certain(self, login: Login, moment: float) -> bool:
        """Whether a token is bad at a moment: then it was issued before it."""
        return self.concerns(login) and login.ended <= self.began and self.ended <= moment


class Wrong(Exception):  # noqa: N818 - it is the answer that is wrong
    """An answer that must not be."""


@dataclass
class History:
    """The model, and what the clients have seen of the service."""

    port: int
    versions: Timeline[int] = field(default_factory=lambda: Timeline(0))
    accounts: dict[str, Timeline[Account]] = field(default_factory=dict)
    logins: list[Login] = field(default_factory=list)
    revocations: list[Revocation] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    clock: Timeline[bool] = field(default_factory=lambda: Timeline(False))
    """Whether the clock of the service is wrong: then it may refuse what it issued."""
    tags: dict[str, bytes] = field(default_factory=dict)

    def session(self) -> ClientSession:
        """A client whose connections go to either worker."""
        return ClientSession(
            f"http://127.0.0.1:{self.port}",
            connector=TCPConnector(limit=0, force_close=True),
            timeout=ClientTimeout(total=PATIENCE),
            headers={"Accept-Encoding": "identity"},
        )

    def revoke(self, of: Login | str | None) -> Revocation:
        """Something that begins now to revoke tokens; its end is to be noted."""
        revocation = Revocation(of, time.monotonic())
        self.revocations.append(revocation)
        return revocation

    def is_revoked(self, login: Login, began: float) -> bool:
        """Whether a token must be refused by whoever is asked at a moment."""
        return any(each.is_certain(login, began) for each in self.revocations)

    def is_good(self, login: Login, began: float, ended: float) -> bool:
        """Whether a token must not be refused between two moments."""
        times = ((login.began, login.ended), (began, ended))
        if any(any(self.clock.possible(*each)) for each in times):
            return False
        return not any(each.began <= ended and each.concerns(login) for each in self.revocations)


class Client:
    """Asks for everything, and raises Wrong for what contradicts the model."""

    def __init__(self, history: History, session: ClientSession, user: str) -> None:
        self.history = history
        self.user = user
        self.login: Login | None = None
        self._session = session
        self._remembered: dict[str, tuple[str, int]] = {}
        """The tag of an address's last answer, and the version it was of."""

    async def log_in(self) -> Login | None:
        """A new token, if the service gives one."""
        accounts = self.history.accounts[self.user]
        known = accounts.changes[-1].value
        basic = b64encode(f"{self.user}:{known.password}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"}
        began = time.monotonic()
        async with self._session.post("/login", headers=headers) as response:
            body = await response.json()
        ended = time.monotonic()
        fits = [
            each.enabled and each.password == known.password
            for each in accounts.possible(began, ended)
        ]
        if response.status == 200:
            self._require(any(fits), "a login that the database refuses")
            login = Login(self.user, body["value_token"], began, ended)
            self.history.logins.append(login)
            self.login = login
            return login
        if response.status == 401:
            self._require(not all(fits), "a good login refused")
        else:
            self._require(response.status in (429, 503), f"login: {response.status} {body}")
        return None

    async def log_out(self, login: Login) -> None:
        """Revokes a token."""
        revocation = self.history.revoke(login)
        async with self._session.post("/logout", headers={"SESSION": login.token}) as response:
            await response.read()
        if response.status == 200:
            revocation.ended = time.monotonic()
        self._require(response.status in (200, 406, 503), f"logout: {response.status}")

    async def ask(
        self,
        path: str,
        login: Login,
        params: Mapping[str, str] = NOTHING,
        headers: Mapping[str, str] = NOTHING,
    ) -> tuple[int, bytes, Mapping[str, str], float, float]:
        """An answer, found to be one that the token may get."""
        began = time.monotonic()
        async with self._session.get(
            f"/apielec/{path}", params=params, headers={"SESSION": login.token, **headers}
        ) as response:
            body = await response.read()
        ended = time.monotonic()
        what = f"{path} {dict(params)}: {response.status} {body[:200]!r}"
        if response.status in (200, 304):
            is_revoked = self.history.is_revoked(login, began)
            self._require(not is_revoked, f"a revoked token of {login.user}: {what}")
        elif response.status == 406:
            is_good = self.history.is_good(login, began, ended)
            self._require(not is_good, f"a good token refused: {what}")
        else:
            # The readings of earlier pages were changed.
            is_outdated = response.status == 410 and "after" in params
            self._require(response.status == 503 or is_outdated, what)
        return response.status, body, response.headers, began, ended

    async def read(self, path: str, **params: str) -> bool:
        """Asks for readings or figures again, with the tag of the last answer."""
        login = self.login or await self.log_in()
        if login is None:
            return False
        address = f"{path} {params}"
        tag, remembered = self._remembered.get(address, ("", -1))
        condition = {"If-None-Match": tag} if tag else {}
        status, body, headers, began, ended = await self.ask(path, login, params, condition)
        if status == 406:
            self.login = None
        if status == 304:
            self._check(address, remembered, began, ended)
        if status == 200:
            tag = headers["ETag"]
            known = self.history.tags.setdefault(tag, body)
            self._require(known == body, f"{address}: one ETag for two contents")
            version = self._version(address, path, body)
            self._remembered[address] = tag, version
            self._check(address, version, began, ended)
        outcome = {200: "right", 304: "not modified"}.get(status, "put off")
        self.history.outcomes[outcome] += 1
        return status in (200, 304)

    async def read_pages(self) -> None:
        """Asks for all readings page by page, all of which are of the version of the first."""
        login = self.login or await self.log_in()
        first, records, params = -1, 0, {"limit": "1500"}
        while login is not None:
            status, body, headers, began, ended = await self.ask("getData", login, params)
            if status != 200:
                return
            version = self._version("pages", "page", body)
            if "after" not in params:
                first = version
                self._check("the first page", version, began, ended)
            self._require(version == first, f"pages of versions {first} and {version}")
            records += len(json.loads(body)["values"]["records"])
            if "X-Next" not in headers:
                self._require(records == COUNT, f"pages of {records} records")
                self.history.outcomes["right"] += 1
                return
            params = {"limit": "1500", "after": headers["X-Next"]}

    def _check(self, address: str, version: int, began: float, ended: float) -> None:
        possible = self.history.versions.possible(began, ended)
        self._require(version in possible, f"{address}: version {version}, not of {possible}")
        self.history.versions.seen(version, ended)

    def _version(self, address: str, path: str, body: bytes) -> int:
        """The version that a whole answer is of."""
        records: list[dict[str, Any]] = json.loads(body)["values"]["records"]
        if path == "getAggregate":
            total = sum(round(float(each["energy"])) for each in records)
            version, rest = divmod(total - sum(range(1, COUNT + 1)), COUNT * STEP)
            self._require(rest == 0, f"{address}: a total of mixed versions")
            return version
        ids = [int(each["id"]) for each in records]
        self._require(
            bool(ids) and ids == list(range(ids[0], ids[0] + len(ids))), f"{address}: ids {ids}"
        )
        if path == "getData":
            self._require((ids[0], len(ids)) == (1, COUNT), f"{address}: not whole")
        versions = {
            divmod(round(float(each["energy"])) - number, STEP)
            for number, each in zip(ids, records, strict=True)
        }
        self._require(len(versions) == 1, f"{address}: mixed versions {versions}")
        version, rest = versions.pop()
        self._require(rest == 0, f"{address}: not its energy")
        return version

    def _require(self, condition: bool, what: str) -> None:
        if not condition:
            raise Wrong(what)
