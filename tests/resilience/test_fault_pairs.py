"""A history of answers under pairs of faults that are drawn at random, checked against a model."""

import asyncio
import math
import os
import random
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from aiohttp import ClientSession

from storage.common.errors import StorageError
from storage.common.passwords import hash_password
from tests.resilience.faults import (
    EVERYWHERE,
    OF_THE_DATABASE,
    Fault,
    World,
    back_up,
    clock_moved,
    disk_full,
    drawn,
    sqlite_replaced,
)
from tests.resilience.history import (
    LOST,
    PATIENCE,
    Account,
    Client,
    History,
    Timeline,
    Wrong,
    versioned_report,
)
from tests.resilience.test_clock import library
from tests.resilience.test_disk import disk, resize
from tests.resilience.test_killed_loader import AFTER_ALL, Loaders
from tests.resilience.test_shutdown import listening
from tests.server.process.test_server_command import Server
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.mariadb import MariaDB
from tests.support.promises import Tried
from tests.support.redis_server import Redis

pytestmark = pytest.mark.promise("Bad nights")

FEW = 3
MANY = int(os.environ.get("PAIRS_ROUNDS", "100"))
"""Rounds over each database."""

READERS = 3
BACK = 5.0
"""Seconds after the last fault until the service is back."""

BUSY = 2.0
"""Processes for each core up to which a machine is not taken for slower than that."""

IN_A_ROW = 6
"""Answers to new connections after which both workers are taken to be back."""

MIB = 2**20
DISK = 1024 * MIB
ROOM = 256 * MIB
RICKS = "portal"
MORTYS = ("jeez", "geez")


class Tale:
    """What goes on at a service while faults befall it."""

    def __init__(self, world: World, loaders: Loaders) -> None:
        self._world = world
        self._loaders = loaders
        self._random = random.Random(world.random.random())  # noqa: S311 - no secrets
        self._is_over = False

    async def go_on(self, faults: list[Fault], rounds: int) -> None:
        """So many pairs of faults; raises Wrong at the end of the round that shows one."""
        async with self._world.history.session() as session:
            acts = [self._reader(session, turn) for turn in range(READERS)]
            acts += [self._imports(), self._logouts(session), self._users()]
            tasks = [asyncio.create_task(act) for act in acts]
            try:
                for number in range(rounds):
                    await self._round(session, number, faults)
                    for task in tasks:
                        if task.done():
                            await task
            finally:
                self._is_over = True
                await asyncio.gather(*tasks)

    async def _round(self, session: ClientSession, number: int, faults: list[Fault]) -> None:
        world = self._world
        if world.copy is None and sqlite_replaced in faults and world.random.random() < 0.5:
            async with world.writing:
                await back_up(world)
        first, second = drawn(world.random, faults)
        async with first(world):
            await asyncio.sleep(world.random.uniform(0, 0.3))
            async with second(world):
                await asyncio.sleep(world.random.uniform(0.1, 0.6))
        wrong = world.history.wrong
        try:
            await self._back(session)
        except Wrong as error:
            wrong.append(str(error))
        if wrong:
            raise Wrong(f"round {number}, {first.__name__} and {second.__name__}: {wrong}")

    async def _back(self, session: ClientSession) -> None:
        """Waits until every answer is good again."""
        patience = BACK * max(1, os.getloadavg()[0] / (os.cpu_count() or 1) / BUSY)
        deadline = time.monotonic() + patience
        client = Client(self._world.history, session, "rick")
        answered, last = 0, "it refuses"
        while answered < IN_A_ROW:
            try:
                # A worker that dies may leave a client waiting.
                async with asyncio.timeout(patience / 2):
                    is_good = await client.read("getDataByDate", date="2019-01-02%")
            except LOST as error:
                is_good, last = False, repr(error)
            answered = answered + 1 if is_good else 0
            if not is_good and time.monotonic() > deadline:
                raise Wrong(f"the service is not back after {patience:.1f} s: {last}")
            if not is_good:
                await asyncio.sleep(0.05)

    async def _until_over(self, pause: float, act: Callable[[], Awaitable[None]]) -> None:
        history = self._world.history
        while not self._is_over:
            try:
                await act()
            except Wrong as error:
                history.wrong.append(str(error))
            except LOST:
                history.outcomes["lost"] += 1
            await asyncio.sleep(self._random.uniform(0, 2 * pause))

    async def _reader(self, session: ClientSession, turn: int) -> None:
        client = Client(self._world.history, session, "rick")

        async def read() -> None:
            nonlocal turn
            turn += 1
            day = self._random.choice(["01-02", "01-20", "02-03"])
            acts: list[Callable[[], Awaitable[object]]] = [
                lambda: client.read("getDataByDate", date=f"2019-{day}%"),
                lambda: client.read("getData"),
                lambda: client.read("getAggregate", interval="month"),
                lambda: client.read("getDataById", id="4242,4243"),
                client.read_pages,
            ]
            await acts[turn % len(acts)]()

        await self._until_over(0.02, read)

    async def _imports(self) -> None:
        world = self._world
        version = 0

        async def load() -> None:
            nonlocal version
            version += 1
            report = world.database.file(versioned_report(version), "next.csv")
            seconds = AFTER_ALL if self._random.random() < 0.8 else self._random.uniform(0, 1)
            async with world.writing:
                change = world.history.versions.begin(version)
                status = await asyncio.to_thread(self._loaders.killed_after, seconds, report)
                if status == 0:
                    change.ended = time.monotonic()
                    world.history.outcomes["imports"] += 1

        await self._until_over(0.5, load)

    async def _logouts(self, session: ClientSession) -> None:
        """Logs out, and tries tokens that are revoked."""
        client = Client(self._world.history, session, "morty")

        async def act() -> None:
            login = await client.log_in()
            if login is not None:
                await client.ask("ping", login)
                await client.log_out(login)
                self._world.history.outcomes["logouts"] += 1
            logins = self._world.history.logins
            for each in self._random.sample(logins, min(3, len(logins))):
                await client.ask("ping", each)

        await self._until_over(0.2, act)

    async def _users(self) -> None:
        """Disables a user, enables him again, and changes his password."""
        world, history = self._world, self._world.history
        accounts = history.accounts["morty"]
        hashes = {password: each for each, password in world.passwords.items()}

        async def change() -> None:
            async with world.writing:
                last = accounts.changes[-1]
                was, is_known = last.value, last.ended < math.inf
                value = Account(was.password, not was.enabled)
                if self._random.random() < 0.5:
                    value = Account(next(each for each in MORTYS if each != was.password))
                made, revocation = accounts.begin(value), history.revoke("morty")
                try:
                    async with asyncio.timeout(3), world.database.writer() as writer:
                        await writer.engine.is_prepared()
                        await writer.users.set_password("morty", hashes[value.password])
                        await writer.users.set_enabled("morty", enabled=value.enabled)
                except (StorageError, TimeoutError):
                    # It may have been written, or be written soon.
                    revocation.given_up = time.monotonic() + PATIENCE
                    return
                made.ended = time.monotonic()
                # Where it was so already, nothing has changed.
                if is_known:
                    revocation.ended = made.ended
                history.outcomes["changes of users"] += 1

        await self._until_over(0.5, change)


@pytest.fixture
def small_disk(request: pytest.FixtureRequest) -> Iterator[Path | None]:
    """A disk of the database's own for the long form, if this account may mount one."""
    with ExitStack() as stack:
        if request.node.callspec.params["rounds"] == FEW:
            yield None
            return
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="elecdata-")))
        try:
            stack.enter_context(disk(folder, DISK))
        except pytest.skip.Exception:
            yield None
            return
        yield folder


@pytest.fixture(params=["sqlite", "mariadb"])
def own(
    request: pytest.FixtureRequest, tmp_path: Path, small_disk: Path | None
) -> Iterator[DatabaseFixture]:
    """A database of the test's own."""
    if request.param == "sqlite":
        yield SqliteDatabase(small_disk or tmp_path / "database")
        return
    program = request.getfixturevalue("mariadb").program
    with pytest.MonkeyPatch.context() as patch:
        if small_disk is not None:
            patch.setattr("tempfile.tempdir", str(small_disk))
        server = MariaDB(program)
    with server:
        yield MariadbDatabase(tmp_path / "database", server)


@pytest.fixture
def own_redis(redis_server: Redis) -> Iterator[Redis]:
    with Redis(redis_server.program) as redis:
        yield redis
        if redis.is_running:
            redis.thaw()


@pytest.fixture
def loaders(own: DatabaseFixture) -> Iterator[Loaders]:
    started = Loaders(own.config)
    yield started
    started.end()


def moved_clock(offset: Path, folder: Path) -> dict[str, str]:
    """The environment of processes whose clock differs by what a file says."""
    # Processes that share a lock would wait for ever for one that was killed while it held it.
    (folder / "sitecustomize.py").write_text(
        'import os\n\nos.environ.pop("FAKETIME_SHARED", None)\n'
    )
    return {
        "PYTHONPATH": str(folder),
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def forget_clocks() -> None:
    """What those that were killed have left."""
    for file in Path("/dev/shm").glob("*faketime_*"):  # noqa: S108 - where the library puts it
        if not Path(f"/proc/{file.name.rpartition('_')[2]}").exists():
            file.unlink(missing_ok=True)


@asynccontextmanager
async def served(
    database: DatabaseFixture, redis: Redis, tmp_path: Path, dice: random.Random, *, moves: bool
) -> AsyncIterator[World]:
    """Two workers over a database that holds version 0."""
    await database.load(versioned_report(0))
    passwords = {hash_password(each): each for each in (RICKS, *MORTYS)}
    hashes = {password: each for each, password in passwords.items()}
    first = {"rick": Account(RICKS), "morty": Account(MORTYS[0])}
    async with database.writer() as writer:
        await writer.engine.is_prepared()
        for name, account in first.items():
            await writer.users.add(name, hashes[account.password])
    config = Path(shutil.copy(database.config, tmp_path / "served.yaml"))
    offset = tmp_path / "offset"
    offset.write_text("+0")
    clock = moved_clock(offset, tmp_path) if moves else {}
    server = await asyncio.to_thread(
        lambda: Server(
            config,
            ELECDATA_SERVER__WORKERS="2",
            ELECDATA_CACHE__URL=redis.url,
            ELECDATA_DATABASE__WAIT="0.5",
            ELECDATA_AUTH__ATTEMPTS="1000000",
            **clock,
        )
    )
    with server:
        port = await asyncio.to_thread(listening, server, 2)
        accounts = {name: Timeline(account) for name, account in first.items()}
        history = History(port, accounts=accounts)
        yield World(database, config, server, redis, history, dice, offset, passwords)
        assert await asyncio.to_thread(server.stop) == 0
    if moves:
        forget_clocks()


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(FEW, marks=pytest.mark.one_database, id="few"),
        pytest.param(MANY, marks=pytest.mark.trust, id="many"),
    ],
)
async def test_no_answer_is_lost_stale_mixed_or_revived_and_the_service_comes_back(
    own: DatabaseFixture,
    own_redis: Redis,
    loaders: Loaders,
    tmp_path: Path,
    small_disk: Path | None,
    rounds: int,
    tried: Tried,
) -> None:
    """PAIRS_SEED=NUMBER draws the same pairs again, and PAIRS_ROUNDS makes more rounds."""
    seed = int(os.environ.get("PAIRS_SEED") or secrets.randbits(32))
    print(f"PAIRS_SEED={seed}")  # shown where the test fails
    dice = random.Random(seed)  # noqa: S311 - no secrets
    faults = [*EVERYWHERE, *OF_THE_DATABASE[own.kind]]
    is_long = rounds != FEW
    if is_long:
        faults.append(clock_moved)
    if small_disk is not None:
        faults.append(disk_full)
    async with served(own, own_redis, tmp_path, dice, moves=is_long) as world:
        if small_disk is not None:
            resize(small_disk, shutil.disk_usage(small_disk).used + ROOM)
            world.disk = small_disk
        try:
            await Tale(world, loaders).go_on(faults, rounds)
        finally:
            print(world.history.outcomes)
            print(*(line for line in world.server.said() if " INFO GET " not in line), sep="\n")
        found = world.history.outcomes
    assert found["right"] > 0
    # In a few rounds, each import can meet a fault.
    assert found["imports"] > 0 or not is_long
    tried(
        f"Pairs of {len(faults)} faults drawn at random, {own.kind}",
        rounds,
        f"{found['right'] + found['not modified']} answers right, {found['put off']} refused,"
        f" {found['lost']} visibly lost; {found['imports']} imports, {found['logouts']} logouts,"
        f" {found['changes of users']} changes of users",
    )
