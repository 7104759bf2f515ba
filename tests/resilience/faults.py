"""Faults that befall a running service, each of which ends by itself."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis as RedisClient

from storage.backends.sqlite.backup import SqliteBackup
from tests.resilience.history import STEP, Account, Change, History, Revocation
from tests.server.process.test_server_command import Server, children
from tests.support.databases import DatabaseFixture, MariadbDatabase, SqliteDatabase
from tests.support.redis_server import Redis

Fault = Callable[["World"], AbstractAsyncContextManager[None]]


@dataclass
class World:
    """A service, what it depends on, and what is known of it."""

    database: DatabaseFixture
    config: Path
    """The configuration of the service; others have their own."""
    server: Server
    redis: Redis
    history: History
    random: random.Random
    offset: Path
    """What the clock of the service differs by."""
    passwords: dict[str, str]
    """The passwords of the users, by their hashes."""
    disk: Path | None = None
    """Where the database's disk is mounted, if it has one of its own."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by what writes, and by what no writer may meet."""
    copy: tuple[Path, int, dict[str, Account]] | None = None
    """A backup, and what it holds."""

    def worker(self) -> int | None:
        """A worker."""
        workers = children(self.server.process)
        return self.random.choice(workers) if workers else None


def signalled(world: World, signum: signal.Signals) -> None:
    worker = world.worker()
    if worker is not None:
        with suppress(ProcessLookupError):
            os.kill(worker, signum)


@asynccontextmanager
async def worker_killed(world: World) -> AsyncIterator[None]:
    signalled(world, signal.SIGKILL)
    yield


@asynccontextmanager
async def worker_terminated(world: World) -> AsyncIterator[None]:
    signalled(world, signal.SIGTERM)
    yield


@asynccontextmanager
async def reloaded(world: World) -> AsyncIterator[None]:
    world.server.process.send_signal(signal.SIGHUP)
    yield


@asynccontextmanager
async def configuration_half_saved(world: World) -> AsyncIterator[None]:
    """A reload and the replacement of a worker meet it."""
    config = world.config
    text = config.read_text()
    config.write_text(text[: world.random.randrange(len(text) - 1)])
    world.server.process.send_signal(signal.SIGHUP)
    yield
    config.write_text(text)


@asynccontextmanager
async def redis_gone(world: World) -> AsyncIterator[None]:
    world.redis.kill()
    yield
    await asyncio.to_thread(world.redis.start)


@asynccontextmanager
async def redis_frozen(world: World) -> AsyncIterator[None]:
    world.redis.freeze()
    yield
    world.redis.thaw()


@asynccontextmanager
async def redis_wrong(world: World) -> AsyncIterator[None]:
    """What it holds is damaged, cut short, or another key's."""
    # Another fault may have befallen it at the same time.
    with suppress(Exception):
        await asyncio.to_thread(damage, world)
    yield


def damage(world: World) -> None:
    with RedisClient(host=world.redis.host, port=world.redis.port, socket_timeout=1) as client:
        keys = sorted(client.keys())
        values = {key: client.get(key) or b"" for key in keys}
        for key, value in values.items():
            at = world.random.randrange(len(value) + 1)
            wrong = world.random.choice(
                [
                    value[:at],
                    value[:at] + bytes([value[at - 1] ^ 1]) + value[at + 1 :],
                    values[world.random.choice(keys)],
                ]
            )
            client.set(key, wrong, keepttl=True)


@asynccontextmanager
async def clock_moved(world: World) -> AsyncIterator[None]:
    """Revocations outlive their tokens by a day: a clock that is wrong by more is not meant."""
    moved = world.history.clock.begin(True)
    world.offset.write_text(f"{world.random.choice([-7200, -60, -1, 1, 60, 7200]):+d}")
    moved.ended = time.monotonic()
    yield
    moved = world.history.clock.begin(False)
    world.offset.write_text("+0")
    moved.ended = time.monotonic()


@asynccontextmanager
async def disk_full(world: World) -> AsyncIterator[None]:
    assert world.disk is not None
    filler = world.disk / "filler"

    def fill() -> None:
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**20))

    await asyncio.to_thread(fill)
    yield
    filler.unlink()


@asynccontextmanager
async def mariadb_killed(world: World) -> AsyncIterator[None]:
    assert isinstance(world.database, MariadbDatabase)
    world.database.server.kill()
    yield
    await asyncio.to_thread(world.database.server.start)


@asynccontextmanager
async def mariadb_away(world: World) -> AsyncIterator[None]:
    assert isinstance(world.database, MariadbDatabase)
    await asyncio.to_thread(world.database.server.stop)
    yield
    await asyncio.to_thread(world.database.server.start)


@asynccontextmanager
async def mariadb_frozen(world: World) -> AsyncIterator[None]:
    assert isinstance(world.database, MariadbDatabase)
    world.database.server.freeze()
    yield
    world.database.server.thaw()


def files(path: Path) -> list[Path]:
    """A SQLite database: its file, then those beside it that belong to it."""
    return sorted(each for each in path.parent.iterdir() if each.name.startswith(path.name))


@asynccontextmanager
async def sqlite_away(world: World) -> AsyncIterator[None]:
    """Without a loader, which would make a new one."""
    assert isinstance(world.database, SqliteDatabase)
    async with world.writing:
        away = world.database.path.with_name("away")
        for file in files(world.database.path):
            file.rename(file.with_name(f"away{file.name}"))
        yield
        # The database itself comes last: whoever opens it must find its log.
        for file in sorted(world.database.path.parent.glob("away*"), reverse=True):
            file.rename(file.with_name(file.name.removeprefix(away.name)))


@asynccontextmanager
async def sqlite_replaced(world: World) -> AsyncIterator[None]:
    """Moved away, and an older state restored in its place."""
    assert isinstance(world.database, SqliteDatabase)
    history = world.history
    async with world.writing:
        if world.copy is None:
            await back_up(world)
        assert world.copy is not None
        copy, version, accounts = world.copy
        changes: list[Change[Any] | Revocation] = [
            history.versions.begin(version),
            *(history.accounts[name].begin(account) for name, account in accounts.items()),
            history.revoke(None),
        ]
        for file in files(world.database.path):
            file.rename(file.with_name(f"former{file.name}"))
        yield
        await SqliteBackup(world.database.path).restore(copy)
        for change in changes:
            change.ended = time.monotonic()
        for file in world.database.path.parent.glob("former*"):
            file.unlink()
        copy.unlink()
        world.copy = None


async def back_up(world: World) -> None:
    """Makes a backup of what is there; whoever calls it lets nobody write."""
    assert isinstance(world.database, SqliteDatabase)
    copy = world.database.folder / "copy.db"
    await SqliteBackup(world.database.path).backup(copy)
    held = SqliteDatabase.__new__(SqliteDatabase)
    held.path = copy
    ((least,),) = held.run("SELECT MIN(energy) FROM consumpdata")
    users = held.run("SELECT user, password, enabled FROM users")
    accounts = {
        name: Account(world.passwords[hashed], bool(enabled)) for name, hashed, enabled in users
    }
    world.copy = copy, least // 100_000 // STEP, accounts


EVERYWHERE: list[Fault] = [
    *(worker_killed, worker_terminated, reloaded, configuration_half_saved),
    *(redis_gone, redis_frozen, redis_wrong),
]
OF_THE_DATABASE: dict[str, list[Fault]] = {
    "sqlite": [sqlite_away, sqlite_replaced],
    "mariadb": [mariadb_killed, mariadb_away, mariadb_frozen],
}
APART: list[set[Fault]] = [
    {sqlite_away, sqlite_replaced},
    {mariadb_killed, mariadb_away},
    {mariadb_killed, mariadb_frozen},
    {mariadb_away, mariadb_frozen},
    {redis_gone, redis_frozen},
]
"""Pairs of which the second would find nothing to befall."""


def drawn(dice: random.Random, faults: Sequence[Fault]) -> list[Fault]:
    """A pair of faults, the second of which ends first."""
    pair = dice.sample(faults, 2)
    while set(pair) in APART:
        pair = dice.sample(faults, 2)
    # What comes back needs room.
    return sorted(pair, key=lambda fault: fault is disk_full)
