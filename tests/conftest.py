"""The servers that tests share, each started when the first test asks for it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest
from blockbuster import blockbuster_ctx
from pytest_aiohttp import AiohttpClient

from storage.meters import MAIN_METER
from tests.support.app_client import Api, Serve, application
from tests.support.app_server import AppServer
from tests.support.browser import Browser, Chromium, find_browser
from tests.support.connections import Connections
from tests.support.databases import (
    BUILDING,
    DatabaseFixture,
    MariadbDatabase,
    SqliteDatabase,
)
from tests.support.held_loop import BOUND_SECONDS, HeldLoop
from tests.support.live_server import find_program
from tests.support.mariadb import MariaDB, find_mariadb
from tests.support.memory import keep_files_in_memory
from tests.support.neighbours import add_neighbours
from tests.support.paths import SAMPLE
from tests.support.promises import (  # noqa: F401 - hooks and a fixture
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_report_header,
    tried,
)
from tests.support.redis_server import Redis, find_redis
from tests.support.reference_figures import CASES, Metered, loaded

# Where a script runs the tests in the background, they and what they start ignore interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

keep_files_in_memory()

# A machine that is busy with other things is no fault of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server that has no database yet."""
    program = find_mariadb() or leave_out("MariaDB")
    with MariaDB(program) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A Redis server that holds nothing yet."""
    program = find_redis() or leave_out("Redis")
    with Redis(program) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: Redis) -> str:
    return redis_server.url


@pytest.fixture(params=["sqlite", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseFixture]:
    """A database of each kind that does not exist yet."""
    with fresh(request, tmp_path) as database:
        yield database


@pytest.fixture(scope="session", params=["sqlite", "mariadb"])
def sample(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DatabaseFixture]:
    """A database of each kind with the sample report, whose meter is meant among a thousand.

    For tests that only read.
    """
    folder = tmp_path_factory.mktemp("sample")
    with fresh(request, folder) as loaded:
        loaded.configure(api_users={"rick": "morty"}, meter={"default": MAIN_METER})
        asyncio.run(loaded.load(SAMPLE))
        # Half of them come before it where rows are in the order of their keys.
        asyncio.run(loaded.add_group(BUILDING, MAIN_METER))
        add_neighbours(loaded, [*range(-500, 0), *range(501, 1001)])
        yield loaded


@pytest.fixture(params=["sqlite", "mariadb"])
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseFixture]:
    """A database of each kind with the sample report and no other meter."""
    with fresh(request, tmp_path / "alone") as loaded:
        loaded.configure(api_users={"rick": "morty"})
        asyncio.run(loaded.load(SAMPLE))
        yield loaded


@pytest.fixture(scope="session", params=["sqlite", "mariadb"])
def meters(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Metered]]:
    """Meters in databases of each kind; for tests that only read."""
    with ExitStack() as stack:
        yield {
            name: loaded(
                case, stack.enter_context(fresh(request, tmp_path_factory.mktemp("meter")))
            )
            for name, case in CASES.items()
        }


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connections]:
    """The connections to SQLite files that a test makes, all of which must be closed at its end."""
    connections = Connections()
    monkeypatch.setattr("sqlite3.connect", connections.connect)
    yield connections
    left = connections.open()
    for connection in left:
        connection.close()
    assert not left


@pytest.fixture
def unblocked() -> Iterator[None]:
    """Fails what blocks the event loop of the server; the loader may, it has its own."""
    names = ["backup", "mysql.backup", "mysql.connection", "mysql.session", "mysql.writer"]
    names += ["sqlite.backup", "sqlite.writer"]
    loaders = [f"storage.backends.{name}" for name in names]
    loaders.append("storage.imports.import_writer")
    watched = ["server", "storage", "aiocache", "redis"]
    with blockbuster_ctx(watched, excluded_modules=loaders) as blocking:
        # Whether the file is there, and still the same, is worth a look.
        blocking.functions["os.stat"].can_block_in(
            "storage/backends/sqlite/engine.py", {"translate_error", "_file"}
        )
        # A few rows by their keys are quicker to read than to ask a thread for.
        for name in ("sqlite3.Connection.execute", "sqlite3.Cursor.fetchall"):
            blocking.functions[name].can_block_in(
                "storage/backends/sqlite/engine.py", "_fetch_inline"
            )
        yield


@pytest.fixture
def held_loop(request: pytest.FixtureRequest) -> Iterator[HeldLoop]:
    """Fails a test whose server holds the event loop, unless a mark tells why it may."""
    held = HeldLoop()
    with held.watching():
        yield held
    if request.node.get_closest_marker("holds_loop") is None:
        assert held.seconds < BOUND_SECONDS, held.callback


@pytest.fixture
async def serve(
    unblocked: None,  # noqa: ARG001 - asked for its effect
    held_loop: HeldLoop,  # noqa: ARG001 - asked for its effect
    aiohttp_client: AiohttpClient,
) -> Serve:
    """Runs the application over a database until the test ends; rick may ask."""

    async def run(database: DatabaseFixture, **environ: str) -> Api:
        await database.admit("rick")
        app, engine = application(database, **environ)
        return Api(await aiohttp_client(AppServer(app)), engine, app)

    return run


@pytest.fixture
async def api(serve: Serve, sample: DatabaseFixture) -> Api:
    """The application over the sample."""
    return await serve(sample)


def fresh(request: pytest.FixtureRequest, folder: Path) -> DatabaseFixture:
    """A database of the kind that a fixture's parameter names."""
    if request.param == "sqlite":
        return SqliteDatabase(folder)
    return MariadbDatabase(folder, request.getfixturevalue("mariadb"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """A browser."""
    program = find_browser() or leave_out("Chromium")
    with Chromium(program) as browser:
        yield browser


@pytest.fixture
async def browser(chromium: Chromium) -> AsyncIterator[Browser]:
    """An empty page of the browser."""
    async with chromium.page() as page:
        yield page


def require(*programs: str) -> None:
    """Leaves a test out, or fails it, where a program that it runs is not installed."""
    for program in programs:
        if find_program(program) is None:
            leave_out(program)


def leave_out(program: str) -> NoReturn:
    reason = f"{program} is not installed: `make test` installs it, or says how"
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
